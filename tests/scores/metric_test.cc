#include "scores/metric.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

using ::testing::HasSubstr;

std::string parse_error(const std::string& text) {
  try {
    parse_metric(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Metric, ParsesNamesAndScopes) {
  EXPECT_EQ(parse_metric("kl"), (Metric{Which::kl, Scope::all}));
  EXPECT_EQ(parse_metric("logits_sse:answer"), (Metric{Which::logits_sse, Scope::answer}));
  for (Which which : {Which::kl, Which::logits_sse, Which::hidden_sse})
    for (Scope scope : kAllScopes)
      EXPECT_EQ(parse_metric(name(Metric{which, scope})), (Metric{which, scope}));
}

TEST(Metric, RefusesWithReasons) {
  EXPECT_THAT(parse_error("nll_delta:all"), HasSubstr("too noisy to rank by"));
  EXPECT_THAT(parse_error("top1_flips"), HasSubstr("too noisy to rank by"));
  EXPECT_THAT(parse_error("mse"), HasSubstr("expected one of: kl, logits_sse, hidden_sse"));
  EXPECT_THAT(parse_error("kl:image"), HasSubstr("expected scope all or answer, found \"image\""));
  EXPECT_THAT(parse_error("kl:"), HasSubstr("found \"\""));
  EXPECT_THAT(parse_error(""), HasSubstr("expected one of"));
}

TEST(Metric, SumsAreMergeable) {
  MetricSums sums = sample_sums(2, 10).all;
  sums.add(sample_sums(4, 6).all);
  EXPECT_EQ(sums.kl, 6);
  EXPECT_EQ(sums.hidden_sse, 12);
  EXPECT_EQ(sums.logits_sse, 24);
  EXPECT_EQ(sums.nll_delta, 0.75);
  EXPECT_EQ(sums.top1_flips, 2);
  EXPECT_EQ(sums.positions, 16);
  EXPECT_EQ(sums.targets, 14);
  EXPECT_EQ(sums.hidden_elements, 128);
  EXPECT_EQ(sums.logits_elements, 256);
}

TEST(Metric, DerivedValues) {
  const MetricSums sums = sample_sums(2, 11).all;
  EXPECT_EQ(per_position(sums, Which::kl), 2.0 / 11);
  EXPECT_EQ(per_position(sums, Which::nll_delta), 0.25 / 10);
  EXPECT_EQ(hidden_mse(sums), 4.0 / 88);
  EXPECT_EQ(logits_mse(sums), 8.0 / 176);
  EXPECT_EQ(perplexity_ratio(sums), std::exp(0.025));
  EXPECT_TRUE(std::isnan(per_position(MetricSums{}, Which::kl)));
  EXPECT_TRUE(std::isnan(perplexity_ratio(MetricSums{})));
}

TEST(LocalStats, DerivedValues) {
  const LocalStats local = *make_score(0, {}).local;
  EXPECT_EQ(local.relative_error(), 0.1);
  EXPECT_EQ(local.sqnr_db(), 20);
  EXPECT_EQ(local.input_absmax(), 3);
  EXPECT_EQ(local.input_rms(), 1);
  EXPECT_EQ(local.outlier_ratio(), 3);
  EXPECT_TRUE(std::isnan(LocalStats{}.outlier_ratio()));
  EXPECT_TRUE(std::isnan(LocalStats{}.sqnr_db()));
}

TEST(LocalStats, MergeKeepsTheRangeOfThosePartsThatHaveRows) {
  LocalStats merged;
  merged.add({.error_sse = 1,
              .output_sse = 2,
              .input_min = 3,
              .input_max = 5,
              .input_sum_squares = 9,
              .input_elements = 1,
              .rows = 1});
  merged.add(LocalStats{});
  EXPECT_EQ(merged.input_min, 3) << "a part without rows has no range";
  merged.add({.error_sse = 1,
              .output_sse = 2,
              .input_min = -7,
              .input_max = 1,
              .input_sum_squares = 9,
              .input_elements = 1,
              .rows = 1});
  EXPECT_EQ(merged.input_min, -7);
  EXPECT_EQ(merged.input_max, 5);
  EXPECT_EQ(merged.input_absmax(), 7);
  EXPECT_EQ(merged.error_sse, 2);
  EXPECT_EQ(merged.rows, 2);
}

TEST(Names, RoundTripAndErrors) {
  EXPECT_EQ(parse_mode("leave-one-out"), Mode::leave_one_out);
  EXPECT_EQ(name(Mode::requantize_cumulative), "requantize-cumulative");
  EXPECT_EQ(parse_status(name(Status::uncalibrated)), Status::uncalibrated);
  EXPECT_EQ(parse_method(name(Method::hawq)), Method::hawq);
  EXPECT_THROW(parse_status("fine"), Error);
}

}  // namespace
}  // namespace qsweep::scores
