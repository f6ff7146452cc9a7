// The vocabulary of the row kernels for CUDA: the lanes of one row are the elements of a few threads
// (team.h), each of which works on a pack of neighbours at once (pack.h). See lanes-inl.h for what the words
// mean.
//
// All threads of a row run a body together and agree on every number outside of `each` and its like, so
// they take the same branches and meet at the same barriers. A word begins and ends with a barrier: it sees
// what was written before it, and what follows sees what it wrote.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <cuda_runtime.h>

#include "base/codec.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/team.h"

#define HWY_NAMESPACE N_CUDA
#define HWY_BEFORE_NAMESPACE() static_assert(true)
#define HWY_AFTER_NAMESPACE() static_assert(true)
#define QSWEEP_KERNEL __device__
#define QSWEEP_INLINE __device__ __forceinline__
#define QSWEEP_LANES

// As many bytes as the launch asks for.
extern __shared__ double qsweep_scratch[];

namespace qsweep::kernels::N_CUDA {

// The words of one thread.
template <class T>
struct PackWords {
  static constexpr int kElems = kPackElems<T>;
  using V = Pack<T, kElems>;
  using M = Pack<bool, kElems>;

  static QSWEEP_INLINE V set(T x) {
    V v;
    for (int i = 0; i < kElems; ++i) v.lane[i] = x;
    return v;
  }
  static QSWEEP_INLINE V zero() { return set(0); }

  // Elements beyond the row's end read as 0.
  template <class U, class At>
  static QSWEEP_INLINE V load(const U* row, At at) {
    return map_lanes([](U x) { return widened(x); }, read_pack<kElems>(row, at));
  }
  template <class U, class At>
  static QSWEEP_INLINE void store(V v, U* row, At at) {
    write_pack(map_lanes([](T x) { return narrowed<U>(x); }, v), row, at);
  }

  static QSWEEP_INLINE V inside(V v, AllLanes, V) { return v; }
  static QSWEEP_INLINE V inside(V v, SomeLanes at, V other) {
    for (int i = 0; i < kElems; ++i) v.lane[i] = i < at.count ? v.lane[i] : other.lane[i];
    return v;
  }

  static QSWEEP_INLINE V abs(V x) {
    return map_lanes([](T a) { return std::fabs(a); }, x);
  }
  static QSWEEP_INLINE V larger(V a, V b) { return select(a > b, a, b); }
  static QSWEEP_INLINE V binade(V x) requires(std::is_same_v<T, float>) {
    return map_lanes([](T a) { return std::bit_cast<float>(std::bit_cast<uint32_t>(a) & 0x7f800000u); }, x);
  }
  static QSWEEP_INLINE V clamp(V x, V low, V high) { return select(x < low, low, select(x > high, high, x)); }
  static QSWEEP_INLINE V round(V x) {
    return map_lanes([](T a) { return std::rint(a); }, x);
  }
  static QSWEEP_INLINE V floor(V x) {
    return map_lanes([](T a) { return std::floor(a); }, x);
  }
  template <class At>
  static QSWEEP_INLINE V signs(uint64_t word, At at) {
    V v;
    for (int i = 0; i < kElems; ++i) v.lane[i] = (word >> at.offset >> i & 1) != 0 ? T{1} : T{-1};
    return v;
  }
  static QSWEEP_INLINE V fma(V a, V b, V c) {
    return map_lanes([](T x, T y, T z) { return std::fma(x, y, z); }, a, b, c);
  }
  static QSWEEP_INLINE V select(M mask, V yes, V no) {
    return map_lanes([](bool m, T a, T b) { return m ? a : b; }, mask, yes, no);
  }
  // Of this thread's elements: every thread goes its own way.
  static QSWEEP_INLINE bool all(M mask) {
    return fold(mask, [](bool a, bool b) { return a && b; });
  }
  static QSWEEP_INLINE V pow2(V n) {
    return map_lanes(
        [](T x) {
          if constexpr (std::is_same_v<T, float>)
            return std::bit_cast<float>((static_cast<int32_t>(x) + 127) << 23);
          else
            return std::bit_cast<double>((static_cast<int64_t>(x) + 1023) << 52);
        },
        n);
  }
  static QSWEEP_INLINE V normal_cdf(V x) {
    return map_lanes(
        [](T a) { return static_cast<T>(0.5 * std::erfc(-static_cast<double>(a) * 0.70710678118654752440)); },
        x);
  }

 private:
  template <class U>
  static QSWEEP_INLINE T widened(U x) {
    if constexpr (std::is_arithmetic_v<U>)
      return static_cast<T>(x);
    else
      return static_cast<T>(to_float(x));
  }
  template <class U>
  static QSWEEP_INLINE U narrowed(T x) {
    if constexpr (std::is_same_v<U, bf16>)
      return to_bf16(x);
    else if constexpr (std::is_integral_v<U>)
      return static_cast<U>(std::rint(x));
    else
      return static_cast<U>(x);
  }
};

// The words of all lanes, for the threads of a row or of a part of it. A row has less than 2^31 elements.
template <class T, class Team>
class TeamWords : PackWords<T> {
  using W = PackWords<T>;
  using typename W::V;
  using W::inside, W::kElems, W::larger, W::set, W::zero;

 public:
  QSWEEP_INLINE explicit TeamWords(Team team) : team_(team) {}

  template <class Body>
  QSWEEP_INLINE void each(int64_t n, Body&& body) const {
    for_packs<kElems>(n, body);
    team_.sync();
  }
  template <class Body>
  QSWEEP_INLINE T sum(int64_t n, Body&& body) const {
    V total = zero();
    for_packs<kElems>(n, [&](auto at) { total = total + inside(body(at), at, zero()); });
    return sum_of(total);
  }
  template <class Body>
  QSWEEP_INLINE T max(int64_t n, Body&& body) const {
    const V lowest = set(-std::numeric_limits<T>::infinity());
    V best = lowest;
    for_packs<kElems>(n, [&](auto at) { best = larger(best, inside(body(at), at, lowest)); });
    return max_of(best);
  }
  template <class Body>
  QSWEEP_INLINE int64_t first(int64_t n, Body&& body) const {
    int64_t found = n;
    for_packs<kElems>(n, [&](auto at) {
      const auto mask = body(at);
      for (int i = kElems; i-- > 0;)
        if (mask.lane[i] && at.offset + i < found) found = at.offset + i;
    });
    return team_.over_all(found, [](int64_t a, int64_t b) { return a < b ? a : b; });
  }
  template <class U>
  QSWEEP_INLINE void fill(int64_t n, U value, U* row) const {
    constexpr int elems = kPackElems<U>;
    Pack<U, elems> values;
    for (int i = 0; i < elems; ++i) values.lane[i] = value;
    for_packs<elems>(n, [&](auto at) { write_pack(values, row, at); });
    team_.sync();
  }
  template <class U>
  QSWEEP_INLINE void copy(int64_t n, const U* from, U* to) const {
    constexpr int elems = kPackElems<U>;
    for_packs<elems>(n, [&](auto at) { write_pack(read_pack<elems>(from, at), to, at); });
    team_.sync();
  }
  template <class U>
  QSWEEP_INLINE void copy_apart(int64_t n, const U* from, int64_t from_step, U* to, int64_t to_step) const {
    team_.sync();
    for (int64_t i = team_.rank(); i < n; i += team_.size()) to[i * to_step] = from[i * from_step];
    team_.sync();
  }
  template <class Body>
  QSWEEP_INLINE void once(Body&& body) const {
    team_.sync();
    if (team_.rank() == 0) body();
    team_.sync();
  }
  QSWEEP_INLINE T sum_of(V v) const {
    return combined(v, [](T a, T b) { return a + b; });
  }
  QSWEEP_INLINE T max_of(V v) const {
    return combined(v, [](T a, T b) { return a > b ? a : b; });
  }

 private:
  template <int elems, class Body>
  QSWEEP_INLINE void for_packs(int64_t n, Body&& body) const {
    team_.sync();
    const auto end = static_cast<unsigned>(n);
    unsigned i = team_.rank() * elems;
    for (; i + elems <= end; i += team_.size() * elems) body(AllLanes{i});
    if (i < end) body(SomeLanes{i, static_cast<int>(end - i)});
  }
  template <class Combine>
  QSWEEP_INLINE T combined(V v, Combine&& combine) const {
    return team_.over_all(fold(v, combine), combine);
  }

  Team team_;
};

template <class T>
struct Words : PackWords<T> {
  using typename PackWords<T>::V;

  template <class Body>
  static QSWEEP_INLINE void each(int64_t n, Body&& body) {
    row().each(n, body);
  }
  template <class Body>
  static QSWEEP_INLINE T sum(int64_t n, Body&& body) {
    return row().sum(n, body);
  }
  template <class Body>
  static QSWEEP_INLINE T max(int64_t n, Body&& body) {
    return row().max(n, body);
  }
  template <class Body>
  static QSWEEP_INLINE int64_t first(int64_t n, Body&& body) {
    return row().first(n, body);
  }
  template <class U>
  static QSWEEP_INLINE void fill(int64_t n, U value, U* to) {
    row().fill(n, value, to);
  }
  template <class U>
  static QSWEEP_INLINE void copy(int64_t n, const U* from, U* to) {
    row().copy(n, from, to);
  }
  template <class U>
  static QSWEEP_INLINE void copy_apart(int64_t n, const U* from, int64_t from_step, U* to, int64_t to_step) {
    row().copy_apart(n, from, from_step, to, to_step);
  }
  template <class Body>
  static QSWEEP_INLINE void once(Body&& body) {
    row().once(body);
  }
  static QSWEEP_INLINE T sum_of(V v) { return row().sum_of(v); }
  static QSWEEP_INLINE T max_of(V v) { return row().max_of(v); }

  // As many parts at once as there are threads for.
  template <class Body>
  static QSWEEP_INLINE void each_part(int64_t count, int64_t width, Body&& body) {
    const PartTeam team(count, (width + kPackElems<T> - 1) / kPackElems<T>);
    __syncthreads();
    for (int64_t i = threadIdx.x / team.size(); i < count; i += blockDim.x / team.size())
      body(TeamWords<T, PartTeam>(team), i);
    __syncthreads();
  }

  class Scratch {
   public:
    QSWEEP_INLINE explicit Scratch(int64_t) {}
    QSWEEP_INLINE T* data() { return reinterpret_cast<T*>(qsweep_scratch); }
  };

 private:
  static QSWEEP_INLINE auto row() { return TeamWords<T, RowTeam>(RowTeam()); }
};

}  // namespace qsweep::kernels::N_CUDA

#include "kernels/lanes_math-inl.h"
