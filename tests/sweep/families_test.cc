// Every family's isolated scores against brute force: the whole model run once per quantized op.
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "graph/variants.h"
#include "io/json.h"
#include "quant/format.h"
#include "schedule/work.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using testing::TinyRun;

// Of a file's dialogues, which must become the tokens that the reference was given.
std::vector<models::Sample> samples_of(const models::Model& model, const std::string& folder,
                                       const io::Json& scores) {
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(folder + "/samples.jsonl")) {
    const models::Sample sample = model.inputs->prepare(data);
    EXPECT_EQ(io::Json(sample.token_ids), scores["token_ids"][samples.size()]) << sample.id;
    EXPECT_EQ(io::Json(sample.answer_mask), scores["answer_mask"][samples.size()]) << sample.id;
    samples.push_back(sample);
  }
  return samples;
}

struct Errors {
  std::vector<double> relative, ours, theirs;
};

Errors errors_of(const scores::Run& run, const io::Json& ops, scores::Metric metric) {
  Errors errors;
  for (const scores::ScoreRecord& score : run.scores) {
    const std::string& op = run.ops[static_cast<size_t>(score.op)].name;
    const double truth = ops.at(op).at("all").at(std::string(name(metric.which))).get<double>();
    errors.ours.push_back(score.sum(metric));
    errors.theirs.push_back(truth);
    if (score.status == scores::Status::unexercised) {
      EXPECT_EQ(truth, 0) << op;
      errors.ours.back() = 0;
    } else if (truth == 0) {
      EXPECT_EQ(score.sum(metric), 0) << op;
    } else {
      errors.relative.push_back(std::fabs(score.sum(metric) - truth) / truth);
    }
  }
  EXPECT_EQ(errors.ours.size(), ops.size());
  return errors;
}

// Pairs of ops in another order than the reference's, though their scores there differ by more than a
// rounding tie may move one.
int64_t inversions(const Errors& errors) {
  int64_t n = 0;
  for (size_t i = 0; i < errors.ours.size(); ++i)
    for (size_t j = 0; j < errors.ours.size(); ++j)
      n += errors.theirs[i] > 1.01 * errors.theirs[j] && errors.ours[i] <= errors.ours[j] ? 1 : 0;
  return n;
}

class FamilyScores : public ::testing::TestWithParam<const char*> {};

TEST_P(FamilyScores, AgreeWithBruteForce) {
  const std::string folder = testing::kData + "/families/" + GetParam();
  const io::Json expected = io::read_json_file(folder + "/scores-int8_dyn.json");
  models::Model model = models::load(folder);
  std::vector<models::Sample> samples = samples_of(model, folder, expected);
  const TinyRun family(std::move(model), std::move(samples));
  const auto [run, report, none] =
      family.score({.formats = testing::formats({"w8a8_dynamic"}), .strict = true});
  for (const scores::Which which :
       {scores::Which::kl, scores::Which::logits_sse, scores::Which::hidden_sse}) {
    const Errors errors = errors_of(run, expected.at("ops"), {which});
    const double worst = quantile(errors.relative, 1), agreement = spearman(errors.ours, errors.theirs);
    std::printf("%s %s: median %.2g, 90%% %.2g, worst %.2g, spearman %.5f\n", GetParam(),
                std::string(name(which)).c_str(), median(errors.relative), quantile(errors.relative, 0.9),
                worst, agreement);
    EXPECT_TRUE(median(errors.relative) <= 5e-4);
    EXPECT_TRUE(quantile(errors.relative, 0.9) <= 1e-2);
    EXPECT_TRUE(worst <= 0.1);
    EXPECT_TRUE(agreement >= 0.996);  // of 15 ops, two neighbours that changed places
    EXPECT_EQ(inversions(errors), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FamilyScores,
                         ::testing::Values("llama", "llama3_tied", "mistral", "qwen2", "qwen3", "qwen3_moe",
                                           "gemma3_text", "qwen2_vl", "qwen2_5_vl", "qwen3_vl",
                                           "qwen3_vl_moe", "gpt_oss", "mistral3", "gemma3"),
                         [](const auto& one) { return std::string(one.param); });

class MixtureScores : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string folder = testing::kData + "/families/" + GetParam();
  const io::Json expected = io::read_json_file(folder + "/scores-int8_dyn.json");
  models::Model model = models::load(folder);
  std::vector<models::Sample> samples = samples_of(model, folder, expected);
};

TEST_P(MixtureScores, OfGroupsAgreeAndUnreachedExpertsHaveNone) {
  const TinyRun family(std::move(model), std::move(samples));
  const scores::Run run =
      family.score({.formats = testing::formats({"w8a8_dynamic"}), .groups = {"fused"}, .strict = true}).run;
  std::vector<std::string> unexercised;
  for (const scores::ScoreRecord& score : run.scores)
    if (score.status == scores::Status::unexercised)
      unexercised.push_back(run.ops[static_cast<size_t>(score.op)].name);
  EXPECT_EQ(io::Json(unexercised), expected.at("unexercised"));
  size_t groups = 0;
  for (const scores::GroupScore& group : run.groups) {
    if (!expected.at("groups").contains(group.name)) continue;
    const double truth = expected["groups"][group.name]["all"]["kl"].get<double>();
    EXPECT_TRUE(std::fabs(group.sum({}) - truth) <= 1e-3 * truth) << group.name;
    ++groups;
  }
  EXPECT_EQ(groups, expected.at("groups").size());
}

// By rule, and by the plan's dry walk, which sends all rows to the first experts: of the experts' products
// the part of the chosen. The walk has a forward's arithmetic four times more: of everything quantized, and
// of the forks' own errors, two products each.
TEST_P(MixtureScores, ProductsAreThoseOfTheChosen) {
  std::vector<pass::Variant> variants;
  for (int op = 0; op < static_cast<int>(model.ops.size()); ++op)
    variants.push_back({.overrides = {{op, &quant::find_format("w8a8_dynamic")}}});
  std::vector<int> all;
  for (size_t s = 0; s < samples.size(); ++s) all.push_back(static_cast<int>(s));
  const auto arithmetic = [&](const std::vector<pass::VariantId>& live) {
    schedule::Tally tally(model, samples, variants);
    tally.add(all, live);
    return tally.amount().flops;
  };
  const double reference = arithmetic({}), by_rule = arithmetic(all_of(variants)) - reference;
  const TinyRun family(std::move(model), std::move(samples));
  const auto report = family.score({.formats = testing::formats({"w8a8_dynamic"}), .strict = true}).report;
  EXPECT_NEAR(report.plan.flops() / (by_rule + 4 * reference), 1, 0.05);
}

// The reference lists, for every quantized op, the tokens that then go to other experts. A token whose last
// chosen expert led by less than rounding may move is anybody's guess.
TEST_P(MixtureScores, SendTheSameTokensToTheSameOtherExperts) {
  std::vector<graph::SampleInputs> inputs;
  for (const models::Sample& sample : samples)
    inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
  const graph::Batch batch(inputs);
  kernels::Gemm gemm{Threads{2}};
  const ops::Context context{gemm};
  graph::Workspace workspace;
  const graph::OpRanges ranges(Threads{2}, std::vector<std::optional<kernels::Range>>(model.ops.size()));
  graph::Branch reference{.formats = std::vector<const quant::Format*>(model.ops.size()), .leaves = {}};
  for (int op = 0; op + 1 < static_cast<int>(model.ops.size()); ++op)
    reference.leaves.push_back({.id = op, .overrides = {{op, &quant::find_format("w8a8_dynamic")}}});
  std::map<std::string, std::set<std::string>> found, wanted;  // by op
  const auto experts = [](std::span<const ops::router::Share> shares) {
    std::set<int32_t> chosen;
    for (const auto& share : shares) chosen.insert(share.expert);
    return io::Json(chosen);
  };
  const auto told = [](const io::Json& router, const io::Json& sample, const io::Json& token,
                       const io::Json& from, const io::Json& to) {
    return io::Json({router, sample, token, from, to}).dump();
  };
  const auto flip = [&](const graph::Flip& f) {
    found[model.ops[static_cast<size_t>(f.id)].name].insert(told(f.router.name,
                                                                 samples[static_cast<size_t>(f.sample)].id,
                                                                 f.row, experts(f.before), experts(f.after)));
  };
  graph::Variants variants({context, workspace, batch, model.ops}, DType::f32, ranges, {reference}, {}, {},
                           flip);
  for (size_t i = 0; i + 1 < model.stages.size(); ++i) variants.run(model.stages[i]);
  for (const auto& [op, flips] : expected.at("expert_flips").items())
    for (const io::Json& one : flips)
      wanted[op].insert(told(one["router"], one["sample"], one["token"], one["from"], one["to"]));
  EXPECT_EQ(found, wanted);
  EXPECT_FALSE(wanted.empty());
}

INSTANTIATE_TEST_SUITE_P(All, MixtureScores, ::testing::Values("qwen3_moe", "qwen3_vl_moe", "gpt_oss"),
                         [](const auto& one) { return std::string(one.param); });

class FamilyEstimates : public ::testing::TestWithParam<const char*> {};

TEST_P(FamilyEstimates, RankAsExactScoresDo) {
  const std::string folder = testing::kData + "/families/" + GetParam();
  models::Model model = models::load(folder);
  std::vector<models::Sample> samples =
      samples_of(model, folder, io::read_json_file(folder + "/scores-int8_dyn.json"));
  const TinyRun family(std::move(model), std::move(samples));
  sweep::ScoreOptions options{.formats = testing::formats({"w8a8_dynamic"})};
  const scores::Run exact = family.score(options).run;
  options.method = scores::Method::adjoint;
  options.probes = 16;  // of so few samples four, the default, leave noise: 0.97 for qwen3_vl
  const scores::Run adjoint = family.score(options).run;
  std::vector<double> measured, estimated;
  for (size_t i = 0; i < exact.scores.size(); ++i) {
    EXPECT_EQ(exact.scores[i].status, adjoint.scores[i].status);
    if (exact.scores[i].status == scores::Status::unexercised) continue;
    if (exact.scores[i].estimate(scores::kFlippedRows).value_or(0) > 0) continue;  // not second order
    measured.push_back(exact.scores[i].sum({}));
    estimated.push_back(adjoint.scores[i].sum({}));
  }
  const double agreement = spearman(measured, estimated);
  std::printf("%s adjoint: spearman %.4f\n", GetParam(), agreement);
  EXPECT_TRUE(agreement >= 0.98);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyEstimates,
                         ::testing::Values("qwen2_vl", "qwen3_vl", "qwen3_moe", "qwen3_vl_moe", "gpt_oss"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace qsweep
