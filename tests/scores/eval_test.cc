#include "scores/eval.h"

#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/eval_synthetic.h"
#include "scores/finalize.h"
#include "scores/schema.h"

namespace qsweep::scores {
namespace {

using ::testing::HasSubstr;

TEST(Eval, PredictsWhatItMeasures) {
  const EvalRun run = make_eval();
  const EvalRecipe& mixed = run.recipes[0];
  ASSERT_EQ(mixed.predicted.size(), kRankingMetrics.size());
  EXPECT_EQ(mixed.prediction({})->plain_sum, 18);
  EXPECT_EQ(mixed.sum({}), 30);
  EXPECT_TRUE(mixed.intervals.of({}).has_value());
  // Answers: halves of the sums, over 15 positions.
  EXPECT_EQ(mixed.prediction({Which::kl, Scope::answer})->plain_sum, 9);
  EXPECT_EQ(mixed.prediction({Which::kl, Scope::answer})->positions, 15);
  EXPECT_EQ(mixed.prediction({Which::hidden_sse, Scope::all})->plain_sum, 36);
  EXPECT_EQ(run.settings["metric"], "kl:all");
}

TEST(Eval, ErrorsOfSamplesAddUpToTheWhole) {
  for (const Scope scope : kAllScopes) {
    const EvalRun run = make_eval();
    const EvalRecipe& mixed = run.recipes[0];
    double sum = 0;
    for (const double error : mixed.sample_errors[static_cast<size_t>(scope)]) sum += error;
    EXPECT_EQ(sum, mixed.sum({Which::kl, scope}));
  }
}

TEST(Eval, RoundTrip) {
  const EvalRun run = make_eval();
  const EvalRun read = eval_from_json(io::parse_json(to_text(to_json(run)), "t"), "t");
  EXPECT_EQ(to_text(to_json(read)), to_text(to_json(run)));
  EXPECT_EQ(to_csv(read), to_csv(run));
  EXPECT_EQ(read.recipes[1].prediction({})->missing, run.recipes[1].prediction({})->missing);
}

TEST(Eval, KeysAsPublished) {
  std::vector<std::string> keys;
  const io::Json json = to_json(make_eval());
  for (const auto& item : json["recipes"][1].items()) keys.push_back(item.key());
  EXPECT_THAT(keys, ::testing::ElementsAre("name", "rules_file", "formats", "float_ops", "quantized_ops",
                                           "effective_bits", "uncalibrated", "unexercised", "ops",
                                           "mixed_groups", "metrics", "sample_errors", "predicted"));
  EXPECT_EQ(json["recipes"][1]["formats"], (io::Json{{"mxfp4", 1}, {"w8a8", 2}}));
  EXPECT_EQ(json["recipes"][1]["predicted"][0]["missing"], io::Json({"model.layers.0.mlp.down_proj"}));
  EXPECT_TRUE(json["recipes"][2]["predicted"].is_null());
  EXPECT_EQ(json["recipes"][2]["metrics"], nullptr) << "not finite";
  EXPECT_EQ(json["recipes"][2]["sample_errors"], nullptr) << "not finite";
  EXPECT_EQ(json["recipes"][0]["sample_errors"]["all"].size(), 3u);
  EXPECT_EQ(json["sample_positions"], (io::Json{{"all", {10, 10, 10}}, {"answer", {5, 5, 5}}}));
}

TEST(Eval, OneRowPerRecipe) {
  std::istringstream csv(to_csv(make_eval()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 4u);
  for (const std::string& line : lines)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(lines[0].begin(), lines[0].end(), ','))
        << line;
  EXPECT_THAT(
      lines[0],
      HasSubstr(",predicted_kl_all_corrected,predicted_kl_all_with_pairs,predicted_kl_all_plain_sum,"));
  for (const Metric metric : kRankingMetrics)
    EXPECT_THAT(lines[0],
                HasSubstr(fmt::format("predicted_{}_{}_corrected", name(metric.which), name(metric.scope))));
  EXPECT_THAT(lines[1],
              ::testing::StartsWith(
                  "mixed,mixed.json,6.5,2,2,,visual.blocks.0.attn.qkv,60,120,30,3.75,3,30,27,240,480,"));
  EXPECT_THAT(lines[2], HasSubstr(",18,30,1,")) << "plain sum 18 of 30 positions with 1 op missing";
}

TEST(Eval, FilesAreWrittenAndRead) {
  const TemporaryFolder folder;
  const EvalRun run = make_eval();
  write_eval(run, folder.path());
  EXPECT_EQ(folder.read("eval.json"), to_text(to_json(run)));
  EXPECT_EQ(folder.read("eval.csv"), to_csv(run));
  EXPECT_EQ(to_text(to_json(read_eval(folder.path()))), to_text(to_json(run)));
}

TEST(Eval, ErrorsNameThePlace) {
  const struct {
    std::function<void(io::Json&)> damage;
    const char* message;
  } cases[] = {
      {[](io::Json& j) { j["schema"] = "qsweep.scores/1"; },
       "t: \"schema\": expected \"qsweep.eval/1\", found \"qsweep.scores/1\""},
      {[](io::Json& j) { j["recipes"] = 1; }, "t: \"recipes\": expected an array"},
      {[](io::Json& j) { j["recipes"][1]["name"] = "mixed"; }, "\"mixed\" is there twice"},
      {[](io::Json& j) { j["recipes"][0]["ops"]["lm_head"] = 8; },
       "t: recipes[0]: ops: \"lm_head\": expected a string, found 8"},
      {[](io::Json& j) { j["recipes"][0]["quantized_ops"] = 9; },
       "t: recipes[0]: \"quantized_ops\": expected the 2 of \"ops\", found 9"},
      {[](io::Json& j) { j["recipes"][0]["uncalibrated"] = "none"; }, "expected an array of strings"},
      {[](io::Json& j) { j["recipes"][0].erase("metrics"); }, "t: recipes[0]: missing key \"metrics\""},
      {[](io::Json& j) { j["recipes"][0]["predicted"][0]["metric"] = "top1"; }, "metric \"top1\""},
      {[](io::Json& j) { j["recipes"][0]["predicted"][0]["missing"] = {"lm_head"}; },
       "t: recipes[0]: predicted[0]: \"missing\": expected ops of the recipe, found \"lm_head\""},
      {[](io::Json& j) { j["recipes"][1]["sample_errors"]["answer"].push_back(1); },
       "t: recipes[1]: sample_errors: \"answer\": expected 3 numbers, one for each sample of the data, found "
       "4"},
      {[](io::Json& j) { j["sample_positions"].erase("all"); }, "t: sample_positions: missing key \"all\""},
      {[](io::Json& j) { j["settings"].erase("metric"); }, "t: settings: missing key \"metric\""},
  };
  const io::Json good = to_json(make_eval());
  for (const auto& test : cases) {
    io::Json bad = good;
    test.damage(bad);
    try {
      eval_from_json(bad, "t");
      ADD_FAILURE() << "accepted: " << test.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(test.message));
    }
  }
}

TEST(Eval, MissingSamplesBreakTheContract) {
  auto run = make_eval();
  run.recipes[0].per_sample.pop_back();
  EXPECT_THROW(finalize(run, {}), ContractError);
}

}  // namespace
}  // namespace qsweep::scores
