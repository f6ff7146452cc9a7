// The vocabulary row kernels are written in, for the CPU: SIMD lanes over the elements of one row. A kernel
// body asks only for what stands here (load, store, arithmetic by operators, select, exp, sum over a row,
// ...), so that the same body can be compiled for another device whose lanes are threads.
//
// Included once per instruction set by Highway's foreach_target.h; see rows.cc.
#if defined(QSWEEP_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QSWEEP_KERNELS_LANES_INL_H_
#undef QSWEEP_KERNELS_LANES_INL_H_
#else
#define QSWEEP_KERNELS_LANES_INL_H_
#endif

#include <cmath>
#include <cstdint>
#include <limits>

#include <hwy/highway.h>

#include "base/codec.h"

// Every lambda inside a kernel needs the instruction set of the function around it.
#ifndef QSWEEP_LANES
#define QSWEEP_LANES HWY_ATTR
#endif

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where in a row a group of lanes stands: all lanes, or the first `count` of them at the end of the row.
struct AllLanes {
  int64_t offset;
};
struct SomeLanes {
  int64_t offset;
  size_t count;
};

// T: float, or double for the score sums.
template <class T>
struct LanesOf {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr D d{};
  static int64_t width() { return static_cast<int64_t>(hn::Lanes(d)); }

  static HWY_INLINE V set(T x) { return hn::Set(d, x); }
  static HWY_INLINE V zero() { return hn::Zero(d); }

  // Elements beyond the row's end read as 0.
  template <class U>
  static HWY_INLINE V load(const U* row, AllLanes at) {
    return load_full(row + at.offset);
  }
  template <class U>
  static HWY_INLINE V load(const U* row, SomeLanes at) {
    HWY_ALIGN U buffer[HWY_MAX_BYTES / sizeof(T)] = {};
    for (size_t i = 0; i < at.count; ++i) buffer[i] = row[at.offset + static_cast<int64_t>(i)];
    return load_full(buffer);
  }
  template <class U>
  static HWY_INLINE void store(V v, U* row, AllLanes at) {
    store_full(v, row + at.offset);
  }
  template <class U>
  static HWY_INLINE void store(V v, U* row, SomeLanes at) {
    HWY_ALIGN U buffer[HWY_MAX_BYTES / sizeof(T)];
    store_full(v, buffer);
    for (size_t i = 0; i < at.count; ++i) row[at.offset + static_cast<int64_t>(i)] = buffer[i];
  }

  // body(at) for every group of lanes of a row of n elements.
  template <class Body>
  static HWY_INLINE void each(int64_t n, Body&& body) {
    int64_t i = 0;
    for (; i + width() <= n; i += width()) body(AllLanes{i});
    if (i < n) body(SomeLanes{i, static_cast<size_t>(n - i)});
  }

  // Sum over the row of the vectors that body(at) returns; lanes beyond the end do not count.
  template <class Body>
  static HWY_INLINE T sum(int64_t n, Body&& body) {
    V total = zero();
    int64_t i = 0;
    for (; i + width() <= n; i += width()) total = total + body(AllLanes{i});
    if (i < n) total = total + keep_first(body(SomeLanes{i, static_cast<size_t>(n - i)}), n - i, zero());
    return sum_of(total);
  }

  // v in the lanes that `at` has, `other` beyond the end of the row.
  static HWY_INLINE V inside(V v, AllLanes, V) { return v; }
  static HWY_INLINE V inside(V v, SomeLanes at, V other) {
    return keep_first(v, static_cast<int64_t>(at.count), other);
  }
  static HWY_INLINE T sum_of(V v) { return hn::GetLane(hn::SumOfLanes(d, v)); }
  static HWY_INLINE T max_of(V v) { return hn::GetLane(hn::MaxOfLanes(d, v)); }

  // Maximum over the row, -inf for an empty one. NaN elements are ignored or propagated: check inputs
  // elsewhere.
  template <class Body>
  static HWY_INLINE T max(int64_t n, Body&& body) {
    const V lowest = set(-std::numeric_limits<T>::infinity());
    V best = lowest;
    int64_t i = 0;
    for (; i + width() <= n; i += width()) best = hn::Max(best, body(AllLanes{i}));
    if (i < n)
      best = hn::Max(best, keep_first(body(SomeLanes{i, static_cast<size_t>(n - i)}), n - i, lowest));
    return max_of(best);
  }

  static HWY_INLINE V abs(V x) { return hn::Abs(x); }
  static HWY_INLINE V larger(V a, V b) { return hn::Max(a, b); }
  // 2^floor(log2 |x|); 0 for zero and subnormal numbers, infinity for NaN.
  static HWY_INLINE V binade(V x) requires(std::is_same_v<T, float>) {
    return hn::And(x, hn::BitCast(d, hn::Set(hn::RebindToUnsigned<D>(), 0x7f800000u)));
  }
  // By comparisons, because a NaN must stay one and Min and Max do not keep it on every instruction set.
  static HWY_INLINE V clamp(V x, V low, V high) {
    return hn::IfThenElse(x < low, low, hn::IfThenElse(x > high, high, x));
  }
  static HWY_INLINE V round(V x) { return hn::Round(x); }  // half to even
  static HWY_INLINE V fma(V a, V b, V c) { return hn::MulAdd(a, b, c); }
  template <class M>
  static HWY_INLINE V select(M mask, V yes, V no) {
    return hn::IfThenElse(mask, yes, no);
  }
  template <class M>
  static HWY_INLINE bool all(M mask) {
    return hn::AllTrue(d, mask);
  }

  // e^x: relative error below 2 ulp (f32); 0 below the range, +inf above it.
  static HWY_INLINE V exp(V x) {
    const V y = in_range(x);
    const V n = power_of_two(y);
    const V p = expm1_reduced(remainder(y, n));
    return scale(p + set(1), n);
  }

  // e^x - 1 without cancellation: relative error below 3 ulp.
  static HWY_INLINE V expm1(V x) {
    const V y = hn::IfThenElse(x < set(T{-80}), set(T{-80}), in_range(x));  // e^-80 - 1 is -1, 2^-n finite
    const V n = power_of_two(y);
    const V p = expm1_reduced(remainder(y, n));
    // 2^n (p + (1 - 2^-n)): 2^n itself may overflow where the result does not.
    return scale(p + (set(1) - scale(set(1), zero() - n)), n);
  }

  // The same for |x| < kSmallExponent, for less.
  static constexpr T kSmallExponent = T{0.34};
  static HWY_INLINE V expm1_small(V x) { return expm1_reduced(x); }

  // e^x - 1 - x without cancellation.
  static HWY_INLINE V expm1_minus_x(V x) {
    const auto small = abs(x) < set(kSmallExponent);
    const V series = x * x * expm1_tail(x);
    if (all(small)) return series;
    return select(small, series, expm1(x) - x);
  }

  // The same for |x| <= 2^-6, for less.
  static HWY_INLINE V expm1_minus_x_tiny(V x) {
    return x * x * expm1_series < std::is_same_v<T, float> ? 3 : 5 > (x);
  }

  // 1 / (1 + e^-x), and with it 1 / (1 + e^x): both accurate in both tails.
  struct Sigmoids {
    V of, of_minus;
  };
  static HWY_INLINE Sigmoids sigmoids(V x) {
    const V e = exp(zero() - abs(x));
    const V large = set(1) / (set(1) + e), small = e * large;
    const auto negative = x < zero();
    return {select(negative, small, large), select(negative, large, small)};
  }
  static HWY_INLINE V sigmoid(V x) { return sigmoids(x).of; }

  // The standard normal distribution function; one lane at a time (the merger is small).
  static HWY_INLINE V normal_cdf(V x) {
    HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(x, d, buffer);
    for (int64_t i = 0; i < width(); ++i)
      buffer[i] = static_cast<T>(0.5 * std::erfc(-static_cast<double>(buffer[i]) * 0.70710678118654752440));
    return hn::Load(d, buffer);
  }

 private:
  static HWY_INLINE V load_full(const T* p) { return hn::LoadU(d, p); }
  static HWY_INLINE void store_full(V v, T* p) { hn::StoreU(v, d, p); }
  static HWY_INLINE V load_full(const bf16* p) requires(std::is_same_v<T, float>) {
    const hn::Rebind<uint16_t, D> half;
    const hn::RebindToUnsigned<D> bits;
    const auto wide = hn::PromoteTo(bits, hn::LoadU(half, reinterpret_cast<const uint16_t*>(p)));
    return hn::BitCast(d, hn::ShiftLeft<16>(wide));
  }
  // Round to nearest, ties to even; NaN is kept as a NaN.
  static HWY_INLINE void store_full(V v, bf16* p) requires(std::is_same_v<T, float>) {
    const hn::Rebind<uint16_t, D> half;
    const hn::RebindToUnsigned<D> bits;
    const auto u = hn::BitCast(bits, v);
    const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(bits, 1));
    auto rounded = hn::ShiftRight<16>(u + hn::Set(bits, 0x7fff) + odd);
    rounded = hn::IfThenElse(hn::RebindMask(bits, hn::IsNaN(v)), hn::Set(bits, 0x7fc0), rounded);
    const hn::RebindToSigned<decltype(bits)> signed_bits;
    const auto narrow = hn::DemoteTo(half, hn::BitCast(signed_bits, rounded));
    hn::StoreU(narrow, half, reinterpret_cast<uint16_t*>(p));
  }
  // Whole numbers within the range of U.
  template <class U>
  static HWY_INLINE void store_full(V v, U* p) requires(std::is_same_v<T, float> && sizeof(U) == 1) {
    const hn::Rebind<U, D> bytes;
    hn::StoreU(hn::DemoteTo(bytes, hn::NearestInt(v)), bytes, p);
  }
  static HWY_INLINE V load_full(const int32_t* p) requires(std::is_same_v<T, double>) {
    const hn::Rebind<int32_t, D> ints;
    return hn::PromoteTo(d, hn::LoadU(ints, p));
  }
  static HWY_INLINE void store_full(V v, float* p) requires(std::is_same_v<T, double>) {
    const hn::Rebind<float, D> half;
    hn::StoreU(hn::DemoteTo(half, v), half, p);
  }
  static HWY_INLINE V load_full(const float* p) requires(std::is_same_v<T, double>) {
    const hn::Rebind<float, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, p));
  }
  static HWY_INLINE V load_full(const bf16* p) requires(std::is_same_v<T, double>) {
    const hn::Rebind<float, D> half;
    const hn::Rebind<uint32_t, D> bits;
    const hn::Rebind<uint16_t, D> quarter;
    const auto wide = hn::PromoteTo(bits, hn::LoadU(quarter, reinterpret_cast<const uint16_t*>(p)));
    return hn::PromoteTo(d, hn::BitCast(half, hn::ShiftLeft<16>(wide)));
  }

  static HWY_INLINE V keep_first(V v, int64_t count, V other) {
    return hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(count)), v, other);
  }

  // Clamped to where e^x is 0 or infinite.
  static HWY_INLINE V in_range(V x) {
    constexpr T low = std::is_same_v<T, float> ? T{-104} : T{-746};
    constexpr T high = std::is_same_v<T, float> ? T{89} : T{710};
    return clamp(x, set(low), set(high));
  }
  // n with x = n ln 2 + r, |r| <= ln 2 / 2.
  static HWY_INLINE V power_of_two(V x) { return hn::Round(x * set(static_cast<T>(1.4426950408889634074L))); }
  static HWY_INLINE V remainder(V x, V n) {
    if constexpr (std::is_same_v<T, float>) {
      const V r = hn::MulAdd(n, set(-0.693359375f), x);
      return hn::MulAdd(n, set(2.12194440e-4f), r);
    } else {
      const V r = hn::MulAdd(n, set(-6.93147180369123816490e-01), x);
      return hn::MulAdd(n, set(-1.90821492927058770002e-10), r);
    }
  }
  // (e^r - 1 - r) / r^2 for |r| <= 0.35: the Taylor series to the last bit.
  static HWY_INLINE V expm1_tail(V r) { return expm1_series < std::is_same_v<T, float> ? 6 : 12 > (r); }
  template <int terms>
  static HWY_INLINE V expm1_series(V r) {
    constexpr long double factorials[] = {2.L,         6.L,          24.L,         120.L,     720.L,
                                          5040.L,      40320.L,      362880.L,     3628800.L, 39916800.L,
                                          479001600.L, 6227020800.L, 87178291200.L};
    V p = set(static_cast<T>(1 / factorials[terms]));
    for (int k = terms - 1; k >= 0; --k) p = hn::MulAdd(p, r, set(static_cast<T>(1 / factorials[k])));
    return p;
  }
  static HWY_INLINE V expm1_reduced(V r) { return hn::MulAdd(r * r, expm1_tail(r), r); }
  // x 2^n, in two steps so that subnormal results and 2^128 are reached.
  static HWY_INLINE V scale(V x, V n) {
    const V half = hn::Floor(n * set(T{0.5}));
    return x * pow2(half) * pow2(n - half);
  }
  static HWY_INLINE V pow2(V n) {
    const hn::RebindToSigned<D> ints;
    constexpr int mantissa = std::is_same_v<T, float> ? 23 : 52;
    constexpr int bias = std::is_same_v<T, float> ? 127 : 1023;
    return hn::BitCast(d, hn::ShiftLeft<mantissa>(to_int(ints, n) + hn::Set(ints, bias)));
  }
  template <class DI>
  static HWY_INLINE hn::Vec<DI> to_int(DI ints, V n) {
    if constexpr (std::is_same_v<T, float>) {
      return hn::ConvertTo(ints, n);
    } else {
      // Adding 1.5 * 2^52 leaves the integer in the low bits: no 64-bit conversion is needed before AVX-512.
      const V shifted = n + set(6755399441055744.0);
      return hn::BitCast(ints, shifted) - hn::BitCast(ints, set(6755399441055744.0));
    }
  }
};

using Lanes = LanesOf<float>;
using Lanes64 = LanesOf<double>;

}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
