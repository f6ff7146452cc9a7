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
