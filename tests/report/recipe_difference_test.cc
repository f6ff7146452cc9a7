#include "report/recipe_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choose/small_run.h"
#include "report/view.h"
#include "support/temporary_folder.h"

namespace qsweep::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const quant::Format* const kEightBits = &quant::find_format("w8a8");
const quant::Format* const kFourBits = &quant::find_format("w4a16_g32");

// Everything in eight bits; in B single ops with numbers below `fours` in four.
RecipeComparison compared(const scores::Run& run, size_t fours, bool pairs) {
  choose::FormatPerOp a(run.ops.size(), kEightBits), b = a;
  for (size_t op = 0; op < fours; ++op) b[op] = kFourBits;
  return {.run = run,
          .a = {"eight", "a|b.json"},
          .b = {"mixed", "mixed.json"},
          .difference = choose::difference(
              run, a, b, {}, pairs ? std::optional(choose::small_interactions()) : std::nullopt)};
}

TEST(RecipeDifferenceReport, TheLargestChangeComesFirst) {
  const scores::Run run = choose::small_run();
  const std::string text = recipe_difference_markdown(compared(run, 5, false));
  const size_t first = text.find("`model.layers.0.self_attn.qkv` (3 ops)"),
               second = text.find("| `model.layers.1.mlp.down_proj`"),
               third = text.find("| `model.layers.0.mlp.down_proj`");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
  EXPECT_THAT(text, AllOf(HasSubstr("| A | `eight` | `a\\|b.json` |"), HasSubstr("- 5 of 7 ops differ."),
                          HasSubstr("corrected by the error of everything quantized")));
}

// In eight bits 28 and all pairs, 0.01 (28^2 - 140); in four, ranks 8 to 10 take the place of 1 to 3.
TEST(RecipeDifferenceReport, NumbersByHand) {
  const scores::Run run = choose::small_run();
  const RecipeComparison found = compared(run, 3, true);
  const double a = (28 + 0.01 * (28 * 28 - 140)) / 30, b = (82 + 0.01 * (49 * 49 - 140 + 14 - 245)) / 30;
  const io::Json json = recipe_difference_json(found);
  EXPECT_NEAR(json["a"]["predicted"], a, 1e-12);
  EXPECT_NEAR(json["b"]["predicted"], b, 1e-12);
  EXPECT_NEAR(json["differing"][0]["predicted"], b - a, 1e-12);
  EXPECT_NEAR(json["differing"][0]["effective_bits"], -4096 / 4096.0, 1e-12);
  EXPECT_THAT(recipe_difference_lines(found),
              AllOf(HasSubstr(fmt::format("{:.2f} kl:all predicted  eight", a)),
                    HasSubstr(fmt::format("+{:.2f}  model.layers.0.self_attn.qkv: w8a8 -> w4a16_g32", b - a)),
                    Not(HasSubstr("more"))));
}

// The same recipes as data of the page, through the file.
TEST(RecipeDifferenceReport, ThePageHasTheNumbersOfTheFile) {
  const scores::Run run = choose::small_run();
  const testing::TemporaryFolder place;
  write_recipe_difference(compared(run, 3, true), place.path());
  const FoundFiles found = read_files({place.path()});
  const io::Json file = io::read_json_file(place.at("compare_recipes.json"));
  const io::Json seen = view(found.findings());
  EXPECT_EQ(seen["title"], run.model.path_name);
  const io::Json& difference = seen["difference"];
  EXPECT_EQ(difference["a"]["name"], "eight");
  EXPECT_EQ(difference["b"]["file"], "mixed.json");
  EXPECT_EQ(difference["same"], 4);
  EXPECT_EQ(difference["changes"].size(), 1);
  EXPECT_EQ(difference["changes"][0]["ops"].size(), 3);
  EXPECT_NEAR(difference["predicted"].get<double>(), file["change"]["predicted"], 1e-5);
  EXPECT_NEAR(difference["changes"][0]["predicted"].get<double>(), file["change"]["predicted"], 1e-5);
  EXPECT_NEAR(difference["bits"].get<double>(), file["change"]["effective_bits"], 1e-5);
  EXPECT_EQ(view({.run = &run})["difference"], nullptr);
}

TEST(RecipeDifferenceReport, LongListsAreCutOnATerminalOnly) {
  scores::Run run = choose::small_run();
  for (int i = 0; i < 12; ++i) {
    run.ops.push_back(run.ops[3]);
    run.ops.back().name = fmt::format("model.layers.{}.mlp.up_proj", i);
  }
  const RecipeComparison found = compared(run, run.ops.size(), false);
  EXPECT_THAT(recipe_difference_lines(found), HasSubstr("and 7 more\n"));
  EXPECT_THAT(recipe_difference_markdown(found), HasSubstr("`model.layers.11.mlp.up_proj`"));
  EXPECT_TRUE(recipe_difference_json(found)["change"]["predicted"].is_null());
}

}  // namespace
}  // namespace qsweep::report
