// qsweep eval: recipes that are measured, and what is refused.
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Relative difference; infinite for NaN.
double difference(double a, double b) {
  const double relative = std::abs(a - b) / std::abs(b);
  return std::isnan(relative) ? INFINITY : relative;
}

class Eval : public ::testing::Test {
 protected:
  std::string recipe(const std::string& name, const std::string& rules) const {
    return place.write(name + ".json", R"({"name": ")" + name + R"(", "rules": [)" + rules + "]}");
  }
  EvalRun eval(const std::string& name, Arguments flags) const {
    const Arguments few{"--samples", "2", "--threads", "1"};
    flags.insert(flags.end(), few.begin(), few.end());
    return eval_run(place, name, tiny, flags);
  }

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const std::string with_images = testdata("data/eval.jsonl");
  const std::string mixed = testdata("recipes/mixed.json");
  const Workplace place;
  const std::string all = recipe("all", R"({"ops": "*", "format": "w8a8"})");
  const std::string one = recipe("one", R"({"ops": "model.layers.2.mlp.up_proj", "format": "w4a8"})");
  const std::string none =
      recipe("none", R"({"ops": "*", "format": "w4a8"}, {"ops": "*", "format": "float"})");
};

TEST_F(Eval, RecipesBesideWhatScoresPredict) {
  const Arguments data{"--data", with_images, "--precision", "strict"};
  Arguments both = data;
  both.insert(both.end(), {"--format", "w8a8", "--format", "w4a8", "--samples", "2", "--threads", "1"});
  const ScoreRun scores = score_run(place, "scores", tiny, both);
  Arguments flags = data;
  flags.insert(flags.end(), {"--recipe", mixed, all, "--recipe", one, none, "--scores", scores.folder});
  const EvalRun run = eval("run", flags);
  ASSERT_EQ(run.json["recipes"].size(), 4u);
  for (const auto& [i, name] :
       {std::pair{0, "mixed"}, std::pair{1, "all"}, std::pair{2, "one"}, std::pair{3, "none"}}) {
    const io::Json& recipe = run.recipe(static_cast<size_t>(i));
    EXPECT_EQ(recipe["name"], name);
    EXPECT_EQ(recipe["rules_file"], std::string(name) + ".json");
    EXPECT_EQ(recipe["quantized_ops"].get<int64_t>() + recipe["float_ops"].get<int64_t>(), kOps);
    EXPECT_EQ(recipe["ops"].size(), recipe["quantized_ops"]);
    EXPECT_EQ(recipe["unexercised"], io::Json::array());
    EXPECT_EQ(recipe["predicted"].size(), 6u) << "kl and the two squared errors, of both scopes";
    EXPECT_EQ(recipe["predicted"][0]["missing"], io::Json::array());
  }
  EXPECT_EQ(run.recipe(0)["formats"], (io::Json{{"w4a8", 17}, {"w8a8", 58}}));
  EXPECT_EQ(run.recipe(0)["ops"]["model.layers.0.mlp.down_proj"], "w8a8") << "a later rule";
  EXPECT_FALSE(run.recipe(0)["ops"].contains("lm_head"));
  EXPECT_EQ(run.recipe(3)["effective_bits"], 16);
  EXPECT_EQ(kl(run.recipe(3)), 0) << "float is the reference";
  // Everything in one format is a baseline of the scores, and a single op is a score. A recipe is carried as
  // values, a score as differences.
  EXPECT_TRUE(difference(kl(run.recipe(1)), kl(scores.json["baselines"][0])) <= 1e-6);
  const io::Json& predicted = run.recipe(1)["predicted"][0];
  EXPECT_EQ(predicted["metric"], "kl:all");
  EXPECT_TRUE(difference(predicted["corrected"], kl(scores.json["baselines"][0])) <= 1e-9);
  for (const io::Json& score : scores.scores())
    if (score["format"] == "w4a8" && score["op"] == "model.layers.2.mlp.up_proj") {
      EXPECT_TRUE(difference(kl(run.recipe(2)), kl(score)) <= 1e-2);
      EXPECT_EQ(run.recipe(2)["predicted"][0]["plain_sum"], kl(score));
    }
  EXPECT_THAT(run.outcome.err, ::testing::MatchesRegex(
                                   "warning: one: several formats in model.layers.2.mlp.gate_up, [^\n]*\n"));
  EXPECT_THAT(run.outcome.out,
              ::testing::ContainsRegex("recipe +bits per weight +kl:all per position +predicted\n"
                                       "mixed +[0-9.]+ +[0-9.]+ +[0-9.]+\n"));
  const std::string report = read_text(run.folder + "/eval.md"), csv = read_text(run.folder + "/eval.csv");
  EXPECT_THAT(report, AllOf(HasSubstr("| KL predicted | KL, plain sum | Measured / predicted |"),
                            HasSubstr("| `mixed` | "), HasSubstr("## Predicted and measured")));
  EXPECT_THAT(csv, AllOf(HasSubstr(",predicted_kl_all_corrected,"), HasSubstr("\nmixed,mixed.json,"),
                         HasSubstr("\nnone,none.json,16,0,76,")));
  EXPECT_EQ(files_in(run.folder).size(), 5u);
}

TEST_F(Eval, WithoutScoresNothingIsPredicted) {
  const EvalRun run = eval("run", {"--recipe", one, "--metric", "logits_sse:answer"});
  EXPECT_TRUE(run.recipe(0)["predicted"].is_null());
  EXPECT_EQ(run.json["settings"]["metric"], "logits_sse:answer");
  EXPECT_THAT(run.outcome.out,
              AllOf(HasSubstr(" logits_sse:answer per position\n"), Not(HasSubstr("predicted"))));
  EXPECT_THAT(read_text(run.folder + "/eval.md"), Not(HasSubstr("KL predicted")));
}

TEST_F(Eval, OpsThatTheDataDoesNotReachAreListed) {
  const ScoreRun scores = score_run(place, "scores", tiny, {"--samples", "2", "--threads", "1"});
  const EvalRun run = eval("run", {"--recipe", all, "--scores", scores.folder});
  EXPECT_EQ(run.recipe(0)["quantized_ops"], kOps);
  EXPECT_EQ(run.recipe(0)["unexercised"].size(), static_cast<size_t>(kVisionOps));
  EXPECT_EQ(run.recipe(0)["uncalibrated"], io::Json::array());
  EXPECT_LT(run.recipe(0)["effective_bits"], 9);
  EXPECT_EQ(run.recipe(0)["predicted"][0]["missing"], io::Json::array()) << "they change nothing";
  EXPECT_THAT(run.outcome.err, HasSubstr("warning: all: 33 ops that no sample reaches"));
  EXPECT_THAT(read_text(run.folder + "/eval.md"), HasSubstr("- 33 ops of `all` had no row of the data"));
}

TEST_F(Eval, OpsWithoutCalibrationStayFloat) {
  const std::string calib = place.write("calib.txt", "A red circle.\nA blue square.\n");
  const EvalRun run =
      eval("run", {"--recipe", all, "--recipe", one, "--data", with_images, "--calib", calib});
  EXPECT_EQ(run.recipe(0)["uncalibrated"].size(), static_cast<size_t>(kVisionOps));
  EXPECT_EQ(run.recipe(0)["float_ops"], kVisionOps);
  EXPECT_EQ(run.recipe(1)["uncalibrated"], io::Json::array());
  EXPECT_THAT(run.outcome.err, HasSubstr("warning: all: 33 ops that no calibration sample reaches"));
}

// A prediction from estimates of some ops says what it leaves out.
TEST_F(Eval, EstimatesPredictToo) {
  const ScoreRun scores = score_run(
      place, "scores", tiny,
      {"--samples", "2", "--threads", "1", "--method", "adjoint", "--ops", "*.mlp.*", "--format", "w4a8"});
  const std::string rest = recipe("rest", R"({"ops": "model.layers.2.*", "format": "w4a8"})");
  const EvalRun run = eval("run", {"--recipe", one, rest, "--scores", scores.folder});
  const io::Json &of_one = run.recipe(0)["predicted"], &of_rest = run.recipe(1)["predicted"];
  ASSERT_EQ(of_one.size(), 1u) << "only kl is estimated";
  EXPECT_GT(of_one[0]["plain_sum"], 0);
  EXPECT_EQ(of_one[0]["missing"], io::Json::array());
  EXPECT_TRUE(of_one[0]["corrected"].is_null()) << "nobody knows how the errors of all ops add up";
  EXPECT_EQ(of_rest[0]["missing"].size(), 4u);
  EXPECT_THAT(run.outcome.err, HasSubstr("warning: rest: 4 ops without a score, left out of the prediction"));
}

TEST_F(Eval, EqualRunsGiveEqualResultsAndTheModelMayComeLast) {
  const auto measured = [&](const std::string& name) {
    const std::string out = place.at(name);
    const Outcome outcome =
        run_qsweep({"eval", "--data", testdata("data/captions.txt"), "--samples", "2", "--threads", "1",
                    "--memory", "1G", "--out", out, "--recipe", mixed, one, tiny});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return io::read_json_file(out + "/eval.json")["recipes"];
  };
  const io::Json first = measured("first");
  EXPECT_EQ(first.size(), 2u);
  EXPECT_TRUE(first == measured("second"));
}

TEST_F(Eval, DryRunWritesNothing) {
  const Outcome outcome = run_qsweep({"eval", tiny, "--data", with_images, "--samples", "1", "--recipe",
                                      mixed, all, "--out", place.at("run"), "--dry-run"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("2 recipes; about "), HasSubstr("memory plan: ")));
  EXPECT_FALSE(std::filesystem::exists(place.at("run")));
}

// Into the folder of a good run of `score` and of `eval`.
class BadEval : public BadInput {
 protected:
  void SetUp() override {
    BadInput::SetUp();
    const Outcome good = run_qsweep(eval({"--recipe", mixed, "--scores", place.at("run")}));
    ASSERT_EQ(good.code, 0) << good.err;
    remember();
  }
  Arguments eval(const Arguments& flags) const {
    Arguments arguments{"eval", tiny,        "--data", captions, "--samples",
                        "1",    "--threads", "1",      "--out",  place.at("run")};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return arguments;
  }
  void expect_eval_refused(const Arguments& flags, const std::vector<std::string>& words) const {
    expect_refused(eval(flags), words);
  }
  void expect_recipe_refused(const std::string& text, std::vector<std::string> words) const {
    words.insert(words.end(), {"--recipe", "bad.json"});
    expect_eval_refused({"--recipe", mixed, place.write("bad.json", text)}, words);
  }

  const std::string mixed = testdata("recipes/mixed.json");
};

TEST_F(BadEval, Flags) {
  expect_refused({"eval"}, {"required", "qsweep eval --help"});
  expect_eval_refused({}, {"--recipe is required"});
  expect_refused({"eval", tiny, "--recipe", mixed, "--out", place.at("run")}, {"--data is required"});
  expect_refused({"eval", tiny, "--recipe", mixed, "--data", captions}, {"--out is required"});
  expect_eval_refused({"--recipe"}, {"--recipe"});
  expect_eval_refused({"--recipe", ""}, {"--recipe", "expected a path, found an empty text"});
  expect_eval_refused({"--recipe", mixed, "--scores", ""},
                      {"--scores", "expected a path, found an empty text"});
  expect_eval_refused({"--recipe", mixed, "--format", "w8a8"}, {"--format", "not expected"});
  expect_eval_refused({"--recipe", mixed, "--metric", "loss"}, {"--metric", "loss"});
  expect_eval_refused({"--recipe", mixed, "--memory", "1M"}, {"--memory", "needs at least", "1 MiB"});
  expect_refused({"eval", tiny, "--data", captions, "--samples", "1", "--recipe", mixed, "--out",
                  place.write("file", "content")},
                 {"--out", "file", "expected a folder"});
  expect_refused(
      {"eval", place.at("nothing"), "--data", captions, "--recipe", mixed, "--out", place.at("run")},
      {"nothing"});
}

TEST_F(BadEval, Recipes) {
  expect_eval_refused({"--recipe", place.at("none.json")}, {"--recipe", "none.json", "cannot open"});
  expect_recipe_refused("{", {"not valid JSON"});
  expect_recipe_refused(R"({"name": "a", "rules": []})", {"at least one rule"});
  expect_recipe_refused(
      R"({"name": "a", "rules": [{"ops": "*", "format": "w3a3"}]})",
      {"rules[0]", "\"float\"", "unknown format \"w3a3\"", "w8a8, w8a8_static, w8a8_dynamic"});
  expect_recipe_refused(R"({"name": "a", "rules": [{"ops": "model.layers.9.*", "format": "w8a8"}]})",
                        {"no op matches \"model.layers.9.*\"", "qsweep inspect"});
  expect_recipe_refused(R"({"name": "mixed", "rules": [{"ops": "*", "format": "w8a8"}]})",
                        {"the name \"mixed\" is taken by another recipe"});
  expect_eval_refused({"--recipe", mixed, "--recipe", mixed}, {"the name \"mixed\" is taken"});
}

TEST_F(BadEval, ScoresThatCannotPredict) {
  const auto refused = [&](const std::string& folder, const std::vector<std::string>& words) {
    expect_eval_refused({"--recipe", mixed, "--scores", folder}, words);
  };
  refused(place.at("none"), {"--scores", "none/scores.json", "cannot open"});
  place.write("damaged/scores.json", "{}");
  refused(place.at("damaged"), {"--scores", "damaged/scores.json", "schema"});
  const ScoreRun other =
      score_run(place, "other", testdata("families/qwen2_5_vl"),
                {"--data", place.write("ids.jsonl", R"({"input_ids": [5, 6, 7, 8]})"), "--ops", "lm_head"});
  refused(other.folder, {"--scores", "expected scores of tiny-qwen2.5-vl", "found those of qwen2_5_vl"});
  const ScoreRun remaining =
      score_run(place, "remaining", tiny, {"--ops", "lm_head", "--mode", "leave-one-out"});
  refused(remaining.folder, {"--scores", "expected isolated scores"});
}

TEST_F(BadEval, RankingByAnswersThatAreNotThere) {
  const std::string question =
      place.write("question.jsonl", R"({"messages": [{"role": "user", "content": "Hello there"}]})");
  expect_refused({"eval", tiny, "--data", question, "--recipe", mixed, "--metric", "kl:answer", "--out",
                  place.at("run")},
                 {"--metric", "kl:answer", "no sample"});
}

}  // namespace
}  // namespace qsweep::cli
