// What all row kernels share. Row kernels are everything that is not a matrix product: each works on whole
// rows, is parallel over rows, vectorised within a row (dispatched at run time to the best instruction set),
// and computes in f32 registers.
//
// Deltas: a delta matrix holds the rows of the live (variant, sample) pairs only. RowBlock says which rows
// belong together; an input without rows for a block is an implicit zero.
// Cotangents (the vjp kernels, transposes of the derivatives) use the same blocks, one per probe.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/matrix_view.h"

namespace qsweep::kernels {

inline constexpr int64_t kAbsent = -1;

// Row `r` of a block whose rows begin at `first` in `m`; null where the block has none.
template <class T>
constexpr T* row_or_null(MatrixView m, int64_t first, int64_t r) {
  return first == kAbsent ? nullptr : m.as<T>().row(first + r);
}

// The consecutive rows of one (variant, sample) pair: `rows` of them from row `parent` of the parent's value,
// from row in[k] of the k-th delta input (kAbsent: implicit zeros), to row `out` of the result.
struct RowBlock {
  int64_t rows = 0;
  int64_t parent = 0;
  std::array<int64_t, 3> in{kAbsent, kAbsent, kAbsent};
  int64_t out = 0;
};

}  // namespace qsweep::kernels
