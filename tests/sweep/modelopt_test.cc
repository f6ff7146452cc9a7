// Scores of NVIDIA ModelOpt 0.47's groups against ours (docs/comparison.md has its formulas).
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "io/json.h"
#include "scores/run.h"
#include "support/peers.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using models::Model;
using models::Sample;
using quant::Format;

constexpr int64_t kPlenty = int64_t{4} << 30;

// The peer's scores may differ from ours by a share of themselves; by a larger one below kSmallKl. ModelOpt
// sums KL in f32, with an error of either sign that does not shrink with the score: up to 4.7e-8 nats per
// token for the random model, 1.5e-7 for the trained one. kl_f64.json has the scores without it: its own, but
// for the sums being in f64 (tools/peer_kl.py).
constexpr double kShare = 0.02, kSmallKlShare = 0.05, kSmallKl = 1e-6;
constexpr double kNoiseOfRandom = 5e-8, kNoiseOfTrained = 1.6e-7;  // nats per token
// Most scores are far closer: only where an activation lies on a rounding tie does one reach a tenth of a per
// cent.
constexpr double kMedian = 1e-4;

struct Case {
  Model model;
  std::vector<Sample> samples;  // one batch of the peer, for calibration and for scores
  std::string file;             // of results: this, the method and the format
  double kl_noise = kNoiseOfRandom;

  double tokens() const {
    double count = 0;
    for (const Sample& sample : samples) count += static_cast<double>(sample.token_ids.size());
    return count;
  }
  // What the causal loss is a mean over.
  double targets() const { return tokens() - static_cast<double>(samples.size()); }
};

Case text_case() {
  Model model = models::load(testing::kTinyVl);
  std::vector<Sample> samples = testing::read_samples(model, testing::kTinyVl + "/text.jsonl");
  return {.model = std::move(model), .samples = std::move(samples), .file = "tiny_vl_text"};
}

Case image_case() {
  return {.model = testing::load_image_model(),
          .samples = testing::read_image_case().samples,
          .file = "tiny_vl_image"};
}

Case trained_case() {
  Model model = models::load(testing::kData + "/tiny-qwen2.5-vl");
  std::vector<Sample> samples = testing::read_samples(model, testing::kPeers + "/trained-text.jsonl");
  return {.model = std::move(model),
          .samples = std::move(samples),
          .file = "trained_text",
          .kl_noise = kNoiseOfTrained};
}

// Ops that the peer quantizes together, and their common score.
struct Group {
  std::string name;
  std::vector<int> ops;  // ascending
  double score = 0;
};

std::string peer_name(const std::string& op) {
  if (op.starts_with("visual.")) return "model." + op;
  if (op.starts_with("model.")) return "model.language_model." + op.substr(6);
  return op;
}

// Every op of the model is in one group.
std::vector<Group> read_groups(const Case& c, const std::string& method, const std::string& format) {
  std::map<std::string, int> ops;
  for (const graph::LinearOp& op : c.model.ops) ops.emplace(peer_name(op.name), static_cast<int>(ops.size()));
  std::vector<Group> groups;
  const io::Json json =
      io::read_json_file(testing::kPeers + "/modelopt/" + c.file + "_" + method + "_" + format + ".json");
  for (const auto& [name, theirs] : json.at("groups").items()) {
    Group group{.name = name, .ops = {}, .score = theirs.at("scores").at(0)};
    for (const std::string module : theirs.at("modules")) {
      EXPECT_EQ(ops.count(module), 1u) << module;
      group.ops.push_back(ops[module]);
      ops.erase(module);
    }
    std::sort(group.ops.begin(), group.ops.end());
    groups.push_back(std::move(group));
  }
  EXPECT_TRUE(ops.empty()) << ops.begin()->first;
  return groups;
}

// The loss is a mean over all targets, its gradient's square so much smaller.
std::vector<double> gradient_scores(const Case& c, const Format& format, const std::vector<Group>& groups) {
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  sweep::Sweep sweep(c.model, context, c.samples, c.samples,
                     {.formats = {&format},
                      .method = scores::Method::fisher,
                      .strict = true,
                      .memory_bytes = kPlenty,
                      .metric = {scores::Which::kl, scores::Scope::all}});
  sweep.prepare();
  const scores::Run run = sweep.run({});
  std::vector<double> scores;
  for (const Group& group : groups) {
    double sum = 0;
    for (const int op : group.ops)
      sum += run.scores[static_cast<size_t>(op)].estimate("element_form").value_or(0);
    scores.push_back(sum / (c.targets() * c.targets()));
  }
  return scores;
}

std::vector<double> kl_scores(const Case& c, const Format& format, const std::vector<Group>& groups) {
  std::vector<pass::Variant> variants;
  std::vector<size_t> order(groups.size());  // variants come in the order of their forks
  for (size_t g = 0; g < groups.size(); ++g) order[g] = g;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return groups[a].ops < groups[b].ops; });
  for (const size_t g : order) {
    pass::Variant& variant = variants.emplace_back();
    for (const int op : groups[g].ops) variant.overrides.push_back({op, &format});
  }
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  sweep::VariantRun run({c.model, context, c.samples, c.samples, /*strict=*/true, kPlenty}, variants,
                        all_of(variants));
  run.prepare();
  std::vector<std::vector<double>> per_sample(groups.size(), std::vector<double>(c.samples.size()));
  run.run({.metrics =
               [&](pass::VariantId variant, int sample, const scores::ScopedSums& sums) {
                 per_sample[at(order, variant)][static_cast<size_t>(sample)] = sums.all.kl;
               },
           .local = [](pass::VariantId, const scores::LocalStats&) {}},
          {});
  std::vector<double> scores;
  for (const std::vector<double>& kl : per_sample)
    scores.push_back(std::accumulate(kl.begin(), kl.end(), 0.0));
  return scores;
}

struct Bound {
  double small = 0;  // scores below it have kSmallKlShare
  double noise = 0;  // to every score
  double median = kMedian;

  double of(double score) const { return (score < small ? kSmallKlShare : kShare) * std::abs(score) + noise; }
};

// Two groups that are further apart than either may be off must be in the peer's order.
void expect_same_order(const std::vector<Group>& groups, const std::vector<double>& ours,
                       const Bound& bound) {
  for (size_t a = 0; a < groups.size(); ++a)
    for (size_t b = 0; b < groups.size(); ++b) {
      const double larger = groups[a].score, smaller = groups[b].score;
      const bool close = larger - smaller <= std::max(bound.of(larger), bound.of(smaller));
      EXPECT_TRUE(close || ours[a] > ours[b]) << groups[a].name << ", " << groups[b].name;
    }
}

void expect_agreement(const std::string& what, const std::vector<Group>& groups,
                      const std::vector<double>& ours, double tokens, const Bound& bound) {
  std::vector<double> shares, small_ones;  // the latter in nats per token
  for (size_t g = 0; g < groups.size(); ++g) {
    const double theirs = groups[g].score, difference = std::abs(ours[g] - theirs);
    EXPECT_TRUE(difference <= (theirs == 0 ? 0 : bound.of(theirs)))
        << what << ' ' << groups[g].name << ": " << ours[g] << ", expected " << theirs;
    if (theirs == 0) continue;  // no data reaches it
    const bool small = theirs < bound.small;
    (small ? small_ones : shares).push_back(difference / (small ? tokens : theirs));
  }
  std::printf("%s: %zu groups, median %.2g, worst %.2g", what.c_str(), shares.size(), median(shares),
              quantile(shares, 1));
  if (!small_ones.empty())
    std::printf("; %zu below 1e-6 nats per token, worst %.2g nats per token", small_ones.size(),
                quantile(small_ones, 1));
  std::printf("\n");
  EXPECT_TRUE(median(shares) <= bound.median) << what;
  expect_same_order(groups, ours, bound);
}

void expect_gradients(const Case& c, const std::string& format) {
  const std::vector<Group> groups = read_groups(c, "gradient", format);
  expect_agreement(c.file + "_gradient_" + format, groups,
                   gradient_scores(c, quant::find_format("modelopt_" + format), groups), c.tokens(), {});
}

void expect_kl(const Case& c, const std::string& format) {
  const std::string result = c.file + "_kl_div_" + format;
  std::vector<Group> groups = read_groups(c, "kl_div", format);
  const std::vector<double> ours = kl_scores(c, quant::find_format("modelopt_" + format), groups);
  const double small = kSmallKl * c.tokens();
  expect_agreement(result, groups, ours, c.tokens(),
                   {.small = small, .noise = c.kl_noise * c.tokens(), .median = kShare});
  const io::Json f64 = io::read_json_file(testing::kPeers + "/modelopt/kl_f64.json").at(result);
  EXPECT_EQ(f64.size(), groups.size());
  for (Group& group : groups) group.score = f64.at(group.name);
  expect_agreement(result + ", sums in f64", groups, ours, c.tokens(), {.small = small});
}

TEST(ModelOpt, GradientsOfText) {
  const Case c = text_case();
  for (const char* format : {"int8", "fp8", "int4"}) expect_gradients(c, format);
}

TEST(ModelOpt, GradientsOfImages) {
  const Case c = image_case();
  for (const char* format : {"int8", "fp8", "int4"}) expect_gradients(c, format);
}

TEST(ModelOpt, GradientsOfTheTrainedModel) { expect_gradients(trained_case(), "int8"); }

TEST(ModelOpt, KlOfText) {
  const Case c = text_case();
  for (const char* format : {"int8", "fp8", "int4"}) expect_kl(c, format);
}

TEST(ModelOpt, KlOfImages) {
  const Case c = image_case();
  for (const char* format : {"int8", "fp8", "int4"}) expect_kl(c, format);
}

TEST(ModelOpt, KlOfTheTrainedModel) { expect_kl(trained_case(), "int8"); }

}  // namespace
}  // namespace qsweep
