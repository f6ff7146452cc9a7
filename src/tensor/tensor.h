// Shapes, the owning Tensor, the erased TensorView, and Matrix, the typed two-dimensional view that kernels
// see. Everything is row-major; shapes are in Hugging Face order ([out, in] for a linear weight).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"

namespace qsweep {

using Shape = std::vector<int64_t>;

// Product of the extents (1 for a scalar); Error on overflow or a negative extent.
int64_t element_count(const Shape& shape);
// "[3840, 1280]".
std::string to_string(const Shape& shape);

// rows x cols elements, consecutive rows `stride` elements apart (stride >= cols).
template <class T>
struct Matrix {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  Matrix() = default;
  Matrix(T* d, int64_t r, int64_t c) : Matrix(d, r, c, c) {}
  Matrix(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  template <class U>
  requires(std::is_same_v<T, const U>) Matrix(const Matrix<U>& m)
      : Matrix(m.data, m.rows, m.cols, m.stride) {}  // NOLINT: a view of const from a view

  T* row(int64_t r) const { return data + r * stride; }
  bool empty() const { return rows == 0 || cols == 0; }
  bool contiguous() const { return stride == cols || rows <= 1; }
  Matrix rows_at(int64_t first, int64_t count) const { return {data + first * stride, count, cols, stride}; }
  Matrix cols_at(int64_t first, int64_t count) const { return {data + first, rows, count, stride}; }
};

// Read-only, type-erased, densely packed; does not own.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  const std::byte* data = nullptr;

  int64_t elements() const { return element_count(shape); }
  int64_t size_bytes() const { return elements() * qsweep::size_bytes(dtype); }
  template <class T>
  std::span<const T> as() const {
    QSWEEP_CHECK(DTypeOf<T>::value == dtype, "tensor holds {}", name(dtype));
    return {reinterpret_cast<const T*>(data), static_cast<size_t>(elements())};
  }
};

// Owns its elements: 64-byte aligned, not initialised. Large blocks are kept for the next tensors when they
// are freed, as long as those in use and those kept are together no more than the most that was in use at
// once: a loop over tensors of the same sizes asks the system for nothing.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape);
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape);
  template <class T>
  static Tensor zeros(Shape shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return element_count(shape_); }
  int64_t size_bytes() const { return elements() * qsweep::size_bytes(dtype_); }
  bool empty() const { return data_ == nullptr; }

  std::byte* bytes() { return data_.get(); }
  const std::byte* bytes() const { return data_.get(); }
  TensorView view() const { return {dtype_, shape_, data_.get()}; }

  template <class T>
  std::span<T> as() {
    QSWEEP_CHECK(DTypeOf<T>::value == dtype_, "tensor holds {}", name(dtype_));
    return {reinterpret_cast<T*>(data_.get()), static_cast<size_t>(elements())};
  }
  template <class T>
  std::span<const T> as() const {
    return view().as<T>();
  }
  // The two-dimensional typed view; the tensor must have two dimensions.
  template <class T>
  Matrix<T> matrix() {
    QSWEEP_CHECK(shape_.size() == 2, "shape is {}", to_string(shape_));
    return {as<T>().data(), shape_[0], shape_[1]};
  }
  template <class T>
  Matrix<const T> matrix() const {
    QSWEEP_CHECK(shape_.size() == 2, "shape is {}", to_string(shape_));
    return {as<T>().data(), shape_[0], shape_[1]};
  }

 private:
  struct Release {
    size_t mapped_bytes;  // 0: from the heap
    void operator()(std::byte* p) const;
  };
  DType dtype_ = DType::f32;
  Shape shape_;
  std::unique_ptr<std::byte, Release> data_;
};

// Gives the blocks kept for later tensors back to the system, and forgets how much was in use at most.
void release_kept_memory();

template <class T>
Tensor Tensor::from(std::span<const T> values, Shape shape) {
  Tensor t(DTypeOf<T>::value, std::move(shape));
  QSWEEP_CHECK(static_cast<int64_t>(values.size()) == t.elements(), "{} values for shape {}", values.size(),
               to_string(t.shape()));
  std::copy(values.begin(), values.end(), t.as<T>().begin());
  return t;
}

template <class T>
Tensor Tensor::zeros(Shape shape) {
  Tensor t(DTypeOf<T>::value, std::move(shape));
  std::fill(t.as<T>().begin(), t.as<T>().end(), T{});
  return t;
}

}  // namespace qsweep
