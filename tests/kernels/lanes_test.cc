// The vocabulary of the row kernels, on every instruction set: elementary functions in units in the last
// place against long double, bf16 loads and stores, rows that do not fill the lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lanes_test.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

#ifndef QSWEEP_LANES_TEST_ONCE
#define QSWEEP_LANES_TEST_ONCE
namespace qsweep::kernels {
enum class Function { exp, expm1, expm1_minus_x, sigmoid };
}
#endif

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void apply(Function function, int64_t n, const T* x, T* y) {
  using L = LanesOf<T>;
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(x, at);
    switch (function) {
      case Function::exp:
        return L::store(L::exp(v), y, at);
      case Function::expm1:
        return L::store(L::expm1(v), y, at);
      case Function::expm1_minus_x:
        return L::store(L::expm1_minus_x(v), y, at);
      case Function::sigmoid:
        return L::store(L::sigmoid(v), y, at);
    }
  });
}

template <class From, class To>
void copy(int64_t n, const From* x, To* y) {
  using L = LanesOf<std::conditional_t<std::is_same_v<To, double>, double, float>>;
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at), y, at); });
}

void Apply32(Function f, int64_t n, const float* x, float* y) { apply(f, n, x, y); }
void Apply64(Function f, int64_t n, const double* x, double* y) { apply(f, n, x, y); }
void NarrowToBf16(int64_t n, const float* x, bf16* y) { copy(n, x, y); }
void WidenTo32(int64_t n, const bf16* x, float* y) { copy(n, x, y); }
void WidenTo64(int64_t n, const bf16* x, double* y) { copy(n, x, y); }
void Float32To64(int64_t n, const float* x, double* y) { copy(n, x, y); }

float Sum32(int64_t n, const float* x) {
  return Lanes::sum(n, [&](auto at) QSWEEP_LANES { return Lanes::load(x, at) + Lanes::set(1); });
}
float Max32(int64_t n, const float* x) {
  return Lanes::max(n, [&](auto at) QSWEEP_LANES { return Lanes::load(x, at); });
}
double Sum64(int64_t n, const float* x) {
  return Lanes64::sum(n, [&](auto at) QSWEEP_LANES { return Lanes64::load(x, at) + Lanes64::set(1); });
}
int64_t Width32() { return Lanes::width(); }

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/per_target.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

HWY_EXPORT(Apply32);
HWY_EXPORT(Apply64);
HWY_EXPORT(NarrowToBf16);
HWY_EXPORT(WidenTo32);
HWY_EXPORT(WidenTo64);
HWY_EXPORT(Float32To64);
HWY_EXPORT(Sum32);
HWY_EXPORT(Max32);
HWY_EXPORT(Sum64);
HWY_EXPORT(Width32);

class LanesTest : public PerTarget {};
INSTANTIATE_PER_TARGET(LanesTest);

void apply(Function f, const std::vector<float>& x, std::vector<float>& y) {
  HWY_DYNAMIC_DISPATCH(Apply32)(f, static_cast<int64_t>(x.size()), x.data(), y.data());
}
void apply(Function f, const std::vector<double>& x, std::vector<double>& y) {
  HWY_DYNAMIC_DISPATCH(Apply64)(f, static_cast<int64_t>(x.size()), x.data(), y.data());
}

// e^x - 1 - x, by its series where the terms cancel.
long double exact_expm1_minus_x(long double x) {
  if (std::fabs(x) > 0.5L) return std::expm1(x) - x;
  long double term = x * x / 2, sum = 0;
  for (int k = 3; k < 40; ++k) {
    sum += term;
    term *= x / k;
  }
  return sum;
}

long double exact(Function f, long double x) {
  switch (f) {
    case Function::exp:
      return std::exp(x);
    case Function::expm1:
      return std::expm1(x);
    case Function::expm1_minus_x:
      return exact_expm1_minus_x(x);
    case Function::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return NAN;
}

// |got - want| in units in the last place of want; beyond the largest finite value everything is the first
// power of two that overflows, below the smallest normal one the unit is the smallest subnormal.
template <class T>
double ulps(T got, long double want) {
  using Limits = std::numeric_limits<T>;
  const long double top = std::ldexp(1.0L, Limits::max_exponent);
  const long double a = std::clamp(static_cast<long double>(got), -top, top), b = std::clamp(want, -top, top);
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b) ? 0 : INFINITY;
  const int exponent = b == 0 ? Limits::min_exponent - 1 : std::max(std::ilogb(b), Limits::min_exponent - 1);
  return static_cast<double>(std::fabs(a - b) / std::ldexp(1.0L, exponent - Limits::digits + 1));
}

// Zeros, subnormals, neighbours of the reduction's and the branches' edges, overflow and underflow.
template <class T>
std::vector<T> special_arguments() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> centres{0,    Limits::denorm_min(), Limits::min(),     Limits::epsilon(), T{0.34}, T{0.5},
                         T{1}, Limits::max(),        Limits::infinity()};
  for (int k = 1; k < (std::is_same_v<T, float> ? 310 : 2200); ++k)
    centres.push_back(
        static_cast<T>(k * 0.34657359027997265471L));  // where the reduction changes: k ln 2 / 2
  std::vector<T> x;
  for (const T c : centres) {
    for (const T v : {c, std::nextafter(c, T{0}), std::nextafter(c, Limits::infinity())}) {
      x.push_back(v);
      x.push_back(-v);
    }
  }
  return x;
}

// Every 3001st float.
std::vector<float> arguments(float) {
  std::vector<float> x = special_arguments<float>();
  for (uint64_t bits = 0; bits <= 0xffffffff; bits += 3001) {
    const float v = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!std::isnan(v)) x.push_back(v);
  }
  return x;
}

// Uniform over the finite results, and of every magnitude.
std::vector<double> arguments(double) {
  std::vector<double> x = special_arguments<double>();
  Rng rng(1);
  for (int i = 0; i < 300000; ++i) {
    x.push_back(-760 + 1480 * rng.uniform());
    const double magnitude = std::ldexp(1 + rng.uniform(), static_cast<int>(rng.below(1086)) - 1074);
    x.push_back(rng.below(2) == 0 ? magnitude : -magnitude);
    x.push_back(rng.uniform() - 0.5);
  }
  return x;
}

// Worst error over the arguments, in ulps. What follows from e^d - 1 - d overflowing is left out: it need
// only not be finite.
template <class T>
void expect_ulps(Function f, double bound) {
  const std::vector<T> x = arguments(T{});
  std::vector<T> y(x.size());
  apply(f, x, y);
  double worst = 0;
  T worst_x = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (f == Function::expm1_minus_x && std::isinf(x[i]) && x[i] > 0) {
      EXPECT_FALSE(std::isfinite(y[i]));
      continue;
    }
    const double error = ulps(y[i], exact(f, x[i]));
    if (error <= worst) continue;
    worst = error;
    worst_x = x[i];
  }
  ::testing::Test::RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_TRUE(worst <= bound) << worst << " ulp at " << std::hexfloat << worst_x;
}

TEST_P(LanesTest, ExpF32) { expect_ulps<float>(Function::exp, 2); }
TEST_P(LanesTest, ExpF64) { expect_ulps<double>(Function::exp, 2); }
TEST_P(LanesTest, Expm1F32) { expect_ulps<float>(Function::expm1, 3); }
TEST_P(LanesTest, Expm1F64) { expect_ulps<double>(Function::expm1, 3); }
// At the edge of the series' range, 0.34, subtracting x enlarges expm1's error by expm1(x) / (expm1(x) - x) =
// 6.2.
TEST_P(LanesTest, Expm1MinusXF32) { expect_ulps<float>(Function::expm1_minus_x, 3 * 6.2 + 1); }
TEST_P(LanesTest, Expm1MinusXF64) { expect_ulps<double>(Function::expm1_minus_x, 3 * 6.2 + 1); }
// Two ulp of e^-|x|, the rounding of the sum and of the quotient.
TEST_P(LanesTest, SigmoidF32) { expect_ulps<float>(Function::sigmoid, 4); }
TEST_P(LanesTest, SigmoidF64) { expect_ulps<double>(Function::sigmoid, 4); }

TEST_P(LanesTest, NanStaysNan) {
  for (const Function f : {Function::exp, Function::expm1, Function::expm1_minus_x, Function::sigmoid}) {
    for (const float nan :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
      const std::vector<float> x(19, nan);
      std::vector<float> y(19, 0.0f);
      apply(f, x, y);
      EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
      const std::vector<double> x64(19, nan);
      std::vector<double> y64(19, 0.0);
      apply(f, x64, y64);
      EXPECT_TRUE(std::all_of(y64.begin(), y64.end(), [](double v) { return std::isnan(v); }));
    }
  }
}

bool same_bf16(bf16 a, bf16 b) {
  return std::isnan(to_float(b)) ? std::isnan(to_float(a)) : a.bits == b.bits;
}

TEST_P(LanesTest, StoringRoundsLikeTheScalarCodec) {
  std::vector<float> x;
  for (uint32_t high = 0; high < 0x10000; ++high)
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      x.push_back(std::bit_cast<float>((high << 16) | low));
  std::vector<bf16> y(x.size());
  HWY_DYNAMIC_DISPATCH(NarrowToBf16)(static_cast<int64_t>(x.size()), x.data(), y.data());
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_TRUE(same_bf16(y[i], to_bf16(x[i])))
        << std::hex << std::bit_cast<uint32_t>(x[i]) << " -> " << y[i].bits;
}

TEST_P(LanesTest, LoadingWidensExactly) {
  std::vector<bf16> x;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) x.push_back({static_cast<uint16_t>(bits)});
  const auto n = static_cast<int64_t>(x.size());
  std::vector<float> y(x.size());
  std::vector<double> y64(x.size()), from_float(x.size());
  HWY_DYNAMIC_DISPATCH(WidenTo32)(n, x.data(), y.data());
  HWY_DYNAMIC_DISPATCH(WidenTo64)(n, x.data(), y64.data());
  HWY_DYNAMIC_DISPATCH(Float32To64)(n, y.data(), from_float.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const float want = to_float(x[i]);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(y[i]) && std::isnan(y64[i]) && std::isnan(from_float[i])) << x[i].bits;
    } else {
      ASSERT_TRUE(y[i] == want && y64[i] == want && from_float[i] == want) << x[i].bits;
    }
  }
}

// Row lengths around multiples of the lanes: nothing is read or written beyond the end.
TEST_P(LanesTest, EveryRowLength) {
  const int64_t longest = 2 * HWY_DYNAMIC_DISPATCH(Width32)() + 3;
  for (int64_t n = 0; n <= longest; ++n) {
    // Heap blocks of exactly n elements: a sanitizer sees any access beyond.
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i - 7);
    std::vector<bf16> narrow(static_cast<size_t>(n) + 1, bf16{0x1234});
    HWY_DYNAMIC_DISPATCH(NarrowToBf16)(n, x.data(), narrow.data());
    for (int64_t i = 0; i < n; ++i)
      EXPECT_EQ(to_float(narrow[static_cast<size_t>(i)]), x[static_cast<size_t>(i)]) << n;
    EXPECT_EQ(narrow[static_cast<size_t>(n)].bits, 0x1234) << n;
    narrow.pop_back();
    narrow.shrink_to_fit();
    std::vector<double> wide(static_cast<size_t>(n) + 1, -99.0);
    HWY_DYNAMIC_DISPATCH(WidenTo64)(n, narrow.data(), wide.data());
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(wide[static_cast<size_t>(i)], static_cast<double>(i - 7)) << n;
    EXPECT_EQ(wide[static_cast<size_t>(n)], -99.0) << n;

    const auto total = static_cast<double>(n * (n - 1) / 2 - 6 * n);  // sum of (i - 7) + 1
    EXPECT_EQ(HWY_DYNAMIC_DISPATCH(Sum32)(n, x.data()), total) << n;
    EXPECT_EQ(HWY_DYNAMIC_DISPATCH(Sum64)(n, x.data()), total) << n;
    const float top = HWY_DYNAMIC_DISPATCH(Max32)(n, x.data());
    EXPECT_EQ(top, n == 0 ? -INFINITY : static_cast<float>(n - 8)) << n;
  }
}

}  // namespace
}  // namespace qsweep::kernels
#endif  // HWY_ONCE
