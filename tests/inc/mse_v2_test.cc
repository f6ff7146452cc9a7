// Whole maps against Intel Neural Compressor's own. Its scores depend on rounding decisions: where a float
// sum is taken in another order an activation may round to its other neighbour, and all that follows with it.
// PyTorch itself moves by 4 % in the image case when its patch embedding is summed exactly. So a map of ours
// is one draw of several equally right ones: where that matters, one of the draws that this machine's
// instruction sets give must meet the bounds.
#include "inc/mse_v2.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "inc/peer.h"
#include "support/targets.h"
#include "support/temporary_folder.h"

namespace qsweep {
namespace {

using inc::ScoreMap;
using testing::kPlenty;
using testing::kTinyVl;

template <class Run>
std::vector<inc::Maps> draw(Run&& run) {
  std::vector<inc::Maps> draws;
  for (const int64_t target : testing::all_targets()) {
    const testing::OnTarget on(target);
    kernels::Gemm gemm({2});
    draws.push_back(run(ops::Context{gemm}));
  }
  return draws;
}

ScoreMap to_map(const io::Json& json) {
  ScoreMap map;
  for (const auto& [name, score] : json.items()) map.emplace_back(name, score);
  return map;
}

// Of every op that the peer scored; the names must be the same, in the same order.
std::vector<double> relative_errors(const ScoreMap& ours, const ScoreMap& theirs) {
  std::vector<double> errors;
  for (size_t i = 0; i < theirs.size() && i < ours.size(); ++i) {
    const auto& [name, expected] = theirs[i];
    EXPECT_EQ(ours[i].first, name);
    const double error = std::abs(ours[i].second - expected);
    errors.push_back(error == 0 ? 0 : error / std::abs(expected));
  }
  EXPECT_EQ(errors.size(), theirs.size());
  return errors;
}

// How far a map is from the peer's.
struct Distance {
  double median = INFINITY, worst = INFINITY;

  bool within(double median_bound, double worst_bound) const {
    return median <= median_bound && worst <= worst_bound;
  }
};

Distance distance(const ScoreMap& ours, const io::Json& theirs) {
  std::vector<double> errors = relative_errors(ours, to_map(theirs));
  std::sort(errors.begin(), errors.end());
  return {errors[errors.size() / 2], errors.back()};
}

std::ostream& operator<<(std::ostream& out, const Distance& d) {
  return out << "median " << d.median << ", worst " << d.worst;
}

// The ops that INC would leave float first: the lowest error without them.
std::set<std::string> top5(ScoreMap map) {
  std::stable_sort(map.begin(), map.end(), [](auto& a, auto& b) { return a.second < b.second; });
  std::set<std::string> names;
  for (size_t i = 0; i < 5; ++i) names.insert(map[i].first);
  return names;
}

size_t top5_overlap(const ScoreMap& ours, const io::Json& theirs) {
  const std::set<std::string> expected = top5(to_map(theirs));
  size_t both = 0;
  for (const std::string& name : top5(ours)) both += expected.count(name);
  return both;
}

// Text alone: left float a vision op scores what everything quantized does; quantized first it scores
// nothing.
void expect_vision_changes_nothing(const inc::Maps& maps) {
  int ops = 0;
  for (size_t i = 0; i < maps.fallback.size(); ++i) {
    const std::string& op = maps.fallback[i].first;
    if (!op.starts_with("model.visual.")) continue;
    EXPECT_EQ(maps.fallback[i].second, maps.all_quantized) << op;
    EXPECT_EQ(maps.requant[i].second, 0) << op;
    ++ops;
  }
  EXPECT_GE(ops, 13);
}

TEST(IncMaps, TextOnly) {
  const io::Json theirs = testing::peer_results().at("text");
  const inc::Maps& maps = testing::tiny_text_run();
  EXPECT_EQ(theirs["fallback"].size(), 29u);
  const Distance fallback = distance(maps.fallback, theirs["fallback"]);
  const Distance requant = distance(maps.requant, theirs["requant"]);
  EXPECT_TRUE(fallback.within(0.03, 0.03)) << fallback;
  EXPECT_TRUE(requant.within(0.03, 0.03)) << requant;
  EXPECT_EQ(top5_overlap(maps.fallback, theirs["fallback"]), 5u);
  expect_vision_changes_nothing(maps);
}

TEST(IncMapsSlow, Images) {
  const models::Model model = testing::load_image_model();
  const io::Json theirs = testing::peer_results().at("image").at("fallback");
  EXPECT_EQ(theirs.size(), 27u);
  bool met = false;
  std::ostringstream seen;
  for (const inc::Maps& maps : draw([&](const ops::Context& ops) {
         return inc::mse_v2(model, ops, testing::image_batch(model), {.memory_bytes = kPlenty});
       })) {
    const Distance fallback = distance(maps.fallback, theirs);
    met = met || fallback.within(0.05, 0.05);
    seen << fallback << '\n';
  }
  EXPECT_TRUE(met) << seen.str();
}

// Where a draw decides otherwise than INC in the run that all variants share, its whole map is off by what
// that costs: 3.7 % was seen.
TEST(IncMapsSlow, TrainedModelTextOnly) {
  const models::Model model = models::load(std::string(QSWEEP_TESTDATA) + "/tiny-qwen2.5-vl");
  const auto samples = testing::read_samples(model, testing::kPeers + "/trained-text.jsonl");
  const io::Json theirs = testing::peer_results().at("trained_text");
  EXPECT_EQ(theirs["fallback"].size(), 77u);
  const double all_quantized = theirs["requant"]["lm_head.module"];
  bool met = false;
  std::ostringstream seen;
  for (const inc::Maps& maps : draw([&](const ops::Context& ops) {
         return inc::mse_v2(model, ops, samples, {.memory_bytes = kPlenty});
       })) {
    const Distance fallback = distance(maps.fallback, theirs["fallback"]);
    const Distance requant = distance(maps.requant, theirs["requant"]);
    const size_t top5 = top5_overlap(maps.fallback, theirs["fallback"]);
    const double median = std::abs(maps.all_quantized / all_quantized - 1) <= 1e-4 ? 0.03 : 0.06;
    met = met || (fallback.within(median, 0.25) && requant.within(median, 0.25) && top5 >= 4);
    seen << fallback << "; requant " << requant << "; top 5: " << top5 << '\n';
    expect_vision_changes_nothing(maps);
  }
  EXPECT_TRUE(met) << seen.str();
}

TEST(IncMaps, TheEndsOfTheTwoMapsAgree) {
  const inc::Maps& maps = testing::tiny_text_run();
  EXPECT_EQ(maps.requant.back().second, maps.all_quantized);
  EXPECT_EQ(maps.requant[maps.requant.size() - 2].second, maps.fallback.back().second);
}

// Passes share nothing but the ranges, so cutting the run must not change a bit.
TEST(IncMaps, LittleMemoryGivesTheSameScoresAndTooLittleAnError) {
  const models::Model model = models::load(kTinyVl);
  const std::vector<models::Sample> samples = testing::read_samples(model, kTinyVl + "/text.jsonl");
  kernels::Gemm gemm({2});
  const inc::Maps& expected = testing::tiny_text_run();
  try {
    inc::mse_v2(model, ops::Context{gemm}, samples, {.memory_bytes = 1 << 20});
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    const std::string text = error.what();
    const size_t place = text.find("at least ");
    ASSERT_NE(place, std::string::npos) << text;
    const int64_t least = std::stoll(text.substr(place + 9));
    int passes = 0;
    const inc::Maps maps =
        inc::mse_v2(model, ops::Context{gemm}, samples,
                    {.memory_bytes = (least + 1) << 20, .progress = [&](const inc::Progress& p) {
                       passes += p.what == "lm_head" ? 1 : 0;
                       EXPECT_TRUE(p.done <= p.total);
                     }});
    EXPECT_EQ(maps.fallback, expected.fallback);
    EXPECT_EQ(maps.requant, expected.requant);
    EXPECT_GE(passes, 1);
  }
}

TEST(IncMaps, WrittenFile) {
  const testing::TemporaryFolder folder;
  inc::write_maps(testing::tiny_text_run(), folder.path());
  const io::Json json = io::read_json_file(folder.at("inc_mse_v2.json"));
  EXPECT_EQ(to_map(json.at("fallback")), testing::tiny_text_run().fallback);
  EXPECT_EQ(to_map(json.at("requant")), testing::tiny_text_run().requant);
}

}  // namespace
}  // namespace qsweep
