// Every op kind: forward against a naive one in f64, and delta against f64 forward differences
// f(x + d) - f(x) for deltas from a millionth of x to as large as x.
#include <algorithm>
#include <map>

#include <fmt/format.h>
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

constexpr double kSizes[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};

using kernels::LowPrecision;

// Kept between tests: making a product's code takes longer than running it. Waking threads does too, so most
// tests run on one; ThreadsDoNotChangeTheDelta compares with more.
Place& place_of(int threads, LowPrecision bf16 = LowPrecision::where_native) {
  static std::map<std::pair<int, LowPrecision>, Place> all;
  return all.try_emplace({threads, bf16}, Threads{threads}, bf16).first->second;
}

std::vector<std::vector<float>> rows_of(const Problem& problem, const Buffer& result) {
  std::vector<std::vector<float>> rows;
  for (const Pair& pair : problem.pairs()) rows.push_back(result.rows_at(pair.block.out, pair.block.rows));
  return rows;
}

// The largest relative error of a pair.
template <class T>
double worst_error(const Problem& problem, const Buffer& got, const std::vector<std::vector<T>>& want) {
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const Pair& pair = problem.pairs()[i];
    const std::vector<float> rows = got.rows_at(pair.block.out, pair.block.rows);
    const double error = relative_error(std::span<const float>(rows), std::span<const T>(want[i]));
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
    const Buffer y = problem.forward(place_of(1));
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

// Row kernels do not depend on the number of threads at all; products may sum in another order, which in bf16
// can round another way.
TEST_P(OpTest, ThreadsDoNotChangeTheDelta) {
  const OpCase& op = *GetParam();
  constexpr double size = 1e-2;
  Problem problem(op, size);
  const auto products = [] { return place_of(1).gemm().count(kernels::GemmPurpose::deltas).calls; };
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t before = products();
    const Buffer one = problem.delta(place_of(1), dtype), three = problem.delta(place_of(3), dtype);
    const double error = worst_error(problem, three, rows_of(problem, one));
    const double bound = dtype == DType::f32 ? op.delta_bound() : op.bf16_bound(size);
    EXPECT_TRUE(error <= (products() > before ? bound : 0)) << name(dtype) << ": " << error;
  }
}

TEST_P(OpTest, OrderOfTheBlocksDoesNotMatter) {
  const OpCase& op = *GetParam();
  Problem problem(op, 1e-2);
  const Buffer got = problem.delta(place_of(1), DType::f32, Problem::Order::reversed);
  const double error = worst_error(problem, got, problem.exact_deltas());
  EXPECT_TRUE(error <= op.delta_bound()) << error;
  EXPECT_TRUE(problem.only_pairs_written(got));
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
  const auto exact = problem.exact_deltas();
  double worst = 0;
  for (const int64_t target : all_targets()) {
    const OnTarget on(target);
    const Buffer got = problem.delta(place_of(1), DType::f32);
    const double error = worst_error(problem, got, exact);
    EXPECT_TRUE(error <= op->delta_bound()) << target_name(target) << ": " << error;
    EXPECT_TRUE(problem.only_pairs_written(got)) << target_name(target);
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", fmt::format("{:.2e}", worst));
}

TEST_P(DeltaTest, Bf16IsTheRoundedF32) {
  const auto& [op, size] = GetParam();
  Problem problem(*op, size, true);
  const auto f32 = rows_of(problem, problem.delta(place_of(1), DType::f32));
  double worst = 0;
  for (const LowPrecision bf16 : {LowPrecision::always, LowPrecision::never}) {
    const Buffer got = problem.delta(place_of(1, bf16), DType::bf16);
    const double error = worst_error(problem, got, f32);
    EXPECT_TRUE(error <= op->bf16_bound(size))
        << (bf16 == LowPrecision::always ? "native: " : "widened: ") << error;
    EXPECT_TRUE(problem.only_pairs_written(got)) << error;
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", fmt::format("{:.2e}", worst));
}

class CudaOpTest : public ::testing::TestWithParam<CasePtr> {
 protected:
  void SetUp() override {
    if (kernels::Runner::gpus() == 0) GTEST_SKIP() << "no GPU, or a build without CUDA";
  }
};
INSTANTIATE_TEST_SUITE_P(, CudaOpTest, ::testing::ValuesIn(all_cases()), case_name);

TEST_P(CudaOpTest, ForwardMatchesF64) {
  const OpCase& op = *GetParam();
  Problem problem(op, 0);
  Place gpu(Place::Gpu{});
  const Buffer y = problem.forward(gpu);
  for (size_t s = 0; s < op.sample_rows().size(); ++s) {
    const std::vector<double> want = problem.exact_forward(s);
    const std::vector<float> got = y.rows_at(op.first_row(s), op.sample_rows()[s]);
    const double error = relative_error(std::span<const float>(got), std::span<const double>(want));
    EXPECT_TRUE(error <= op.forward_bound()) << "sample " << s << ": " << error;
  }
}

TEST_P(CudaOpTest, DeltaMatchesF64AndBf16TheRoundedF32) {
  const OpCase& op = *GetParam();
  Place gpu(Place::Gpu{});
  for (const double size : {1e-6, 1e-2, 1.0}) {
    Problem problem(op, size, true);
    const Buffer wide = problem.delta(gpu, DType::f32), narrow = problem.delta(gpu, DType::bf16);
    const double error = worst_error(problem, wide, problem.exact_deltas());
    EXPECT_TRUE(error <= op.delta_bound()) << size << ": " << error;
    const double rounding = worst_error(problem, narrow, rows_of(problem, wide));
    EXPECT_TRUE(rounding <= op.bf16_bound(size)) << size << ", bf16: " << rounding;
    EXPECT_TRUE(problem.only_pairs_written(wide) && problem.only_pairs_written(narrow)) << size;
  }
}

}  // namespace
}  // namespace qsweep::ops::testing
