// Caches of keys and values as a user meets them: score --kv, its files, recipes and refusals.
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "bad_input.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kCachedModel = testdata("tiny-qwen2.5-vl");
constexpr char kFirstCache[] = "model.layers.0.self_attn.kv";

std::set<std::string> ops_scored_in(const io::Json& scores, const std::string& format) {
  std::set<std::string> ops;
  for (const io::Json& score : scores)
    if (score["format"] == format) ops.insert(score["op"].get<std::string>());
  return ops;
}

TEST(Caches, AreOpsOfTheirOwnKindBesideLinearOnes) {
  const Workplace place;
  const ScoreRun run =
      score_run(place, "run", kCachedModel,
                {"--samples", "1", "--format", "w8a8_dynamic", "--kv", "fp8", "--kv", "kv_nvfp4"});
  EXPECT_EQ(run.json["ops"].size(), kOps + 6);
  EXPECT_EQ(ops_scored_in(run.scores(), "w8a8_dynamic").size(), kOps);
  for (const char* format : {"kv_fp8", "kv_nvfp4"}) {
    const std::set<std::string> ops = ops_scored_in(run.scores(), format);
    EXPECT_EQ(ops.size(), 6u);
    EXPECT_TRUE(ops.contains(kFirstCache));
  }
  for (const io::Json& op : run.json["ops"]) {
    const bool is_cache = op["name"].get<std::string>().ends_with(".kv");
    EXPECT_EQ(op.contains("kind"), is_cache);
    if (!is_cache) continue;
    EXPECT_EQ(op["kind"], "kv");
    EXPECT_EQ(op["heads"], 2);
    EXPECT_EQ(op["head_dim"], 32);
    EXPECT_EQ(op["in_features"], 128);
    EXPECT_EQ(op["parameters"], 0);
    EXPECT_EQ(op["role"], "kv");
  }
  for (const io::Json& score : run.scores()) {
    const std::string format = score["format"];
    if (!format.starts_with("kv_")) continue;
    EXPECT_EQ(score["effective_bits"], format == "kv_fp8" ? 8 : 4.5);
  }
  std::vector<std::string> baselines;
  for (const io::Json& baseline : run.json["baselines"]) baselines.push_back(baseline["name"]);
  EXPECT_THAT(baselines, ElementsAre("all:w8a8_dynamic", "all:kv_fp8", "all:kv_nvfp4"));
  EXPECT_THAT(run.outcome.out, HasSubstr(fmt::format("82 ops, {} scores to compute", kLanguageOps + 12)));
}

TEST(Caches, AloneAreScoredWithoutAFormatOfLinearOps) {
  const Workplace place;
  const ScoreRun run =
      score_run(place, "run", kCachedModel,
                {"--samples", "1", "--kv", "int8_token_head", "--ops", "model.layers.[01].*"});
  EXPECT_EQ(run.json["settings"]["format"].size(), 0u);
  EXPECT_EQ(run.json["settings"]["kv"], io::Json::array({"int8_token_head"}));
  EXPECT_EQ(run.scores().size(), 6u);
  EXPECT_EQ(std::ranges::count_if(run.scores(), [](const io::Json& s) { return s["status"] == "ok"; }), 2);
  EXPECT_EQ(run.scores()[0]["effective_bits"], 9);
}

TEST_F(BadInput, OfCaches) {
  const auto with = [&](Arguments more) { return score(tiny, captions, more); };
  expect_refused(with({"--kv", "fp4"}), {"--kv", "\"fp4\"", "kv_nvfp4"});
  expect_refused(with({"--kv", "fp8", "--kv", "kv_fp8"}), {"--kv", "kv_fp8", "twice"});
  expect_refused(with({"--format", "kv_fp8"}), {"--format", "kv_fp8", "--kv"});
  expect_refused(with({"--kv", "fp8", "--method", "hawq"}), {"--kv", "hawq"});
  expect_refused(with({"--kv", "fp8", "--inc"}), {"--inc", "--kv"});
  expect_refused(score(testdata("families/qwen3"), testdata("families/qwen3/samples.jsonl"),
                       {"--kv", "nvfp4", "--ops", "*"}),
                 {"kv_nvfp4", "heads of a multiple of 16", "heads of 24"});
}

class CacheRecipes : public ::testing::Test {
 protected:
  std::string recipe(const std::string& rules) const {
    return place.write("recipe.json", R"({"name": "one", "rules": [)" + rules + "]}");
  }
  io::Json evaluated(const std::string& name, const std::string& rules) const {
    return eval_run(place, name, kCachedModel, {"--samples", "1", "--recipe", recipe(rules)}).recipe(0);
  }
  void expect_refused(const std::string& rules, const std::string& words) const {
    const Outcome outcome = run_qsweep({"eval", kCachedModel, "--data", testdata("data/captions.txt"),
                                        "--recipe", recipe(rules), "--out", place.at("refused")});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(words));
  }
  const Workplace place;
};

TEST_F(CacheRecipes, GiveEveryKindItsFormat) {
  const std::string linear = R"({"ops": "*", "format": "w8a8_dynamic"})";
  const io::Json both = evaluated("both", linear + R"(, {"ops": "*", "format": "kv_fp8"},
                                                     {"ops": "model.layers.5.self_attn.kv", "format": "float"})");
  EXPECT_EQ(both["ops"].size(), kOps + 5);
  EXPECT_EQ(both["ops"][kFirstCache], "kv_fp8");
  EXPECT_EQ(both["ops"]["lm_head"], "w8a8_dynamic");
  const io::Json alone = evaluated("alone", linear);
  EXPECT_EQ(alone["ops"].size(), kOps);
  EXPECT_EQ(alone["effective_bits"], both["effective_bits"]);  // of weights, to which a cache adds none
  EXPECT_TRUE(kl(alone) != kl(both));
}

TEST_F(CacheRecipes, RefuseFormatsOfTheOtherKind) {
  expect_refused(R"({"ops": "*.self_attn.kv", "format": "w8a8"})",
                 "expected linear ops for the format w8a8, found caches alone");
  expect_refused(R"({"ops": "lm_head", "format": "kv_fp8"})",
                 "expected caches for the format kv_fp8, found linear ops alone");
}

}  // namespace
}  // namespace qsweep::cli
