// The typed two-dimensional view that kernels see, on the CPU and on a GPU.
#pragma once

#include <cstdint>
#include <type_traits>

namespace qsweep {

// rows x cols elements, consecutive rows `stride` elements apart (stride >= cols).
template <class T>
struct Matrix {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  Matrix() = default;
  constexpr Matrix(T* d, int64_t r, int64_t c) : Matrix(d, r, c, c) {}
  constexpr Matrix(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  template <class U>
  requires(std::is_same_v<T, const U>) constexpr Matrix(const Matrix<U>& m)
      : Matrix(m.data, m.rows, m.cols, m.stride) {}  // NOLINT: a view of const from a view

  constexpr T* row(int64_t r) const { return data + r * stride; }
  constexpr bool empty() const { return rows == 0 || cols == 0; }
  constexpr bool contiguous() const { return stride == cols || rows <= 1; }
  constexpr Matrix rows_at(int64_t first, int64_t count) const {
    return {data + first * stride, count, cols, stride};
  }
  constexpr Matrix cols_at(int64_t first, int64_t count) const { return {data + first, rows, count, stride}; }
};

}  // namespace qsweep
