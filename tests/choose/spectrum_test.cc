#include "choose/spectrum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/joint.h"
#include "small_run.h"

namespace qsweep::choose {
namespace {

double as_number(const std::string& text) { return std::stod(text); }

std::vector<Budget> bits(const std::string& text) { return parse_budgets(Limit::bits, text, as_number); }
Budget budget(Limit limit, double value) {
  return {.limit = limit, .value = value, .text = fmt::format("{:g}", value)};
}

Chosen chosen(const scores::Run& run, const Budget& budget, const Wishes& wishes = {}) {
  return choose(run, wishes, {budget}, std::nullopt).recipes.front();
}

template <class Body>
void expect_error(Body&& body, const std::vector<std::string>& words) {
  try {
    body();
    ADD_FAILURE() << "no Error, expected one with " << ::testing::PrintToString(words);
  } catch (const Error& e) {
    for (const std::string& word : words) EXPECT_THAT(e.what(), ::testing::HasSubstr(word));
  }
}

TEST(Spectrum, Budgets) {
  std::vector<std::string> texts;
  for (const Budget& b : bits("4.5..6:0.25")) texts.push_back(b.text);
  EXPECT_THAT(texts, ::testing::ElementsAre("4.5", "4.75", "5", "5.25", "5.5", "5.75", "6"));
  EXPECT_EQ(bits("4..4.35:0.1").size(), 4u);
  EXPECT_EQ(bits("4.20").front().text, "4.20");
  EXPECT_EQ(bits("4.20").front().value, 4.2);
  for (const std::string text : {"4..5", "4..5:0", "5..4:0.1", "4..5:0.0001", "4:5..6"})
    expect_error([&] { bits(text); }, {text});
}

TEST(Spectrum, TheBudgetIsKeptInStoredBits) {
  const scores::Run run = small_run();
  for (const Chosen& c : choose(run, {}, bits("4.9..16:0.3"), std::nullopt).recipes) {
    double stored = 0;
    for (const scores::OpRecord& op : run.ops) {
      const auto format = c.formats.find(op.name);
      const double each = format == c.formats.end() ? 16
                                                    : quant::effective_weight_bits(
                                                          quant::find_format(format->second), op.in_features);
      stored += each * static_cast<double>(op.parameters);
    }
    EXPECT_NEAR(c.effective_bits, stored / 4096, 1e-12);
    EXPECT_LE(stored / 4096, c.budget.value + 1e-9);
    EXPECT_EQ(c.checkpoint_bytes, static_cast<int64_t>(std::ceil(stored / 8)) + 1000);
  }
}

TEST(Spectrum, TheEndsOfTheBudget) {
  const scores::Run run = small_run();
  const Spectrum spectrum = choose(run, {}, bits("16"), std::nullopt);
  EXPECT_TRUE(spectrum.recipes.front().formats.empty());
  EXPECT_EQ(spectrum.recipes.front().predicted, 0);
  EXPECT_EQ(spectrum.dearest_bits, 16);
  EXPECT_DOUBLE_EQ(spectrum.cheapest_bits, 4.5);
  EXPECT_EQ(chosen(run, budget(Limit::bits, 4.5)).formats.size(), 7u);
  expect_error(
      [&] { chosen(run, budget(Limit::bits, 4.49)); },
      {"--bits: 4.49: expected bits from 4.5, the cheapest recipe, to 16, everything in float, found 4.49"});
  expect_error([&] { chosen(run, budget(Limit::bits, 16.1)); }, {"--bits", "16.1"});
  expect_error(
      [&] {
        choose(run, {}, {budget(Limit::bits, 5), budget(Limit::bits, 5)}, std::nullopt);
      },
      {"--bits: 5 is there twice"});
}

TEST(Spectrum, BySize) {
  scores::Run run = small_run();
  const Chosen c = chosen(run, budget(Limit::size, 5000));
  EXPECT_LE(*c.checkpoint_bytes, 5000);
  EXPECT_GT(*c.checkpoint_bytes, 4500) << "the budget is used";
  EXPECT_EQ(c.formats, chosen(run, budget(Limit::bits, 4000 * 8 / 4096.0)).formats);
  expect_error([&] { chosen(run, budget(Limit::size, 3000)); }, {"--size", "from 3304", "to 9192"});
  run.model.other_bytes.reset();
  expect_error([&] { chosen(run, budget(Limit::size, 5000)); }, {"--size", "earlier version"});
  EXPECT_FALSE(chosen(run, budget(Limit::bits, 8)).checkpoint_bytes);
}

TEST(Spectrum, ByError) {
  const scores::Run run = small_run();
  const Chosen c = chosen(run, budget(Limit::error, 0.5));
  EXPECT_LE(c.plain_sum, 0.5);
  const Chosen less = chosen(run, budget(Limit::bits, c.effective_bits - 0.01));
  EXPECT_GT(less.plain_sum, 0.5);
  expect_error(
      [&] {
        chosen(run, budget(Limit::error, 0.01),
               {.fixed = {{"lm_head", &quant::find_format("w8a8"), "--fix"}}});
      },
      {"--error: 0.01: expected at least 0.233"});
}

TEST(Spectrum, KappaPredictsWhereNoPairsAreKnown) {
  const scores::Run run = small_run();
  const Chosen c = chosen(run, budget(Limit::bits, 9));
  EXPECT_EQ(c.predictor, Predictor::kappa);
  EXPECT_DOUBLE_EQ(c.predicted, *scores::JointModel::from_run(run, {}).predict(c.formats).corrected / 30);
  EXPECT_EQ(c.candidate.selection, c.additive.selection);
  scores::Run without = run;
  without.baselines.clear();
  const Chosen sum = chosen(without, budget(Limit::bits, 9));
  EXPECT_EQ(sum.predictor, Predictor::sum);
  EXPECT_EQ(sum.predicted, sum.plain_sum);
}

TEST(Spectrum, PairsDecideWhereTheyAreKnown) {
  const Spectrum spectrum = choose(small_run(), {}, bits("5..15:1"), small_interactions());
  int other = 0;
  for (const Chosen& c : spectrum.recipes) {
    EXPECT_EQ(c.predictor, Predictor::pairs);
    EXPECT_LE(c.candidate.predicted, c.additive.predicted);
    EXPECT_DOUBLE_EQ(c.predicted, c.candidate.predicted / 30);
    other += c.candidate.selection != c.additive.selection ? 1 : 0;
  }
  EXPECT_GT(other, 0);
}

}  // namespace
}  // namespace qsweep::choose
