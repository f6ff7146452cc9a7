#include "report/recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choose/small_run.h"
#include "report/plot.h"

namespace qsweep::report {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

choose::Spectrum spectrum(const scores::Run& run, const std::string& bits, bool pairs = false) {
  const auto budgets = choose::parse_budgets(choose::Limit::bits, bits,
                                             [](const std::string& text) { return std::stod(text); });
  return choose::choose(run, {}, budgets, pairs ? std::optional(choose::small_interactions()) : std::nullopt);
}

TEST(RecipesReport, HasARowPerBudget) {
  const scores::Run run = choose::small_run();
  const std::string text = recipes_markdown(run, spectrum(run, "4.5..16:11.5"), {});
  EXPECT_THAT(text, HasSubstr("| `bits_4.5` | 4.500 | 3.23 KiB | 4.67 | 9.33 | 7 `w4a16_g32` |"));
  EXPECT_THAT(text, HasSubstr("| `bits_16` | 16.000 | 8.98 KiB | 0 | 0 | 7 float |"));
}

TEST(RecipesReport, SaysWhatBitsCoverAndWhatPredicts) {
  scores::Run run = choose::small_run();
  EXPECT_THAT(recipe_notes(run, spectrum(run, "8", true)),
              Contains("Predicted errors are the sum of the scores and what pairs of them add to it."));
  for (const size_t i : {6, 13}) {
    run.scores[i].total.reset();
    run.scores[i].status = scores::Status::unexercised;
  }
  const auto notes = recipe_notes(run, spectrum(run, "8"));
  EXPECT_THAT(notes,
              Contains("Bits cover all 7 ops; 6 of them are chosen for, in w8a8, w4a16_g32 or float."));
  EXPECT_THAT(notes, Contains("lm_head stays float: without a score in a format in question."));
  EXPECT_THAT(notes, Contains(AllOf(HasSubstr("(the run has no sketches of the metric: score --sketch)"),
                                    HasSubstr("corrected"))));
}

TEST(RecipesReport, WarnsOfAQuantizedTiedHead) {
  scores::Run run = choose::small_run();
  const auto tied = Contains(HasSubstr("lm_head is the token embedding"));
  EXPECT_THAT(recipe_notes(run, spectrum(run, "4.5")), Not(tied));
  run.model.tied_embeddings = true;
  EXPECT_THAT(recipe_notes(run, spectrum(run, "4.5")), tied);
  EXPECT_THAT(recipe_notes(run, spectrum(run, "16")), Not(tied));
}

choose::Spectrum measured_spectrum(const scores::Run& run) {
  choose::Spectrum measured = spectrum(run, "6..8:2", true);
  measured.measured_on = {
      .data = run.data, .held_out = {2}, .scored_by_held_out = true, .uncalibrated = {"lm_head"}};
  measured.recipes[0].measured = 9;
  measured.recipes[0].verdict = choose::Verdict{
      .chosen = 1,
      .runner_up = {},
      .predicted = 0.2,
      .seen = {.error = 0.25, .interval = {{0.2, 0.3}}, .over_runner_up = {}, .over_additive = {{0.5, {}}}},
      .held_out = choose::Judged{.error = 0.4, .interval = {}, .over_runner_up = {}, .over_additive = {}}};
  return measured;
}

TEST(RecipesReport, SaysWhatWasMeasured) {
  const scores::Run run = choose::small_run();
  const choose::Spectrum measured = measured_spectrum(run);
  const std::string text = recipes_markdown(run, measured, {});
  EXPECT_THAT(text, HasSubstr("measured on 3 samples of eval.jsonl: 2 chose, 1 only judge."));
  EXPECT_THAT(text, HasSubstr("| `bits_6` | 9 | chose | 0.250 [0.200, 0.300] | – | 0.500 |"));
  EXPECT_THAT(text, HasSubstr("| `bits_6` | 9 | held out | 0.400 | – | – |"));
  EXPECT_THAT(text, HasSubstr("the samples that judge have had a part in the choice"));
  EXPECT_THAT(text, HasSubstr("Measured in float, as no calibration sample reaches it: lm_head."));
  EXPECT_THAT(text, HasSubstr("Samples that the choice has seen flatter it"));
  EXPECT_THAT(recipe_lines(measured, {}), HasSubstr("kl:all measured"));
  choose::Spectrum all_chose = measured;
  all_chose.measured_on->held_out.clear();
  EXPECT_THAT(recipes_markdown(run, all_chose, {}),
              HasSubstr("chosen by the same: their errors flatter them"));
}

TEST(RecipesReport, JsonSaysWhatWasMeasured) {
  const scores::Run run = choose::small_run();
  const io::Json json = recipes_json(run, measured_spectrum(run), {}, io::Json::object());
  EXPECT_EQ(json["measured_on"]["held_out"], io::Json({2}));
  EXPECT_EQ(json["measured_on"]["scored_by_held_out"], true);
  const io::Json& measured = json["recipes"][0]["measured"];
  EXPECT_EQ(measured["candidates"], 9);
  EXPECT_EQ(measured["seen"]["error"], 0.25);
  EXPECT_EQ(measured["seen"]["ci95"], io::Json({0.2, 0.3}));
  EXPECT_EQ(measured["seen"]["over_additive"]["value"], 0.5);
  EXPECT_EQ(measured["held_out"]["error"], 0.4);
  EXPECT_TRUE(json["recipes"][1]["measured"]["seen"].is_null()) << "all overflowed";
  EXPECT_TRUE(recipes_json(run, spectrum(run, "8"), {}, {})["recipes"][0]["measured"].is_null());
}

TEST(RecipesReport, JsonSaysWhatWasChosen) {
  const scores::Run run = choose::small_run();
  const choose::Spectrum both = spectrum(run, "6..8:2", true);
  const io::Json json = recipes_json(run, both, {}, io::Json::object());
  EXPECT_EQ(json["choices"]["ops"], 7);
  EXPECT_EQ(json["choices"]["decisions"], 5);
  EXPECT_EQ(json["choices"]["without_pairs"], nullptr);
  for (const io::Json& recipe : json["recipes"]) {
    EXPECT_EQ(recipe["predicted_by"], "pairs");
    int64_t ops = 0;
    for (const auto& [format, n] : recipe["formats"].items()) ops += n.get<int64_t>();
    EXPECT_EQ(ops, 7);
  }
  EXPECT_EQ(json["recipes"][0]["rules_file"], "recipe_bits_6.json");
  EXPECT_EQ(recipe_file(spectrum(run, "6"), both.recipes.front()), "recipe.json");
}

TEST(Plot, JoinsItsPoints) {
  const std::string text = svg({.x = "a & b", .y = "c", .points = {{4, 0.1}, {8, 0.001}, {6, 0.01}, {5, 0}}});
  EXPECT_THAT(text, AllOf(HasSubstr("a &amp; b"), HasSubstr("points=\"80.0,"), HasSubstr("350.0,"),
                          Not(HasSubstr("nan"))));
  EXPECT_EQ(svg({.x = "", .y = "", .points = {{4, 0.1}}}), "");
  EXPECT_EQ(svg({.x = "", .y = "", .points = {{4, 0.1}, {4, 0.2}}}), "");
}

}  // namespace
}  // namespace qsweep::report
