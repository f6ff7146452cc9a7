// The vocabulary of the row kernels for CUDA: the threads of one block are the lanes of one row. See
// lanes-inl.h for what the words mean.
//
// All threads of the block run a body together and agree on every number outside of `each` and its like, so
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
#include "kernels/cuda/block.h"

#define HWY_NAMESPACE N_CUDA
#define HWY_BEFORE_NAMESPACE() static_assert(true)
#define HWY_AFTER_NAMESPACE() static_assert(true)
#define QSWEEP_KERNEL __device__
#define QSWEEP_INLINE __device__ __forceinline__
#define QSWEEP_LANES

// As many bytes as the launch asks for.
extern __shared__ double qsweep_scratch[];

namespace qsweep::kernels::N_CUDA {

// The element of a row that a thread works on.
struct Lane {
  int64_t offset;
};

template <class T>
struct Words {
  using V = T;

  static QSWEEP_INLINE V set(T x) { return x; }
  static QSWEEP_INLINE V zero() { return 0; }

  template <class U>
  static QSWEEP_INLINE V load(const U* row, Lane at) {
    if constexpr (std::is_arithmetic_v<U>)
      return static_cast<T>(row[at.offset]);
    else
      return static_cast<T>(to_float(row[at.offset]));
  }
  template <class U>
  static QSWEEP_INLINE void store(V v, U* row, Lane at) {
    if constexpr (std::is_same_v<U, bf16>)
      row[at.offset] = to_bf16(v);
    else if constexpr (std::is_integral_v<U>)
      row[at.offset] = static_cast<U>(round(v));
    else
      row[at.offset] = static_cast<U>(v);
  }

  template <class Body>
  static QSWEEP_INLINE void each(int64_t n, Body&& body) {
    for_elements(n, body);
    __syncthreads();
  }
  template <class Body>
  static QSWEEP_INLINE T sum(int64_t n, Body&& body) {
    V total = zero();
    for_elements(n, [&](Lane at) { total = total + body(at); });
    return sum_of(total);
  }
  template <class Body>
  static QSWEEP_INLINE T max(int64_t n, Body&& body) {
    V best = -std::numeric_limits<T>::infinity();
    for_elements(n, [&](Lane at) { best = larger(best, body(at)); });
    return max_of(best);
  }
  template <class Body>
  static QSWEEP_INLINE int64_t first(int64_t n, Body&& body) {
    int64_t found = n;
    for_elements(n, [&](Lane at) {
      if (found == n && body(at)) found = at.offset;
    });
    return over_block(found, [](int64_t a, int64_t b) { return a < b ? a : b; });
  }
  template <class U>
  static QSWEEP_INLINE void fill(int64_t n, U value, U* row) {
    each(n, [&](Lane at) { row[at.offset] = value; });
  }
  template <class U>
  static QSWEEP_INLINE void copy(int64_t n, const U* from, U* to) {
    each(n, [&](Lane at) { to[at.offset] = from[at.offset]; });
  }
  template <class Body>
  static QSWEEP_INLINE void once(Body&& body) {
    each(1, [&](Lane) { body(); });
  }
  class Scratch {
   public:
    QSWEEP_INLINE explicit Scratch(int64_t) {}
    QSWEEP_INLINE T* data() { return reinterpret_cast<T*>(qsweep_scratch); }
  };

  static QSWEEP_INLINE V inside(V v, Lane, V) { return v; }
  static QSWEEP_INLINE T sum_of(V v) {
    return over_block(v, [](T a, T b) { return a + b; });
  }
  static QSWEEP_INLINE T max_of(V v) {
    return over_block(v, [](T a, T b) { return larger(a, b); });
  }

  static QSWEEP_INLINE V abs(V x) { return std::fabs(x); }
  static QSWEEP_INLINE V larger(V a, V b) { return a > b ? a : b; }
  static QSWEEP_INLINE V binade(V x) requires(std::is_same_v<T, float>) {
    return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7f800000u);
  }
  static QSWEEP_INLINE V clamp(V x, V low, V high) { return x < low ? low : x > high ? high : x; }
  static QSWEEP_INLINE V round(V x) { return std::rint(x); }
  static QSWEEP_INLINE V floor(V x) { return std::floor(x); }
  static QSWEEP_INLINE V signs(uint64_t word, Lane at) { return (word >> at.offset & 1) != 0 ? T{1} : T{-1}; }
  static QSWEEP_INLINE V fma(V a, V b, V c) { return std::fma(a, b, c); }
  static QSWEEP_INLINE V select(bool mask, V yes, V no) { return mask ? yes : no; }
  static QSWEEP_INLINE bool all(bool mask) { return mask; }  // every lane goes its own way
  static QSWEEP_INLINE V pow2(V n) {
    if constexpr (std::is_same_v<T, float>) {
      return std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
    } else {
      return std::bit_cast<double>((static_cast<int64_t>(n) + 1023) << 52);
    }
  }
  static QSWEEP_INLINE V normal_cdf(V x) {
    return static_cast<T>(0.5 * std::erfc(-static_cast<double>(x) * 0.70710678118654752440));
  }

 private:
  template <class Body>
  static QSWEEP_INLINE void for_elements(int64_t n, Body&& body) {
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) body(Lane{i});
  }

  // All threads' values in one, the halves of the block against each other, so always in the same order.
  template <class U, class Combine>
  static QSWEEP_INLINE U over_block(U value, Combine&& combine) {
    __shared__ U values[kBlockThreads];
    const unsigned thread = threadIdx.x;
    values[thread] = value;
    for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) values[thread] = combine(values[thread], values[thread + half]);
    }
    __syncthreads();
    const U all = values[0];
    __syncthreads();  // before the next word writes to `values`
    return all;
  }
};

}  // namespace qsweep::kernels::N_CUDA

#include "kernels/lanes_math-inl.h"
