// Every op kind: forward against a naive one in f64, and delta against f64 forward differences
// f(x + d) - f(x) for deltas from a millionth of x to as large as x.
#include <algorithm>

#include <gtest/gtest.h>

#include "ops/problem.h"
#include "support/compare.h"
#include "support/targets.h"

namespace qsweep::ops::testing {
namespace {

using qsweep::testing::all_targets;
using qsweep::testing::OnTarget;
using qsweep::testing::relative_error;
using qsweep::testing::target_name;
using CasePtr = std::shared_ptr<const OpCase>;

constexpr double kSizes[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};

// The largest relative error of a pair's rows of `got`; want(pair) gives what they should be.
template <class Want>
double worst_error(const Problem& problem, const Buffer& got, Want&& want) {
  double worst = 0;
  for (const Pair& pair : problem.pairs()) {
    const auto expected = want(pair);
    using T = typename std::decay_t<decltype(expected)>::value_type;
    const std::vector<float> rows = got.rows_at(pair.block.out, pair.block.rows);
    const double error = relative_error(std::span<const float>(rows), std::span<const T>(expected));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

class OpTest : public ::testing::TestWithParam<CasePtr> {};

std::string case_name(const ::testing::TestParamInfo<CasePtr>& test) { return test.param->name(); }

INSTANTIATE_TEST_SUITE_P(, OpTest, ::testing::ValuesIn(all_cases()), case_name);

TEST_P(OpTest, ForwardMatchesF64) {
  const OpCase& op = *GetParam();
  Problem problem(op, 0);
  for (const int64_t target : all_targets()) {
    const OnTarget on(target);
    kernels::Gemm gemm({2});
    const Buffer y = problem.forward(gemm);
    for (size_t s = 0; s < op.sample_rows().size(); ++s) {
      const std::vector<double> want = problem.exact_forward(s);
      const std::vector<float> got = y.rows_at(op.first_row(s), op.sample_rows()[s]);
      const double error = relative_error(std::span<const float>(got), std::span<const double>(want));
      EXPECT_TRUE(error <= op.forward_bound()) << target_name(target) << ", sample " << s << ": " << error;
    }
    for (int64_t r = 0; r < y.rows(); ++r)
      for (int64_t c = y.cols(); c < y.stride(); ++c) EXPECT_EQ(y.at(r, c), kUntouched);
  }
}

using CaseAndSize = std::tuple<CasePtr, double>;

// One test per op and size of the delta.
class DeltaTest : public ::testing::TestWithParam<CaseAndSize> {};

std::string case_and_size_name(const ::testing::TestParamInfo<CaseAndSize>& test) {
  const auto& [op, size] = test.param;
  return op->name() + "_size_1e_minus_" + std::to_string(std::lround(-std::log10(size)));
}

INSTANTIATE_TEST_SUITE_P(, DeltaTest,
                         ::testing::Combine(::testing::ValuesIn(all_cases()), ::testing::ValuesIn(kSizes)),
                         case_and_size_name);

TEST_P(DeltaTest, MatchesF64ForwardDifferences) {
  const auto& [op, size] = GetParam();
  Problem problem(*op, size);
  std::vector<std::vector<double>> exact;
  for (const Pair& pair : problem.pairs()) exact.push_back(problem.exact_delta(pair));
  double worst = 0;
  for (const int64_t target : all_targets()) {
    const OnTarget on(target);
    kernels::Gemm gemm({2});
    const Buffer got = problem.delta(gemm, DType::f32);
    const double error = worst_error(problem, got, [&](const Pair& pair) {
      return exact[static_cast<size_t>(&pair - problem.pairs().data())];
    });
    EXPECT_TRUE(error <= op->delta_bound()) << target_name(target) << ": " << error;
    EXPECT_TRUE(problem.only_pairs_written(got)) << target_name(target);
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", std::to_string(worst * 1e6) + "e-6");
}

TEST_P(DeltaTest, Bf16IsTheRoundedF32) {
  const auto& [op, size] = GetParam();
  Problem problem(*op, size, true);
  double worst = 0;
  for (const bool native : {true, false}) {
    kernels::Gemm gemm({2}, native);
    const Buffer f32 = problem.delta(gemm, DType::f32);
    const Buffer got = problem.delta(gemm, DType::bf16);
    const double error = worst_error(
        problem, got, [&](const Pair& pair) { return f32.rows_at(pair.block.out, pair.block.rows); });
    EXPECT_TRUE(error <= op->bf16_bound()) << (native ? "native: " : "widened: ") << error;
    EXPECT_TRUE(problem.only_pairs_written(got)) << native;
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", std::to_string(worst));
}

TEST_P(OpTest, ThreadsDoNotChangeTheDelta) {
  Problem problem(*GetParam(), 1e-2);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    kernels::Gemm one({1}), three({3});
    const Buffer a = problem.delta(one, dtype), b = problem.delta(three, dtype);
    const double error =
        worst_error(problem, b, [&](const Pair& pair) { return a.rows_at(pair.block.out, pair.block.rows); });
    const bool has_products = one.count(kernels::GemmPurpose::deltas).calls > 0;
    EXPECT_TRUE(error <= (has_products ? 1e-6 : 0)) << name(dtype) << ": " << error;
  }
}

}  // namespace
}  // namespace qsweep::ops::testing
