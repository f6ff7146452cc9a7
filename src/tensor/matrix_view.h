// The matrix whose element type is known at run time: what products and kernels take where they compute in
// more than one type, such as deltas, which are f32 (strict) or bf16 (fast), and weights as they are stored.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace qsweep {

// Does not own; does not say whether it may be written to.
struct MatrixView {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  template <class T>
  constexpr Matrix<T> as() const {
    return {static_cast<T*>(data), rows, cols, stride};
  }
  int64_t element_bytes() const { return size_bytes(dtype); }
  MatrixView rows_at(int64_t first, int64_t count) const {
    return {static_cast<std::byte*>(data) + first * stride * element_bytes(), dtype, count, cols, stride};
  }
  MatrixView cols_at(int64_t first, int64_t count) const {
    return {static_cast<std::byte*>(data) + first * element_bytes(), dtype, rows, count, stride};
  }
};

// An f32 matrix as an operand, which is only read.
inline MatrixView view_of(Matrix<const float> m) {
  return {const_cast<float*>(m.data), DType::f32, m.rows, m.cols, m.stride};
}

}  // namespace qsweep
