// Caches of keys and values: scores against brute force in PyTorch (tools/kv_goldens.py), and against
// variants that are computed alone.
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "io/json.h"
#include "scores/eval.h"
#include "support/gpu.h"
#include "sweep/evaluate.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Mode;
using testing::TinyRun;

const std::string kTinyModel = "tiny-qwen2.5-vl";
constexpr scores::Which kSummed[] = {scores::Which::hidden_sse, scores::Which::logits_sse, scores::Which::kl};

const io::Json& kv_brute_force() {
  static const io::Json all = io::read_json_file(testing::kData + "/scores/kv.json");
  return all;
}

std::vector<std::string> formats_in(const std::string& model) {
  std::vector<std::string> names;
  for (const auto& [name, scores] : kv_brute_force().at(model).items()) names.push_back(name);
  return names;
}

TinyRun tiny_with_caches() {
  TinyRun run(testing::kOracleSamples);
  run.model = models::load(testing::kData + "/" + kTinyModel, {.caches = true});
  return run;
}

TinyRun family_with_caches(const std::string& name) {
  const std::string folder = testing::kData + "/families/" + name;
  models::Model model = models::load(folder, {.caches = true});
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(folder + "/samples.jsonl"))
    samples.push_back(model.inputs->prepare(data));
  TinyRun run(std::move(model), samples);
  run.calibration = std::move(samples);
  return run;
}

struct CacheErrors {
  std::vector<double> errors, ours, theirs;

  void add(double value, const io::Json& sums, scores::Metric metric) {
    const double truth =
        sums.at(std::string(name(metric.scope))).at(std::string(name(metric.which))).get<double>();
    ours.push_back(value);
    theirs.push_back(truth);
    errors.push_back(std::fabs(value - truth) / truth);
  }
};

CacheErrors compare_caches(const scores::Run& run, const std::string& format, const io::Json& ops,
                           scores::Metric metric) {
  CacheErrors found;
  for (const scores::ScoreRecord& score : run.scores) {
    if (score.format != format) continue;
    EXPECT_EQ(score.status, scores::Status::ok);
    found.add(score.sum(metric), ops.at(run.ops[static_cast<size_t>(score.op)].name), metric);
  }
  EXPECT_EQ(found.ours.size(), ops.size());
  std::printf("%s %s: median %.2g, worst %.2g\n", format.c_str(), name(metric).c_str(), median(found.errors),
              quantile(found.errors, 1));
  return found;
}

void expect_all_caches(const scores::Run& run, const std::string& format, const io::Json& all) {
  const scores::Baseline* baseline = scores::find_baseline(run.baselines, format);
  ASSERT_NE(baseline, nullptr) << format;
  EXPECT_TRUE(baseline->float_ops.empty());
  CacheErrors found;
  for (const scores::Which which : kSummed) found.add(baseline->sum({which}), all, {which});
  std::printf("all:%s: worst %.2g\n", format.c_str(), quantile(found.errors, 1));
  EXPECT_TRUE(quantile(found.errors, 1) <= 0.25) << format;
}

// The limits of other formats that quantize activations (oracle_test.cc).
void expect_isolated_caches(const TinyRun& tiny, const std::string& model, kernels::Device device) {
  const std::vector<std::string> names = formats_in(model);
  const scores::Run run = tiny.score_on(device, {.formats = testing::formats(names), .strict = true}).run;
  for (const std::string& format : names) {
    const io::Json& expected = kv_brute_force().at(model).at(format);
    for (const scores::Which which : kSummed) {
      const CacheErrors found = compare_caches(run, format, expected.at("ops"), {which});
      EXPECT_TRUE(median(found.errors) <= 3e-4) << format;
      EXPECT_TRUE(quantile(found.errors, 1) <= 0.1) << format;
      EXPECT_TRUE(spearman(found.ours, found.theirs) >= 0.9995) << format;
    }
    const CacheErrors answers =
        compare_caches(run, format, expected.at("ops"), {.scope = scores::Scope::answer});
    EXPECT_TRUE(quantile(answers.errors, 1) <= 0.5) << format;
    expect_all_caches(run, format, expected.at("all"));
  }
}

TEST(CacheScores, IsolatedAgreeWithBruteForce) {
  expect_isolated_caches(tiny_with_caches(), kTinyModel, Threads{2});
}
TEST(CacheScores, OfNormedKeysAgreeWithBruteForce) {
  expect_isolated_caches(family_with_caches("qwen3"), "qwen3", Threads{2});
}
TEST(CacheScores, InWindowsAgreeWithBruteForce) {
  expect_isolated_caches(family_with_caches("gemma3_text"), "gemma3_text", Threads{2});
}

TEST(CacheScores, LeaveOneOutAgreeWithBruteForce) {
  const std::vector<std::string> names = formats_in(kTinyModel);
  const scores::Run run =
      tiny_with_caches()
          .score({.formats = testing::formats(names), .mode = Mode::leave_one_out, .strict = true})
          .run;
  for (const std::string& format : names) {
    const io::Json& expected = kv_brute_force().at(kTinyModel).at(format);
    for (const scores::Which which : kSummed) {
      const CacheErrors found = compare_caches(run, format, expected.at("without"), {which});
      EXPECT_TRUE(median(found.errors) <= 0.05) << format;
      EXPECT_TRUE(quantile(found.errors, 1) <= 0.25) << format;
    }
  }
}

std::vector<const quant::Format*> by_kind(const TinyRun& tiny, const std::string& linear,
                                          const std::string& cache) {
  std::vector<const quant::Format*> formats;
  for (const graph::LinearOp& op : tiny.model.ops) {
    const std::string& name = op.cache ? cache : linear;
    formats.push_back(name.empty() ? nullptr : &quant::find_format(name));
  }
  return formats;
}

double evaluated_caches(const TinyRun& tiny, std::vector<const quant::Format*> formats) {
  kernels::Gemm gemm{Threads{2}};
  const ops::Context context{gemm};
  const schedule::Devices devices(context);
  sweep::Evaluation evaluation({tiny.model, devices, tiny.data, tiny.calibration, true, int64_t{4} << 30},
                               {{"recipe", "recipe.json", std::move(formats)}});
  evaluation.prepare();
  return evaluation.run(testing::kKl, {}).recipes.front().sum(testing::kLogits);
}

// Each leaf against its variant alone, carried in f32 values.
TEST(CacheScores, LeavesAreTheirVariantsAlone) {
  const TinyRun model = tiny_with_caches();
  for (const Mode mode : {Mode::isolated, Mode::leave_one_out}) {
    const scores::Run run =
        model.score({.formats = testing::formats({"kv_int8_token_head"}), .mode = mode, .strict = true}).run;
    for (const scores::ScoreRecord& score : run.scores) {
      auto formats = by_kind(model, "", mode == Mode::isolated ? "" : score.format);
      formats[static_cast<size_t>(score.op)] =
          mode == Mode::isolated ? &quant::find_format(score.format) : nullptr;
      const double alone = evaluated_caches(model, std::move(formats)), sum = score.sum(testing::kLogits);
      EXPECT_TRUE(std::fabs(sum - alone) <= 1e-2 * alone) << sum << " " << alone;
    }
  }
}

// All caches as one group: behind the first, pairs that are live take on the errors of further ones.
TEST(CacheScores, GroupsAreTheirVariantsAlone) {
  const TinyRun model = tiny_with_caches();
  const scores::Run run = model
                              .score({.formats = testing::formats({"kv_int8_token_head"}),
                                      .groups = {"*.self_attn.kv"},
                                      .strict = true})
                              .run;
  ASSERT_EQ(run.groups.size(), 1u);
  EXPECT_EQ(run.groups[0].effective_bits, 9);
  const double alone = evaluated_caches(model, by_kind(model, "", "kv_int8_token_head"));
  const double sum = run.groups[0].sum(testing::kLogits);
  EXPECT_TRUE(std::fabs(sum - alone) <= 1e-2 * alone) << sum << " " << alone;
}

// Linear ops and caches quantized together are more than either.
TEST(CacheScores, ARecipeMayNameFormatsOfBothKinds) {
  const TinyRun model = tiny_with_caches();
  const double linear = evaluated_caches(model, by_kind(model, "w4a16_g32", "")),
               cache = evaluated_caches(model, by_kind(model, "", "kv_nvfp4")),
               both = evaluated_caches(model, by_kind(model, "w4a16_g32", "kv_nvfp4"));
  EXPECT_TRUE(both > linear);
  EXPECT_TRUE(both > cache);
}

// A cache in float changes nothing: linear ops score as in a model without caches.
TEST(CacheScores, LeaveThoseOfLinearOpsAsTheyAre) {
  const TinyRun with = tiny_with_caches(), without(testing::kOracleSamples);
  const sweep::ScoreOptions options{.formats = testing::formats({"w4a16_g32"}), .strict = true};
  const scores::Run ours = with.score(options).run, plain = without.score(options).run;
  ASSERT_EQ(ours.scores.size(), plain.scores.size());
  EXPECT_GT(ours.ops.size(), plain.ops.size());
  for (size_t i = 0; i < plain.scores.size(); ++i) {
    EXPECT_EQ(ours.ops[static_cast<size_t>(ours.scores[i].op)].name,
              plain.ops[static_cast<size_t>(plain.scores[i].op)].name);
    const double a = ours.scores[i].sum(testing::kKl), b = plain.scores[i].sum(testing::kKl);
    EXPECT_TRUE(std::fabs(a - b) <= 1e-4 * b) << a << " " << b;
  }
}

TEST(CacheScores, FastOnesAreNearStrictOnes) {
  const TinyRun model = tiny_with_caches();
  sweep::ScoreOptions options{.formats = testing::formats({"kv_fp8", "kv_nvfp4"})};
  const scores::Run fast = model.score(options).run;
  options.strict = true;
  const scores::Run strict = model.score(options).run;
  for (size_t i = 0; i < fast.scores.size(); ++i) {
    const double truth = strict.scores[i].sum(testing::kKl);
    EXPECT_TRUE(std::fabs(fast.scores[i].sum(testing::kKl) - truth) <= 0.1 * truth);
  }
}

// Of so few ops and samples; with four probes the noise of adjoint is as large as what is between the ops.
TEST(CacheScores, EstimatesRankAsExactOnesDo) {
  const TinyRun model = tiny_with_caches();
  sweep::ScoreOptions options{
      .formats = testing::formats({"w8a8_dynamic", "kv_int8_token_head", "kv_fp8_token_head", "kv_fp8"}),
      .ops_glob = "*.self_attn.[ko]*"};
  options.probes = 64;
  const scores::Run exact = model.score(options).run;
  for (const auto& [method, least] :
       std::map<scores::Method, double>{{scores::Method::adjoint, 0.98}, {scores::Method::fisher, 0.85}}) {
    options.method = method;
    const scores::Run estimated = model.score(options).run;
    std::vector<double> ours, theirs, ratios;
    for (size_t i = 0; i < exact.scores.size(); ++i) {
      EXPECT_EQ(estimated.scores[i].local.has_value(), exact.scores[i].status == scores::Status::ok);
      if (!exact.ops[static_cast<size_t>(exact.scores[i].op)].cache) continue;
      ours.push_back(estimated.scores[i].sum(testing::kKl));
      theirs.push_back(exact.scores[i].sum(testing::kKl));
      ratios.push_back(std::fabs(std::log(ours.back() / theirs.back())));
    }
    std::printf("%s: spearman %.4f, median factor %.3f\n", std::string(name(method)).c_str(),
                spearman(ours, theirs), std::exp(median(ratios)));
    EXPECT_EQ(ours.size(), 18u);
    EXPECT_TRUE(spearman(ours, theirs) >= least);
    if (method == scores::Method::adjoint) {
      EXPECT_TRUE(median(ratios) <= std::log(1.2));
    }
  }
}

TEST(CacheScores, BlocksMustDivideHeads) {
  const TinyRun model = family_with_caches("qwen3");  // heads of 24
  EXPECT_THROW(model.score({.formats = testing::formats({"kv_nvfp4"})}), Error);
}

class CudaCacheScoresSlow : public testing::GpuSlowTest {};
TEST_F(CudaCacheScoresSlow, IsolatedAgreeWithBruteForce) {
  expect_isolated_caches(tiny_with_caches(), kTinyModel, device());
}

}  // namespace
}  // namespace qsweep
