// Every family's isolated scores against brute force: the whole model run once per quantized op.
#include <cmath>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "io/json.h"
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
    if (truth == 0) {
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
                         ::testing::Values("llama", "llama3_tied", "mistral", "qwen2", "qwen3", "gemma3_text",
                                           "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "gemma3"),
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
    measured.push_back(exact.scores[i].sum({}));
    estimated.push_back(adjoint.scores[i].sum({}));
  }
  const double agreement = spearman(measured, estimated);
  std::printf("%s adjoint: spearman %.4f\n", GetParam(), agreement);
  EXPECT_TRUE(agreement >= 0.98);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyEstimates, ::testing::Values("qwen2_vl", "qwen3_vl"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace qsweep
