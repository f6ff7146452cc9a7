// qsweep compare of two recipes by the scores of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choose/small_run.h"
#include "program.h"
#include "scores/files.h"
#include "scores/sketches.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CompareRecipes : public ::testing::Test {
 protected:
  void SetUp() override { write(choose::small_run()); }

  void write(const scores::Run& scored) const {
    std::filesystem::create_directories(run);
    scores::write_scores(scored, run);
  }
  std::string recipe(const std::string& name, const std::string& rules) const {
    return place.write(name + ".json", fmt::format(R"({{"name": "{}", "rules": [{}]}})", name, rules));
  }
  io::Json compared(const std::string& from, const std::string& to, const Arguments& more = {}) const {
    Arguments arguments{"compare", from, to, "--run", run, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return io::read_json_file(out + "/compare_recipes.json");
  }
  void expect_refused(const Arguments& arguments, const std::string& words) const {
    const auto before = files_in(run);
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr(words)));
    EXPECT_EQ(files_in(run), before);
    EXPECT_FALSE(std::filesystem::exists(out));
  }

  const Workplace place;
  const std::string run = place.at("run"), out = place.at("out");
  // Everything in eight bits; of B, q, k and v in four and the head in float.
  const std::string a = recipe("eight", R"({"ops": "*", "format": "w8a8"})");
  const std::string b = recipe("mixed", R"({"ops": "*", "format": "w8a8"},
    {"ops": "model.language_model.layers.0.self_attn.qkv_proj", "format": "w4a16_g32"},
    {"ops": "lm_head", "format": "float"})");
};

TEST_F(CompareRecipes, SaysWhereTheyDifferAndWhatThatCosts) {
  const io::Json json = compared(a, b);
  EXPECT_EQ(json["schema"], "qsweep.compare_recipes/1");
  EXPECT_EQ(json["a"]["name"], "eight");
  EXPECT_EQ(json["b"]["rules_file"], "mixed.json");
  EXPECT_EQ(json["same_ops"], 3);
  EXPECT_EQ(json["predicted_by"], "kappa");
  ASSERT_EQ(json["differing"].size(), 2u);
  const io::Json& qkv = json["differing"][0];
  EXPECT_EQ(qkv["name"], "model.layers.0.self_attn.qkv");
  EXPECT_EQ(qkv["ops"].size(), 3u);
  EXPECT_EQ(qkv["a"], "w8a8");
  EXPECT_EQ(qkv["b"], "w4a16_g32");
  EXPECT_EQ(qkv["stored_bits"], 1024 * 9 / 2 - (1024 * 8 + 16 * 32));
  EXPECT_EQ(json["differing"][1]["b"], "float");
  // 28 in eight bits, twice that measured; 60 in four, half of them; 15 in eight.
  EXPECT_NEAR(json["a"]["predicted"], 56 / 30.0, 1e-12);
  EXPECT_NEAR(json["b"]["predicted"], 75 * (1 + 15 / 28.0 - 0.5 * 60 / 280.0) / 30, 1e-12);
  EXPECT_NEAR(json["change"]["predicted"].get<double>(),
              qkv["predicted"].get<double>() + json["differing"][1]["predicted"].get<double>(), 1e-12);
  EXPECT_EQ(json["change"]["stored_bits"], 1024 * 9 / 2 - (1024 * 8 + 16 * 32) + 1024 * 8 - 16 * 32);
  EXPECT_THAT(
      read_text(out + "/compare_recipes.md"),
      AllOf(HasSubstr("# Two recipes for `small`"), HasSubstr("- 4 of 7 ops differ."),
            HasSubstr("| `model.layers.0.self_attn.qkv` (3 ops) | `w8a8` | `w4a16_g32` | -1.00 | +")));
}

TEST_F(CompareRecipes, StandsInTheRunWhereNothingElseIsSaid) {
  const auto before = files_in(run);
  const Outcome outcome = run_qsweep({"compare", a, b, "--run", run + "/scores.json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("4 of 7 ops differ."), HasSubstr("B less A"),
                                 HasSubstr("lm_head: w8a8 -> float"), HasSubstr("/compare_recipes.json")));
  auto after = files_in(run);
  EXPECT_EQ(after.erase("compare_recipes.md") + after.erase("compare_recipes.json"), 2u);
  EXPECT_EQ(after, before);
}

TEST_F(CompareRecipes, StandsOnThePageOfTheRunThatIsReportedWithIt) {
  compared(a, b);
  const Outcome outcome = run_qsweep({"report", run, "--with", out});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(read_text(run + "/report.html"),
              AllOf(HasSubstr("\"difference\":{\"metric\":\"kl:all\""), HasSubstr("\"name\":\"mixed\"")));
}

// The sketches are one number per position and score, alike for all: C_ij = 1/2 per position and pair.
TEST_F(CompareRecipes, WithPairsWhereTheRunHasSketches) {
  const scores::Run scored = choose::small_run();
  std::vector<size_t> all(14);
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  const std::vector<std::vector<uint8_t>> answers(3, {0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
  scores::Sketches sketches(scores::Which::kl, 1, answers, all);
  for (const size_t score : all)
    for (int64_t sample = 0; sample < 3; ++sample) {
      std::ranges::fill(sketches.of(score, sample), 1.f);
      sketches.error(score, sample) = {
          scored.scores[score].per_sample[static_cast<size_t>(sample)].all.kl,
          scored.scores[score].per_sample[static_cast<size_t>(sample)].answer.kl};
    }
  scores::write_sketches(scored, sketches, run);
  const io::Json json = compared(a, b);
  EXPECT_EQ(json["predicted_by"], "pairs");
  EXPECT_NEAR(json["a"]["predicted"], (28 + 7 * 6 * 15) / 30.0, 1e-9);
  EXPECT_NEAR(json["b"]["predicted"], (75 + 6 * 5 * 15) / 30.0, 1e-9);
  // 7 less, and no pairs with the six others.
  EXPECT_NEAR(json["differing"][1]["predicted"], (-7 - 2 * 6 * 15) / 30.0, 1e-9);
  EXPECT_NEAR(json["differing"][0]["predicted"], (60 - 6) / 30.0, 1e-9);
}

TEST_F(CompareRecipes, OneSideMayBeAnotherTools) {
  const std::string layers = place.write("layers.json", R"({
    "model.language_model.layers.0.self_attn.q_proj": {"bits": 8, "group_size": -1, "act_bits": 16},
    "k_proj|v_proj|down_proj": {"bits": 16, "act_bits": 16}})");
  const Outcome imported =
      run_qsweep({"import", layers, "--kind", "auto-round", "--run", run, "--out", place.at("theirs.json")});
  ASSERT_EQ(imported.code, 0) << imported.err;
  const io::Json json =
      compared(place.at("theirs.json"), recipe("float", R"({"ops": "*", "format": "float"})"));
  ASSERT_EQ(json["differing"].size(), 1u);
  EXPECT_EQ(json["differing"][0]["a"], "w8a16");
  EXPECT_THAT(json["a"]["unscored"], ElementsAre("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(json["differing"][0]["predicted"].is_null());
  EXPECT_TRUE(json["change"]["predicted"].is_null());
  EXPECT_THAT(read_text(out + "/compare_recipes.md"),
              HasSubstr("Without a score in A, and left out of its predicted error: model.layers.0."));
}

TEST_F(CompareRecipes, EqualOnesDifferNowhere) {
  const io::Json json = compared(a, a, {"--metric", "kl:answer"});
  EXPECT_EQ(json["metric"], "kl:answer");
  EXPECT_EQ(json["differing"].size(), 0u);
  EXPECT_EQ(json["change"]["predicted"], 0);
  EXPECT_THAT(read_text(out + "/compare_recipes.md"), Not(HasSubstr("## Where they differ")));
}

TEST_F(CompareRecipes, WithoutIsolatedScoresBitsAreCompared) {
  scores::Run scored = choose::small_run();
  for (scores::ScoreRecord& score : scored.scores) score.mode = scores::Mode::leave_one_out;
  finalize(scored, {}, 1);
  write(scored);
  const io::Json json = compared(a, b);
  EXPECT_TRUE(json["predicted_by"].is_null());
  EXPECT_TRUE(json["a"]["predicted"].is_null());
  EXPECT_EQ(json["differing"].size(), 2u);
  EXPECT_THAT(read_text(out + "/compare_recipes.md"), HasSubstr("no error is predicted"));
}

TEST_F(CompareRecipes, BadInput) {
  expect_refused({"compare", a, b}, "expected --run RUN");
  expect_refused({"compare", a, b, "--run", place.at("none"), "--out", out}, "--run: ");
  expect_refused({"compare", run, a, "--run", run, "--out", out}, "run");
  expect_refused({"compare", a, run + "/scores.json", "--run", run, "--out", out}, "unknown key \"schema\"");
  expect_refused({"compare", a, b, "--run", run, "--format", "w8a8", "--out", out},
                 "--format excludes --run");
  expect_refused({"compare", a, b, "--run", run, "--metric", "top1_flips", "--out", out}, "--metric: ");
  expect_refused(
      {"compare", a, recipe("none", R"({"ops": "*.up_proj", "format": "w8a8"})"), "--run", run, "--out", out},
      "no op matches \"*.up_proj\"");
  const std::string trap =
      place.write("run/compare_recipes.json", R"({"name": "x", "rules": [{"ops": "*", "format": "w8a8"}]})");
  expect_refused({"compare", trap, b, "--run", run}, "--out");
}

}  // namespace
}  // namespace qsweep::cli
