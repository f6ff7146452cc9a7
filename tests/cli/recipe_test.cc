// qsweep recipe: recipes from the scores of a run, for `eval`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choose/small_run.h"
#include "program.h"
#include "score_run.h"
#include "scores/files.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class RecipeCommand : public ::testing::Test {
 protected:
  void SetUp() override { write(choose::small_run()); }

  void write(const scores::Run& scored) const {
    std::filesystem::create_directories(run);
    scores::write_scores(scored, run);
  }
  // The recipes of a run that succeeds.
  io::Json recipes(const Arguments& more) const {
    Arguments arguments{"recipe", run, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return io::read_json_file(out + "/recipes.json")["recipes"];
  }
  void expect_refused(const Arguments& more, const std::string& words) const {
    Arguments arguments{"recipe", run, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr(words)));
    EXPECT_EQ(place.entries(), 1) << "nothing is left behind";
  }

  const Workplace place;
  const std::string run = place.at("run"), out = place.at("out");
};

TEST_F(RecipeCommand, WritesARecipeAndSaysWhatItCosts) {
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9", "--out", out});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(
      outcome.out,
      AllOf(HasSubstr("Bits cover all 7 ops; 7 of them are chosen for, in w8a8, w4a16_g32 or float."),
            HasSubstr("Nothing is known of pairs (the run has no sketches of the metric: score --sketch)"),
            HasSubstr("The least sum of scores is proved for every budget."), HasSubstr("bits_9"),
            HasSubstr("kl:all predicted"), HasSubstr("/recipe.json")));
  const io::Json recipe = io::read_json_file(out + "/recipe.json");
  EXPECT_EQ(recipe["name"], "bits_9");
  const io::Json json = io::read_json_file(out + "/recipes.json");
  EXPECT_EQ(json["schema"], "qsweep.recipes/1");
  EXPECT_EQ(json["settings"]["bits"], io::Json({"9"}));
  const io::Json& chosen = json["recipes"][0];
  EXPECT_LE(chosen["effective_bits"], 9);
  EXPECT_EQ(chosen["predicted_by"], "kappa");
  for (const io::Json& rule : recipe["rules"]) EXPECT_EQ(chosen["ops"][rule["ops"]], rule["format"]);
  EXPECT_EQ(recipe["rules"].size(), chosen["ops"].size());
  EXPECT_THAT(read_text(out + "/recipes.md"),
              AllOf(HasSubstr("# Recipes chosen for `small`"), HasSubstr("`bits_9`")));
  EXPECT_EQ(files_in(out).size(), 4u);
}

TEST_F(RecipeCommand, SeveralBudgetsHaveAFileEachAndAPicture) {
  const io::Json all = recipes({"--bits", "5..7:1,8.5"});
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3]["name"], "bits_8.5");
  for (const io::Json& recipe : all) EXPECT_TRUE(files_in(out).contains(recipe["rules_file"]));
  EXPECT_THAT(files_in(out)["recipes.svg"], AllOf(StartsWith("<svg"), HasSubstr("bits per weight")));
  EXPECT_THAT(files_in(out)["recipes.md"], HasSubstr("(recipes.svg)"));
}

TEST_F(RecipeCommand, WhatIsFixedStays) {
  const io::Json recipe =
      recipes({"--bits", "8", "--fix", "*down_proj=w4a16_g32", "--keep-float", "lm_head"})[0];
  EXPECT_EQ(recipe["ops"]["model.layers.0.mlp.down_proj"], "w4a16_g32");
  EXPECT_EQ(recipe["ops"]["model.layers.1.mlp.down_proj"], "w4a16_g32");
  EXPECT_FALSE(recipe["ops"].contains("lm_head"));
}

TEST_F(RecipeCommand, BySizeAndByError) {
  EXPECT_LE(recipes({"--size", "5K"})[0]["checkpoint_bytes"], 5120);
  std::filesystem::remove_all(out);
  EXPECT_LE(recipes({"--error", "0.3"})[0]["plain_sum"], 0.3);
}

TEST_F(RecipeCommand, JsonForPrograms) {
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9", "--out", out, "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const io::Json summary = io::parse_json(outcome.out, "summary");
  EXPECT_EQ(summary["command"], "recipe");
  EXPECT_EQ(summary["recipes"][0]["name"], "bits_9");
  EXPECT_EQ(summary["files"].size(), 4u);
}

TEST_F(RecipeCommand, EstimatesAreSaid) {
  scores::Run scored = choose::small_run();
  for (scores::ScoreRecord& score : scored.scores) score.method = scores::Method::adjoint;
  finalize(scored, {}, 1);
  write(scored);
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9", "--out", out});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              HasSubstr("Scores are estimates, not exact: w8a8 (adjoint), w4a16_g32 (adjoint)."));
}

TEST_F(RecipeCommand, BadInput) {
  expect_refused({}, "expected one of --bits, --size and --error, found none");
  expect_refused({"--bits", "3"},
                 "--bits: 3: expected bits from 4.5, the cheapest recipe, to 16, everything in float");
  expect_refused({"--bits", "17"}, "found 17");
  expect_refused({"--bits", "4..5"}, "expected a value, or LOW..HIGH:STEP");
  expect_refused({"--bits", "four"}, "expected a number above 0, found \"four\"");
  expect_refused({"--size", "5"}, "expected a size with its unit");
  expect_refused({"--bits", "8", "--formats", "fp8"}, "found \"fp8\"");
  expect_refused({"--bits", "8", "--group", "layer"}, "--group: expected one of fused, op, block, role");
  expect_refused({"--bits", "8", "--fix", "lm_head"}, "--fix: expected GLOB=FORMAT");
  expect_refused({"--bits", "8", "--fix", "head=w8a8"}, "--fix: no op of the run matches \"head\"");
  expect_refused({"--bits", "8", "--fix", "lm_head=w3"}, "--fix: unknown format \"w3\"");
  expect_refused({"--bits", "8", "--keep-float", "*.q_proj"},
                 "expected all or none of the ops that are stored as");
  expect_refused({"--bits", "8", "--metric", "top1_flips"}, "--metric: ");
}

TEST_F(RecipeCommand, RunsThatAreNone) {
  scores::Run scored = choose::small_run();
  for (scores::ScoreRecord& score : scored.scores) score.mode = scores::Mode::leave_one_out;
  finalize(scored, {}, 1);
  write(scored);
  expect_refused({"--bits", "8"}, "expected isolated scores of kl:all, found w4a16_g32 leave-one-out exact");
  edit_json(run + "/scores.json", [](io::Json& json) { json["schema"] = "qsweep.scores/9"; });
  expect_refused({"--bits", "8"}, "qsweep.scores/9");
}

// ModelOpt's int8 inputs are symmetric, those of w8a8 are not; the head is its own tensor here.
TEST_F(RecipeCommand, ChoosesWhatAStackCanHave) {
  scores::Run scored = choose::small_run();
  scored.model.tied_embeddings = false;
  write(scored);
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9", "--out", out, "--stack", "modelopt"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("of them are chosen for, in w8a8, w4a16_g32 or float."));
  const io::Json recipe = io::read_json_file(out + "/recipes.json")["recipes"][0];
  EXPECT_GT(recipe["ops"].size(), 0u);
  for (const auto& op : recipe["ops"].items()) EXPECT_EQ(op.value(), "w4a16_g32") << op.key();
}

TEST_F(RecipeCommand, WhatAStackLeavesFloatIsNamed) {
  const Outcome outcome =
      run_qsweep({"recipe", run, "--bits", "10", "--out", out, "--stack", "compressed-tensors"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("lm_head stays float: the stacks asked for take no format"));
  const io::Json json = io::read_json_file(out + "/recipes.json");
  EXPECT_FALSE(json["recipes"][0]["ops"].contains("lm_head"));
  EXPECT_EQ(json["choices"]["refused"], io::Json::array({"lm_head"}));
}

TEST_F(RecipeCommand, ExportsEveryRecipe) {
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9,10", "--out", out, "--export",
                                      "llm-compressor", "--export", "compressed-tensors"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const std::string recipe : {"bits_9", "bits_10"}) {
    EXPECT_THAT(read_text(out + "/llm-compressor_" + recipe + "/recipe.yaml"),
                HasSubstr("QuantizationModifier"));
    const std::string folder = out + "/compressed-tensors_" + recipe;
    EXPECT_THAT(read_text(folder + "/quantization_config.json"), HasSubstr("config_groups"));
    EXPECT_EQ(io::read_json_file(folder + "/recipe.json")["name"], recipe);
    EXPECT_THAT(read_text(folder + "/README.md"), HasSubstr("predicted"));
  }
}

TEST_F(RecipeCommand, WhatAStackCannotHaveIsRefused) {
  const Arguments bits{"--bits", "10"};
  const auto with_bits = [&](Arguments more) {
    more.insert(more.end(), bits.begin(), bits.end());
    return more;
  };
  expect_refused(with_bits({"--stack", "none"}),
                 "--stack: unknown kind of export \"none\"; known: modelopt, ");
  expect_refused(with_bits({"--export", "none"}), "--export: unknown kind of export \"none\"");
  expect_refused(with_bits({"--stack", "compressed-tensors", "--fix", "lm_head=w8a8"}),
                 "--fix: \"lm_head\": ");
}

TEST_F(RecipeCommand, AFolderThatExistsIsLeftAlone) {
  place.write("out/mine.txt", "mine");
  const Outcome outcome = run_qsweep({"recipe", run, "--bits", "9", "--out", out});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected a new folder, found one with files"));
  EXPECT_EQ(files_in(out).size(), 1u);
}

TEST_F(RecipeCommand, SketchesOfTheRunGivePairs) {
  const std::string scored =
      score_run(place, "scored", testdata("tiny-qwen2.5-vl"),
                {"--format", "w4a16_g32", "--ops", "model.layers.0.*", "--sketch", "16"})
          .folder;
  const Outcome chosen = run_qsweep({"recipe", scored, "--bits", "15.5,16", "--out", out});
  ASSERT_EQ(chosen.code, 0) << chosen.err;
  EXPECT_THAT(chosen.out,
              HasSubstr("Predicted errors are the sum of the scores and what pairs of them add to it."));
  const io::Json recipe = io::read_json_file(out + "/recipes.json")["recipes"][0];
  EXPECT_EQ(recipe["predicted_by"], "pairs");
  EXPECT_NE(recipe["predicted"], recipe["plain_sum"]);
  const Outcome other =
      run_qsweep({"recipe", scored, "--bits", "15.5", "--metric", "logits_sse", "--out", place.at("other")});
  EXPECT_THAT(other.out, HasSubstr("the run has no sketches of the metric")) << other.err;
}

TEST_F(RecipeCommand, EvalTakesWhatItWrites) {
  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const std::string scored = score_run(place, "scored", tiny, {"--format", "w8a16"}).folder;
  const Outcome chosen = run_qsweep({"recipe", scored, "--bits", "12", "--out", out});
  ASSERT_EQ(chosen.code, 0) << chosen.err;
  EXPECT_THAT(chosen.out, HasSubstr("without a score in a format in question")) << "captions have no images";
  const Outcome measured = run_qsweep({"eval", tiny, "--data", testdata("data/captions.txt"), "--samples",
                                       "1", "--recipe", out + "/recipe.json", "--out", place.at("eval")});
  ASSERT_EQ(measured.code, 0) << measured.err;
  const io::Json recipe = io::read_json_file(place.at("eval/eval.json"))["recipes"][0];
  const io::Json json = io::read_json_file(out + "/recipes.json")["recipes"][0];
  EXPECT_NEAR(recipe["effective_bits"].get<double>(), json["effective_bits"].get<double>(), 1e-9);
  EXPECT_EQ(recipe["ops"], json["ops"]);
  int64_t bytes = 0;  // of the checkpoint as it is
  for (const auto& file : std::filesystem::directory_iterator(tiny))
    if (file.path().extension() == ".safetensors") bytes += static_cast<int64_t>(file.file_size());
  EXPECT_LT(json["checkpoint_bytes"].get<int64_t>(), bytes);
}

}  // namespace
}  // namespace qsweep::cli
