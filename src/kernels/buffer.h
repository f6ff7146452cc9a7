// A matrix in a device's memory.
#pragma once

#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::kernels {

class Buffer {
 public:
  Buffer() = default;
  // Not initialized. Error where the device's memory does not do.
  Buffer(Device device, DType dtype, int64_t rows, int64_t cols);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  bool empty() const { return view_.data == nullptr; }
  void* data() const { return view_.data; }
  DeltaView view() const { return view_; }
  template <class T>
  Matrix<T> matrix() const {
    return view_.as<T>();
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(on_cpu_, other.on_cpu_);
    std::swap(gpu_, other.gpu_);
    std::swap(view_, other.view_);
  }

  Tensor on_cpu_;
  cuda::Queue* gpu_ = nullptr;
  DeltaView view_;
};

}  // namespace qsweep::kernels
