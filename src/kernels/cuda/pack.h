// The values of a few neighbouring elements of a row, which one thread computes with at once, and their way
// from and to memory: by one access where the row is aligned for it.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include <cuda_runtime.h>

namespace qsweep::kernels::N_CUDA {

// 16 bytes of registers, and the widest access there is for elements of that type.
template <class T>
inline constexpr int kPackElems = 16 / sizeof(T);

template <class T, int kElems>
struct Pack {
  T lane[kElems];
};

// f(the packs' values in a lane), for every lane.
template <class F, int n, class First, class... More>
__device__ __forceinline__ auto map_lanes(F&& f, Pack<First, n> first, Pack<More, n>... more) {
  Pack<decltype(f(first.lane[0], more.lane[0]...)), n> result;
  for (int i = 0; i < n; ++i) result.lane[i] = f(first.lane[i], more.lane[i]...);
  return result;
}

#define QSWEEP_PACK_OPERATOR(op)                                            \
  template <class T, int n>                                                 \
  __device__ __forceinline__ auto operator op(Pack<T, n> a, Pack<T, n> b) { \
    return map_lanes([](T x, T y) { return x op y; }, a, b);                \
  }                                                                         \
  static_assert(true)
QSWEEP_PACK_OPERATOR(+);
QSWEEP_PACK_OPERATOR(-);
QSWEEP_PACK_OPERATOR(*);
QSWEEP_PACK_OPERATOR(/);
QSWEEP_PACK_OPERATOR(==);
QSWEEP_PACK_OPERATOR(<);
QSWEEP_PACK_OPERATOR(>);
QSWEEP_PACK_OPERATOR(>=);
#undef QSWEEP_PACK_OPERATOR

// All lanes in one, always in the same order.
template <class T, int n, class Combine>
__device__ __forceinline__ T fold(Pack<T, n> pack, Combine&& combine) {
  for (int step = 1; step < n; step *= 2)
    for (int i = 0; i + step < n; i += 2 * step) pack.lane[i] = combine(pack.lane[i], pack.lane[i + step]);
  return pack.lane[0];
}

// What one access reads or writes; it needs an address that is a multiple of its size.
template <class T, int n>
struct alignas(sizeof(T) * n) Chunk {
  T element[n];
};
template <int n, class T>
__device__ __forceinline__ bool begins_chunk(const T* row) {
  return reinterpret_cast<uintptr_t>(row) % sizeof(Chunk<T, n>) == 0;
}

// The elements of a row that a thread works on at once: n of them or, at the end of the row, fewer. `offset`
// is a multiple of n.
struct AllLanes {
  int64_t offset;
};
struct SomeLanes {
  int64_t offset;
  int count;
};

template <class T, int n>
__device__ __forceinline__ void write_chunk(Chunk<T, n> chunk, T* to) {
#ifndef QSWEEP_CUDA_EMULATED
  // The compiler does read chunks at once, but writes many of them element by element.
  if constexpr (sizeof(chunk) >= 8) {
    const auto words = std::bit_cast<Chunk<uint32_t, sizeof(chunk) / 4>>(chunk);
    if constexpr (sizeof(chunk) == 16) {
      asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(words.element[0]),
                   "r"(words.element[1]), "r"(words.element[2]), "r"(words.element[3])
                   : "memory");
    } else {
      static_assert(sizeof(chunk) == 8);
      asm volatile("st.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(words.element[0]), "r"(words.element[1])
                   : "memory");
    }
    return;
  }
#endif
  *reinterpret_cast<Chunk<T, n>*>(to) = chunk;
}

// Elements beyond the row's end read as 0.
template <int n, class T>
__device__ __forceinline__ Pack<T, n> read_pack(const T* row, AllLanes at) {
  Pack<T, n> pack;
  if (begins_chunk<n>(row)) {
    const auto chunk = *reinterpret_cast<const Chunk<T, n>*>(row + at.offset);
    for (int i = 0; i < n; ++i) pack.lane[i] = chunk.element[i];
  } else {
    for (int i = 0; i < n; ++i) pack.lane[i] = row[at.offset + i];
  }
  return pack;
}
template <int n, class T>
__device__ __forceinline__ Pack<T, n> read_pack(const T* row, SomeLanes at) {
  Pack<T, n> pack;
  for (int i = 0; i < n; ++i) pack.lane[i] = i < at.count ? row[at.offset + i] : T{};
  return pack;
}
template <int n, class T>
__device__ __forceinline__ void write_pack(Pack<T, n> pack, T* row, AllLanes at) {
  if (begins_chunk<n>(row)) {
    Chunk<T, n> chunk;
    for (int i = 0; i < n; ++i) chunk.element[i] = pack.lane[i];
    write_chunk(chunk, row + at.offset);
  } else {
    for (int i = 0; i < n; ++i) row[at.offset + i] = pack.lane[i];
  }
}
template <int n, class T>
__device__ __forceinline__ void write_pack(Pack<T, n> pack, T* row, SomeLanes at) {
  for (int i = 0; i < n; ++i)
    if (i < at.count) row[at.offset + i] = pack.lane[i];
}

}  // namespace qsweep::kernels::N_CUDA
