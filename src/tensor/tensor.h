// Shapes, the owning Tensor and the erased TensorView. Everything is row-major; shapes are in Hugging Face
// order
// ([out, in] for a linear weight).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace qsweep {

using Shape = std::vector<int64_t>;

// Product of the extents (1 for a scalar); Error on overflow or a negative extent.
int64_t element_count(const Shape& shape);
// "[3840, 1280]".
std::string to_string(const Shape& shape);

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

// Gives the blocks kept for later tensors and the heap's free pages back to the system, and forgets how much
// was in use at most.
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
