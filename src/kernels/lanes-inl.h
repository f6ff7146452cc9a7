// The vocabulary row kernels are written in, for the CPU: SIMD lanes over the elements of one row. A kernel
// body asks only for what stands here and in lanes_math-inl.h (load, store, arithmetic by operators, select,
// exp, sum over a row, ...), so that the same body is compiled for CUDA, where lanes are threads
// (lanes_cuda.h).
//
// Included once per instruction set by Highway's foreach_target.h; see norm.cc.
#if defined(QSWEEP_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QSWEEP_KERNELS_LANES_INL_H_
#undef QSWEEP_KERNELS_LANES_INL_H_
#else
#define QSWEEP_KERNELS_LANES_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <hwy/highway.h>

#include "base/codec.h"

#ifndef QSWEEP_LANES
// Before every function of a kernel's body.
#define QSWEEP_KERNEL
#define QSWEEP_INLINE HWY_INLINE
// Every lambda inside a kernel needs the instruction set of the function around it.
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
struct Words {
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

  // The first element for which the mask body(at) returns is set, or n.
  template <class Body>
  static HWY_INLINE int64_t first(int64_t n, Body&& body) {
    int64_t i = 0;
    for (; i + width() <= n; i += width())
      if (const auto lane = hn::FindFirstTrue(d, body(AllLanes{i})); lane >= 0) return i + lane;
    if (i == n) return n;
    const auto lane = hn::FindFirstTrue(d, body(SomeLanes{i, static_cast<size_t>(n - i)}));
    return lane < 0 ? n : std::min(i + lane, n);
  }

  template <class U>
  static void fill(int64_t n, U value, U* row) {
    std::fill_n(row, n, value);
  }
  template <class U>
  static void copy(int64_t n, const U* from, U* to) {
    std::copy_n(from, n, to);
  }
  // n elements that stand `from_step` and `to_step` apart.
  template <class U>
  static void copy_apart(int64_t n, const U* from, int64_t from_step, U* to, int64_t to_step) {
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
  }

  // What is done once per row and not per lane: writing what all lanes know.
  template <class Body>
  static HWY_INLINE void once(Body&& body) {
    body();
  }
  // body(part, i) for `count` parts of a row, of about `width` elements each, in any order: `part` has the
  // words from `each` to `once`, for the lanes that work on that part, which alone know what it computes.
  template <class Body>
  static HWY_INLINE void each_part(int64_t count, int64_t width, Body&& body) {
    static_cast<void>(width);
    for (int64_t i = 0; i < count; ++i) body(Words(), i);
  }
  // Numbers that a row needs between its passes; `once` and `each` write them.
  class Scratch {
   public:
    explicit Scratch(int64_t n) : values_(static_cast<size_t>(n)) {}
    T* data() { return values_.data(); }

   private:
    std::vector<T> values_;
  };

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
  static HWY_INLINE V floor(V x) { return hn::Floor(x); }
  // For a row of up to 64 elements: 1 where the bit of `word` with the element's number is set, else -1.
  template <class At>
  static HWY_INLINE V signs(uint64_t word, At at) {
    const uint64_t bits = word >> at.offset;
    const auto positive = hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(&bits));
    return hn::IfThenElse(positive, set(1), set(-1));
  }
  static HWY_INLINE V fma(V a, V b, V c) { return hn::MulAdd(a, b, c); }
  template <class M>
  static HWY_INLINE V select(M mask, V yes, V no) {
    return hn::IfThenElse(mask, yes, no);
  }
  template <class M>
  static HWY_INLINE bool all(M mask) {
    return hn::AllTrue(d, mask);
  }

  // 2^n for a whole number n within the range of exponents.
  static HWY_INLINE V pow2(V n) {
    const hn::RebindToSigned<D> ints;
    constexpr int mantissa = std::is_same_v<T, float> ? 23 : 52;
    constexpr int bias = std::is_same_v<T, float> ? 127 : 1023;
    return hn::BitCast(d, hn::ShiftLeft<mantissa>(to_int(ints, n) + hn::Set(ints, bias)));
  }

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
  static HWY_INLINE V load_full(const f16* p) requires(std::is_same_v<T, float>) {
    HWY_ALIGN float buffer[HWY_MAX_BYTES / sizeof(float)];
    for (int64_t i = 0; i < width(); ++i) buffer[i] = to_float(p[i]);
    return hn::Load(d, buffer);
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

}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#include "kernels/lanes_math-inl.h"

#endif  // per-target include guard
