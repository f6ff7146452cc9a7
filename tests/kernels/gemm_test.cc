// Products against a naive one in f64. Small integers must come out exactly, so that a wrong stride or a
// missing broadcast is an inequality; random values within the a-priori bound of a sum of k products.
#include "kernels/gemm.h"

#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/runner.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

constexpr double kUnitF32 = 0x1p-24, kUnitBf16 = 0x1p-8;  // largest relative error of one rounding
constexpr float kUntouched = 12288;                       // a bf16 number

struct Case {
  std::string name;
  std::vector<int64_t> batch_a, batch_b, batch_c;  // equal lengths; 1 broadcasts
  int64_t m, k, n;
  bool a_transposed = false, b_transposed = false;
  int64_t padding = 0;  // elements between rows
  bool bias = false, accumulate = false;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> cases() {
  return {
      {.name = "plain", .m = 5, .k = 7, .n = 3},
      {.name = "one_element", .m = 1, .k = 1, .n = 1},
      {.name = "linear", .m = 33, .k = 15, .n = 20, .b_transposed = true},
      {.name = "linear_bias", .m = 9, .k = 15, .n = 17, .b_transposed = true, .bias = true},
      {.name = "accumulate", .m = 9, .k = 8, .n = 17, .b_transposed = true, .accumulate = true},
      // More elements than are widened at a time where bf16 is not native.
      {.name = "many_rows", .m = 130000, .k = 16, .n = 1, .b_transposed = true, .accumulate = true},
      {.name = "both_transposed_padded",
       .m = 6,
       .k = 11,
       .n = 10,
       .a_transposed = true,
       .b_transposed = true,
       .padding = 3},
      {.name = "bias_accumulate_padded",
       .m = 6,
       .k = 11,
       .n = 10,
       .padding = 5,
       .bias = true,
       .accumulate = true},
      {.name = "batched",
       .batch_a = {4},
       .batch_b = {4},
       .batch_c = {4},
       .m = 5,
       .k = 6,
       .n = 7,
       .padding = 1},
      {.name = "broadcast_a",
       .batch_a = {1, 3},
       .batch_b = {2, 3},
       .batch_c = {2, 3},
       .m = 5,
       .k = 6,
       .n = 7,
       .b_transposed = true},
      {.name = "broadcast_heads",
       .batch_a = {2, 2, 3},
       .batch_b = {2, 2, 1},
       .batch_c = {2, 2, 3},
       .m = 4,
       .k = 8,
       .n = 9,
       .b_transposed = true,
       .padding = 2,
       .accumulate = true},
      {.name = "broadcast_both",
       .batch_a = {1, 2, 1},
       .batch_b = {3, 1, 2},
       .batch_c = {3, 2, 2},
       .m = 3,
       .k = 5,
       .n = 4},
  };
}

// A stack of matrices in memory, its values also as doubles.
struct Stack {
  GemmOperand operand;
  std::vector<float> wide;
  std::vector<bf16> narrow;

  Stack(DType dtype, const std::vector<int64_t>& batch, int64_t rows, int64_t cols, bool transposed,
        int64_t padding) {
    operand.dtype = dtype;
    operand.sizes = batch;
    operand.sizes.insert(operand.sizes.end(), {rows, cols});
    operand.strides.resize(operand.sizes.size());
    const int64_t line = (transposed ? rows : cols) + padding;
    operand.strides.end()[-1] = transposed ? line : 1;
    operand.strides.end()[-2] = transposed ? 1 : line;
    int64_t size = (transposed ? cols : rows) * line;
    for (size_t i = batch.size(); i-- > 0;) {
      operand.strides[i] = size + padding;
      size = (size + padding) * batch[i];
    }
    wide.assign(static_cast<size_t>(size), kUntouched);
    narrow.assign(wide.size(), to_bf16(kUntouched));
    operand.data = dtype == DType::f32 ? static_cast<void*>(wide.data()) : narrow.data();
  }

  int64_t rows() const { return operand.sizes.end()[-2]; }
  int64_t cols() const { return operand.sizes.end()[-1]; }
  // Where element (r, c) of a matrix of the stack is; an index counts only where the stack is not broadcast.
  size_t place(const std::vector<int64_t>& batch, int64_t r, int64_t c) const {
    int64_t at = r * operand.strides.end()[-2] + c * operand.strides.end()[-1];
    for (size_t i = 0; i < batch.size(); ++i)
      if (operand.sizes[i] > 1) at += batch[i] * operand.strides[i];
    return static_cast<size_t>(at);
  }
  double at(size_t place) const {
    return operand.dtype == DType::f32 ? wide[place] : to_float(narrow[place]);
  }
  void set(size_t place, double v) {
    wide[place] = static_cast<float>(v);
    narrow[place] = to_bf16(wide[place]);
  }
};

// body(batch index) for every matrix of a stack with these batch sizes.
template <class Body>
void each_matrix(const std::vector<int64_t>& sizes, Body&& body) {
  std::vector<int64_t> index(sizes.size(), 0);
  for (;;) {
    body(index);
    size_t i = sizes.size();
    while (i > 0 && ++index[i - 1] == sizes[i - 1]) index[--i] = 0;
    if (i == 0) return;
  }
}

struct Types {
  const char* name;
  DType a, b, c;
  LowPrecision bf16 = LowPrecision::where_native;
  F32Rows f32_rows = F32Rows::in_three_parts;

  // f32 rows are split in bf16 parts in plain products of dense rows alone.
  bool allows(const Case& test) const {
    const bool splits = a == DType::f32 && b == DType::bf16 && bf16 != LowPrecision::never;
    return !splits || (test.batch_c.empty() && !test.a_transposed);
  }
};

constexpr DType kF32 = DType::f32, kBf16 = DType::bf16;
constexpr Types kTypes[] = {{"f32", kF32, kF32, kF32},
                            {"bf16_to_f32", kBf16, kBf16, kF32},
                            {"bf16_to_bf16", kBf16, kBf16, kBf16},
                            {"split", kF32, kBf16, kF32, LowPrecision::always},
                            {"two_parts", kF32, kBf16, kF32, LowPrecision::always, F32Rows::in_two_parts},
                            {"emulated_to_bf16", kBf16, kBf16, kBf16, LowPrecision::always},
                            {"widened_to_f32", kBf16, kBf16, kF32, LowPrecision::never},
                            {"widened_to_bf16", kBf16, kBf16, kBf16, LowPrecision::never},
                            {"widened_rows", kBf16, kF32, kBf16, LowPrecision::never},
                            {"widened_weight", kF32, kBf16, kF32, LowPrecision::never},
                            {"rounded", kF32, kF32, kBf16, LowPrecision::never}};

// One product of a case with integers in [-3, 3] or normal values, and its naive counterpart.
class Product {
 public:
  Product(const Case& test, const Types& types, bool integers)
      : case_(test),
        f32_rows_(types.f32_rows),
        a_(types.a, test.batch_a, test.m, test.k, test.a_transposed, test.padding),
        b_(types.b, test.batch_b, test.k, test.n, test.b_transposed, test.padding),
        c_(types.c, test.batch_c, test.m, test.n, false, test.padding),
        bias_(static_cast<size_t>(test.n)) {
    Rng rng(7);
    const auto draw = [&] {
      return integers ? static_cast<double>(rng.below(7)) - 3 : qsweep::testing::normal(rng);
    };
    for (Stack* s : {&a_, &b_, &c_})
      each_matrix({s->operand.sizes.begin(), s->operand.sizes.end() - 2}, [&](const auto& batch) {
        for (int64_t r = 0; r < s->rows(); ++r)
          for (int64_t col = 0; col < s->cols(); ++col) s->set(s->place(batch, r, col), draw());
      });
    for (float& v : bias_) v = static_cast<float>(draw());
  }

  void run(Gemm& gemm, Runner& runner) {
    before_.emplace(c_);
    const Runner::Call call = runner.device();
    gemm.multiply(on(runner, a_), on(runner, b_), on(runner, c_),
                  {.bias = case_.bias ? runner.on(bias_).data() : nullptr,
                   .accumulate = case_.accumulate,
                   .f32_rows = f32_rows_});
  }

  // check(got, exact, sum of the absolute terms) for every element of c.
  template <class Check>
  void each_element(Check&& check) const {
    each_matrix(case_.batch_c, [&](const auto& batch) {
      for (int64_t r = 0; r < case_.m; ++r)
        for (int64_t col = 0; col < case_.n; ++col) {
          double sum = 0, absolute = 0;
          const auto add = [&](double term) {
            sum += term;
            absolute += std::fabs(term);
          };
          for (int64_t i = 0; i < case_.k; ++i)
            add(a_.at(a_.place(batch, r, i)) * b_.at(b_.place(batch, i, col)));
          if (case_.bias) add(bias_[static_cast<size_t>(col)]);
          const size_t place = c_.place(batch, r, col);
          if (case_.accumulate) add(before_->at(place));
          check(c_.at(place), sum, absolute);
        }
    });
  }

  // Nothing between the rows and matrices of c was written.
  void expect_padding_untouched() const {
    std::vector<bool> inside(c_.wide.size(), false);
    each_matrix(case_.batch_c, [&](const auto& batch) {
      for (int64_t r = 0; r < case_.m; ++r)
        for (int64_t col = 0; col < case_.n; ++col) inside[c_.place(batch, r, col)] = true;
    });
    for (size_t i = 0; i < inside.size(); ++i) EXPECT_TRUE(inside[i] || c_.at(i) == kUntouched) << i;
  }

 private:
  static GemmOperand on(Runner& runner, Stack& stack) {
    GemmOperand there = stack.operand;
    if (there.dtype == DType::f32) {
      there.data = runner.on(stack.wide).data();
    } else {
      there.data = runner.on(stack.narrow).data();
    }
    return there;
  }

  const Case& case_;
  F32Rows f32_rows_;
  Stack a_, b_, c_;
  std::vector<float> bias_;
  std::optional<Stack> before_;
};

class GemmTest : public ::testing::TestWithParam<std::tuple<Case, bool>> {
 protected:
  void SetUp() override {
    if (!on_gpu()) return;
    if (Runner::gpus() == 0) GTEST_SKIP() << "no GPU, or a build without CUDA";
    runner_.use_gpu();
  }
  const Case& test() const { return std::get<0>(GetParam()); }
  bool on_gpu() const { return std::get<1>(GetParam()); }
  // On a GPU nothing is switched off, and a bias is for plain f32 results.
  bool allows(const Types& types) const {
    if (!types.allows(test())) return false;
    return !on_gpu() || (types.bf16 != LowPrecision::never && (types.c == DType::f32 || !test().bias));
  }

  Runner runner_;
};
INSTANTIATE_TEST_SUITE_P(, GemmTest, ::testing::Combine(::testing::ValuesIn(cases()), ::testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + (std::get<1>(test.param) ? "_cuda" : "");
                         });

TEST_P(GemmTest, SmallIntegersAreExact) {
  for (const Types& types : kTypes) {
    if (!allows(types)) continue;
    Gemm gemm(runner_.device(), types.bf16);
    Product product(test(), types, true);
    product.run(gemm, runner_);
    product.each_element([&](double got, double exact, double) { EXPECT_EQ(got, exact) << types.name; });
    product.expect_padding_untouched();
  }
}

TEST_P(GemmTest, RandomValuesStayWithinTheBound) {
  for (const Types& types : kTypes) {
    if (!allows(types)) continue;
    Gemm gemm(runner_.device(), types.bf16);
    Product product(test(), types, false);
    product.run(gemm, runner_);
    constexpr int kParts = 3;
    const auto terms = static_cast<double>(test().k + 2 + kParts);
    const double left_out = types.f32_rows == F32Rows::in_two_parts ? std::ldexp(1.0, -18) : 0;
    product.each_element([&](double got, double exact, double absolute) {
      const double rounding = types.c == DType::bf16 ? kUnitBf16 * std::fabs(exact) : 0;
      const double bound = 1.01 * ((terms * kUnitF32 + left_out) * absolute + rounding);
      EXPECT_TRUE(std::fabs(got - exact) <= bound) << types.name << ": " << got << ", exact " << exact;
    });
  }
}

TEST(Gemm, LinearMultipliesByTheTransposedWeight) {
  const std::vector<float> x{1, 2, 3, 4, 5, 6}, w{1, 0, 0, 0, 0, 2, 1, 1, 1, 0, -1, 0};
  const std::vector<float> bias{10, 20, 30, 40};
  std::vector<float> y(8, -1.0f);
  Gemm gemm({1});
  gemm.linear(view_of({x.data(), 2, 3}), view_of({w.data(), 4, 3}), view_of({y.data(), 2, 4}),
              {.bias = bias.data()});
  EXPECT_EQ(y, (std::vector<float>{11, 26, 36, 38, 14, 32, 45, 35}));
}

// The shapes are large enough to be shared out.
TEST(Gemm, FewerThreadsThanAskedForComputeAll) {
  constexpr int64_t kRows = 160, kInner = 128, kCols = 192;
  const std::vector<float> x(kRows * kInner, 1.0f), w(kCols * kInner, 2.0f);
  std::vector<bf16> x16(x.size(), to_bf16(1.0f)), w16(w.size(), to_bf16(2.0f));
  omp_set_max_active_levels(0);  // no team gets a second thread
  Gemm gemm({3});
  omp_set_max_active_levels(1);
  for (const int levels : {1, 0}) {
    omp_set_max_active_levels(levels);
    std::vector<float> y(kRows * kCols, -1.0f), y16(y);
    gemm.linear(view_of({x.data(), kRows, kInner}), view_of({w.data(), kCols, kInner}),
                view_of({y.data(), kRows, kCols}));
    gemm.linear({x16.data(), DType::bf16, kRows, kInner, kInner},
                {w16.data(), DType::bf16, kCols, kInner, kInner}, view_of({y16.data(), kRows, kCols}),
                {.purpose = GemmPurpose::deltas});
    EXPECT_EQ(y, std::vector<float>(y.size(), 2.0f * kInner)) << levels;
    EXPECT_EQ(y16, std::vector<float>(y.size(), 2.0f * kInner)) << levels;
  }
  omp_set_max_active_levels(1);
}

TEST(Gemm, CountsByPurpose) {
  const std::vector<float> x(6, 1.0f), w(12, 1.0f);
  std::vector<float> y(8);
  std::vector<bf16> x16(6), w16(12);
  Gemm gemm({1});
  gemm.linear(view_of({x.data(), 2, 3}), view_of({w.data(), 4, 3}), view_of({y.data(), 2, 4}));
  gemm.linear({x16.data(), DType::bf16, 2, 3, 3}, {w16.data(), DType::bf16, 4, 3, 3},
              view_of({y.data(), 2, 4}), {.purpose = GemmPurpose::deltas});
  EXPECT_EQ(gemm.count(GemmPurpose::reference).calls, 1);
  EXPECT_EQ(gemm.count(GemmPurpose::reference).flops, 48);
  EXPECT_EQ(gemm.count(GemmPurpose::reference).bf16_flops, 0);
  EXPECT_EQ(gemm.count(GemmPurpose::deltas).calls, 1);
  EXPECT_EQ(gemm.count(GemmPurpose::deltas).bf16_flops, gemm.native_bf16() ? 48 : 0);
  EXPECT_EQ(gemm.count(GemmPurpose::cotangents).calls, 0);
  EXPECT_FALSE(gemm.bf16_reason().empty());
}

TEST(Gemm, EmptyProductsDoNothingAndEmptySumsAreRefused) {
  std::vector<float> y{5, 5};
  Gemm gemm({1});
  gemm.multiply({y.data(), DType::f32, {0, 3}, {3, 1}}, {y.data(), DType::f32, {3, 2}, {2, 1}},
                {y.data(), DType::f32, {0, 2}, {2, 1}});
  EXPECT_EQ(gemm.count(GemmPurpose::reference).calls, 0);
  EXPECT_THROW(gemm.multiply({y.data(), DType::f32, {1, 0}, {1, 1}}, {y.data(), DType::f32, {0, 2}, {2, 1}},
                             {y.data(), DType::f32, {1, 2}, {2, 1}}),
               ContractError);
  EXPECT_THROW(gemm.linear(view_of({y.data(), 1, 2}), view_of({y.data(), 2, 1}), view_of({y.data(), 1, 2})),
               ContractError);
  EXPECT_EQ(y, (std::vector<float>{5, 5}));
}

// Sums that f32 could not hold, near the end of 32 bits.
void expect_products_of_codes(Gemm& gemm, Runner& runner, int64_t rows, int64_t in, int64_t out,
                              DType dtype) {
  Rng rng(4);
  std::vector<int8_t> w(static_cast<size_t>(out * in));
  std::vector<uint8_t> x(static_cast<size_t>(rows * in));
  for (int8_t& v : w) v = static_cast<int8_t>(120 + static_cast<int>(rng.below(8)));
  for (uint8_t& v : x) v = static_cast<uint8_t>(248 + rng.below(8));
  std::vector<int32_t> y(static_cast<size_t>(rows * out), 5);
  {
    const Runner::Call arguments = runner.device();
    gemm.linear_codes(runner.on(MatrixView{x.data(), dtype, rows, in, in}),
                      runner.on(MatrixView{w.data(), DType::i8, out, in, in}),
                      runner.on(MatrixView{y.data(), DType::i32, rows, out, out}), GemmPurpose::deltas);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < out; ++c) {
      int64_t sum = 0;
      for (int64_t i = 0; i < in; ++i) {
        const uint8_t code = x[static_cast<size_t>(r * in + i)];
        sum += int64_t{dtype == DType::u8 ? int{code} : int{static_cast<int8_t>(code)}} *
               w[static_cast<size_t>(c * in + i)];
      }
      const double slack = dtype == DType::u8 ? 0 : 0x1p-24 * std::fabs(static_cast<double>(sum));
      EXPECT_LE(std::fabs(static_cast<double>(y[static_cast<size_t>(r * out + c)] - sum)), slack);
    }
  EXPECT_EQ(gemm.count(GemmPurpose::deltas).flops, static_cast<double>(2 * rows * in * out));
}

// Natively where the processor can, and as tests emulate it.
TEST(Gemm, ProductsOfCodes) {
  for (const LowPrecision low : {LowPrecision::where_native, LowPrecision::always})
    for (const DType dtype : {DType::u8, DType::i8})
      for (const auto& [rows, in, out] : {std::array<int64_t, 3>{1, 1, 1}, {7, 70, 33}, {3, 33000, 5}}) {
        Runner runner;
        Gemm gemm({2}, low);
        if (gemm.multiplies_codes(in, out)) expect_products_of_codes(gemm, runner, rows, in, out, dtype);
      }
}

TEST(CudaGemm, ProductsOfCodes) {
  if (Runner::gpus() == 0) GTEST_SKIP() << "no GPU, or a build without CUDA";
  for (const auto& [rows, in, out] : {std::array<int64_t, 3>{1, 4, 4}, {7, 72, 36}, {3, 33000, 8}}) {
    Runner runner;
    runner.use_gpu();
    Gemm gemm(runner.device());
    ASSERT_TRUE(gemm.multiplies_codes(in, out));
    EXPECT_FALSE(gemm.multiplies_codes(in + 1, out) || gemm.multiplies_codes(in, out + 2));
    expect_products_of_codes(gemm, runner, rows, in, out, DType::i8);
  }
}

TEST(Gemm, WithoutInt8CodesAreRefused) {
  Gemm gemm({1}, LowPrecision::never);
  EXPECT_FALSE(gemm.multiplies_codes(4, 4));
  int8_t code = 1;
  int32_t sum = 0;
  EXPECT_THROW(gemm.linear_codes({&code, DType::i8, 1, 1, 1}, {&code, DType::i8, 1, 1, 1},
                                 {&sum, DType::i32, 1, 1, 1}, GemmPurpose::deltas),
               ContractError);
}

TEST(Gemm, WithoutBf16SaysWhy) {
  EXPECT_FALSE(Gemm({1}, LowPrecision::never).native_bf16());
  EXPECT_EQ(Gemm({1}, LowPrecision::never).bf16_reason(), "bf16 products are switched off");
  EXPECT_EQ(Gemm({1}, LowPrecision::never).operand_dtype(DType::bf16), DType::f32);
  EXPECT_EQ(Gemm({1}, LowPrecision::always).operand_dtype(DType::bf16), DType::bf16);
}

TEST(Gemm, BfloatWeightsAreTakenAsTheyAreWhereThatIsFaster) {
  const int64_t many = 4096;
  EXPECT_FALSE(Gemm({1}, LowPrecision::never).takes_bf16_weights(1, F32Rows::in_two_parts));
  EXPECT_TRUE(Gemm({1}, LowPrecision::always).takes_bf16_weights(many, F32Rows::in_three_parts));
  const Gemm here({1});
  EXPECT_EQ(here.takes_bf16_weights(1, F32Rows::in_two_parts), here.native_bf16());
  EXPECT_EQ(here.takes_bf16_weights(many, F32Rows::in_two_parts),
            here.takes_bf16_weights(1, F32Rows::in_three_parts));
}

TEST(Gemm, MeasuredRateIsPositive) {
  Gemm gemm({1});
  const double rate = measure_rate(gemm, DType::f32, 16, 16, 16, 1e-3);
  EXPECT_TRUE(rate > 0 && std::isfinite(rate)) << rate;
}

}  // namespace
}  // namespace qsweep::kernels
