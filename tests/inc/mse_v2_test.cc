// Whole maps against Intel Neural Compressor's own. Its scores move when any float sum of the model is taken
// in another order, because activations then round to other codes: the bounds leave room for that and no
// more.
#include "inc/mse_v2.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "inc/peer.h"

namespace qsweep {
namespace {

using inc::ScoreMap;
using testing::kPlenty;
using testing::kTinyVl;

// Relative errors of the ops that the peer scored; the names must be the same, in the same order.
std::vector<double> relative_errors(const ScoreMap& ours, const io::Json& theirs) {
  std::vector<double> errors;
  auto mine = ours.begin();
  for (const auto& [name, score] : theirs.items()) {
    if (mine == ours.end() || mine->first != name) {
      ADD_FAILURE() << "expected " << name << ", found " << (mine == ours.end() ? "the end" : mine->first);
      break;
    }
    const double expected = score, error = std::abs(mine->second - expected);
    errors.push_back(error == 0 ? 0 : error / std::abs(expected));
    ++mine;
  }
  return errors;
}

void expect_within(const ScoreMap& ours, const io::Json& theirs, double median, double worst) {
  std::vector<double> errors = relative_errors(ours, theirs);
  ASSERT_EQ(errors.size(), theirs.size());
  std::sort(errors.begin(), errors.end());
  const double middle = errors[errors.size() / 2];
  ::testing::Test::RecordProperty("median", std::to_string(middle));
  std::printf("median %.3g %%, worst %.3g %%\n", 100 * middle, 100 * errors.back());
  EXPECT_TRUE(middle <= median) << middle;
  EXPECT_TRUE(errors.back() <= worst) << errors.back();
}

// The ops whose loss INC would rather avoid: lowest error when left float.
std::set<std::string> top5(const ScoreMap& map) {
  ScoreMap sorted = map;
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.second < b.second; });
  std::set<std::string> names;
  for (size_t i = 0; i < 5; ++i) names.insert(sorted[i].first);
  return names;
}

ScoreMap to_map(const io::Json& json) {
  ScoreMap map;
  for (const auto& [name, score] : json.items()) map.emplace_back(name, score);
  return map;
}

size_t top5_overlap(const ScoreMap& a, const ScoreMap& b) {
  std::set<std::string> both;
  const std::set<std::string> of_a = top5(a), of_b = top5(b);
  std::set_intersection(of_a.begin(), of_a.end(), of_b.begin(), of_b.end(), std::inserter(both, both.end()));
  return both.size();
}

// Text alone: left float a vision op scores what everything quantized does, quantized first it scores nothing.
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

TEST(IncMaps, TextOnlyFallbackAndRequantize) {
  const io::Json theirs = testing::peer_results().at("text");
  const inc::Maps& maps = testing::tiny_text_run();
  EXPECT_EQ(maps.fallback.size(), 29u);
  expect_within(maps.fallback, theirs["fallback"], 0.03, 0.03);
  EXPECT_EQ(top5_overlap(maps.fallback, to_map(theirs["fallback"])), 5u);
  expect_within(maps.requant, theirs["requant"], 0.03, 0.03);
}

TEST(IncMaps, ImagesFallback) {
  const models::Model model = models::load(kTinyVl);
  kernels::Gemm gemm({2});
  const inc::Maps maps =
      inc::mse_v2(model, ops::Context{gemm}, testing::image_batch(model), {.memory_bytes = kPlenty});
  EXPECT_EQ(maps.fallback.size(), 28u);
  expect_within(maps.fallback, testing::peer_results().at("image").at("fallback"), 0.05, 0.05);
}

TEST(IncMaps, TrainedModelTextOnly) {
  const models::Model model = models::load(std::string(QSWEEP_TESTDATA) + "/tiny-qwen2.5-vl");
  kernels::Gemm gemm({2});
  const inc::Maps maps =
      inc::mse_v2(model, ops::Context{gemm},
                  testing::read_samples(model, testing::kPeers + "/trained-text.jsonl"),
                  {.memory_bytes = kPlenty});
  const io::Json theirs = testing::peer_results().at("trained_text");
  EXPECT_EQ(maps.fallback.size(), 77u);
  expect_within(maps.fallback, theirs["fallback"], 0.03, 0.25);
  EXPECT_GE(top5_overlap(maps.fallback, to_map(theirs["fallback"])), 4u);
  expect_within(maps.requant, theirs["requant"], 0.03, 0.25);
  expect_vision_changes_nothing(maps);
}

TEST(IncMaps, UnreachedOpsChangeNothing) {
  const inc::Maps& maps = testing::tiny_text_run();
  expect_vision_changes_nothing(maps);
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
    int64_t stages = 0;
    const inc::Maps maps =
        inc::mse_v2(model, ops::Context{gemm}, samples,
                    {.memory_bytes = (least + 1) << 20, .progress = [&](const inc::Progress& p) {
                       stages += p.what == "lm_head" ? 1 : 0;
                       EXPECT_TRUE(p.done <= p.total);
                     }});
    EXPECT_EQ(maps.fallback, expected.fallback);
    EXPECT_EQ(maps.requant, expected.requant);
    EXPECT_GE(stages, 1);
  }
}

TEST(IncMaps, WrittenFile) {
  const std::string folder = ::testing::TempDir() + "qsweep_inc";
  std::filesystem::create_directories(folder);
  inc::write_maps(testing::tiny_text_run(), folder);
  const io::Json json = io::read_json_file(folder + "/inc_mse_v2.json");
  EXPECT_EQ(relative_errors(testing::tiny_text_run().fallback, json.at("fallback")),
            std::vector<double>(29, 0.0));
  EXPECT_EQ(relative_errors(testing::tiny_text_run().requant, json.at("requant")),
            std::vector<double>(29, 0.0));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qsweep
