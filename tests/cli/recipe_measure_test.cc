// qsweep recipe --measure: candidates are measured, held-out samples judge, a run that was ended goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The first ops of the tiny model, scored on three captions.
class RecipeMeasure : public ::testing::Test {
 protected:
  Outcome recipe(const Arguments& more, const std::string& to) const {
    Arguments arguments{"recipe", run, "--bits", "15.6,15.8", "--out", to};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_qsweep(arguments);
  }
  Arguments measuring(const Arguments& more = {}) const {
    Arguments arguments{"--measure", tiny, "--data", testdata("data/captions.txt"), "--samples", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  io::Json recipes(const Arguments& more, const std::string& to) const {
    const Outcome outcome = recipe(measuring(more), to);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? io::read_json_file(to + "/recipes.json") : io::Json();
  }
  void expect_refused(const Arguments& more, const std::string& words) const {
    const Outcome outcome = recipe(more, out);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(out)) << "nothing is left behind";
  }

  const Workplace place;
  const std::string tiny = testdata("tiny-qwen2.5-vl"), out = place.at("out");
  const std::string run =
      score_run(place, "run", tiny,
                {"--format", "w4a16_g32", "--format", "w8a16", "--ops", "model.layers.0.*", "--sketch", "16"})
          .folder;
};

TEST_F(RecipeMeasure, SaysWhatCandidatesReallyDo) {
  const Outcome outcome =
      recipe(measuring({"--holdout", "1", "--candidates", "3", "--export", "llm-compressor"}), out);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("recipes to measure at first"), HasSubstr("memory plan: "),
                                 HasSubstr("2 chose, 1 only judge."), HasSubstr("kl:all measured")));
  const io::Json json = io::read_json_file(out + "/recipes.json");
  EXPECT_EQ(json["measured_on"]["held_out"], io::Json({2}));
  EXPECT_EQ(json["measured_on"]["scored_by_held_out"], false) << "the run has errors by sample";
  EXPECT_FALSE(json["provenance"].empty());
  for (const io::Json& chosen : json["recipes"]) {
    EXPECT_EQ(chosen["predicted_by"], "refit");
    EXPECT_GE(chosen["measured"]["candidates"], 3);
    const EvalRun alone = eval_run(place, "eval_" + chosen["name"].get<std::string>(), tiny,
                                   {"--recipe", out + "/" + chosen["rules_file"].get<std::string>()});
    const io::Json& errors = alone.recipe(0)["sample_errors"]["all"];
    const io::Json& positions = alone.json["sample_positions"]["all"];
    const auto at = [](const io::Json& values, size_t i) { return values[i].get<double>(); };
    EXPECT_NEAR(chosen["measured"]["held_out"]["error"].get<double>() * at(positions, 2) / at(errors, 2), 1,
                1e-4);
    EXPECT_NEAR(chosen["measured"]["seen"]["error"].get<double>() * (at(positions, 0) + at(positions, 1)) /
                    (at(errors, 0) + at(errors, 1)),
                1, 1e-4);
    EXPECT_THAT(read_text(out + "/llm-compressor_" + chosen["name"].get<std::string>() + "/README.md"),
                HasSubstr("measured"));
  }
}

// Where RUN is of the same data, only the samples that choose are in its scores.
TEST_F(RecipeMeasure, ScoresDoNotKnowTheSamplesThatJudge) {
  const io::Json measured = recipes({"--holdout", "1", "--rounds", "1", "--candidates", "1"}, out);
  const std::string two = score_run(place, "two", tiny,
                                    {"--samples", "2", "--format", "w4a16_g32", "--format", "w8a16", "--ops",
                                     "model.layers.0.*", "--sketch", "16"})
                              .folder;
  const Outcome outcome = run_qsweep({"recipe", two, "--bits", "15.6,15.8", "--out", place.at("two_out")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const io::Json expected = io::read_json_file(place.at("two_out/recipes.json"));
  EXPECT_EQ(measured["positions"], expected["positions"]);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(measured["recipes"][i]["additive"]["plain_sum"].get<double>() /
                    expected["recipes"][i]["additive"]["plain_sum"].get<double>(),
                1, 1e-5);
    EXPECT_NEAR(measured["recipes"][i]["additive"]["predicted"].get<double>() /
                    expected["recipes"][i]["additive"]["predicted"].get<double>(),
                1, 1e-5);
  }
}

TEST_F(RecipeMeasure, WithoutErrorsBySampleTheyDoAndThatIsSaid) {
  std::filesystem::remove(run + "/sketches.safetensors");
  const Outcome outcome = recipe(measuring({"--holdout", "1"}), out);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("the samples that judge have had a part in the choice"));
}

TEST_F(RecipeMeasure, AFinishedSearchIsNotMadeAgain) {
  recipes({}, out);
  const Outcome again = recipe(measuring({"--resume", "--json"}), out);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(io::parse_json(again.out, "summary")["recipes"][0]["name"], "bits_15.6");
  const Outcome different = recipe(measuring({"--resume", "--rounds", "1"}), out);
  EXPECT_EQ(different.code, 2);
  EXPECT_THAT(different.err, HasSubstr("rounds was 2, is now 1"));
  const Outcome anew = recipe(measuring(), out);
  EXPECT_EQ(anew.code, 2);
  EXPECT_THAT(anew.err, HasSubstr("expected a new folder, found one with files"));
}

TEST_F(RecipeMeasure, ADryRunMeasuresNothing) {
  const Outcome outcome = recipe(measuring({"--dry-run", "--json"}), out);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GE(io::parse_json(outcome.out, "summary")["recipes_of_a_round"], 3);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(RecipeMeasure, BadInput) {
  expect_refused({"--data", testdata("data/captions.txt")}, "--data requires --measure");
  expect_refused({"--rounds", "1"}, "--rounds requires --measure");
  expect_refused({"--measure", tiny}, "--measure requires --data");
  expect_refused(measuring({"--holdout", "3"}),
                 "--holdout: expected fewer than the 3 samples of --data, found 3");
  expect_refused(measuring({"--rounds", "0"}), "--rounds");
  edit_json(run + "/scores.json",
            [](io::Json& json) { json["model"]["weights_sha256_of_headers"] = std::string(64, '0'); });
  std::filesystem::remove(run + "/sketches.safetensors");
  expect_refused(measuring(), "--measure: " + run + ": expected scores of tiny-qwen2.5-vl");
}

}  // namespace
}  // namespace qsweep::cli
