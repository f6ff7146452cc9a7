// Memory of a device, and lists that host and kernels use in turns.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::kernels {

namespace cuda {
class CopyStream;
}

// A matrix in a device's memory, not initialized.
class Buffer {
 public:
  Buffer() = default;
  // Error where the device's memory does not do.
  Buffer(Device device, DType dtype, int64_t rows, int64_t cols) : Buffer(device, dtype, rows, cols, cols) {}
  // With rows `stride` elements apart.
  Buffer(Device device, DType dtype, int64_t rows, int64_t cols, int64_t stride);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return view_.data; }
  int64_t size_bytes() const { return view_.rows * view_.stride * view_.element_bytes(); }
  MatrixView view() const { return view_; }
  template <class T>
  Matrix<T> matrix() const {
    return view_.as<T>();
  }
  template <class T>
  std::span<T> elements() const {
    return {static_cast<T*>(view_.data), static_cast<size_t>(view_.rows * view_.stride)};
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(on_cpu_, other.on_cpu_);
    std::swap(gpu_, other.gpu_);
    std::swap(view_, other.view_);
  }

  Tensor on_cpu_;
  cuda::Queue* gpu_ = nullptr;
  MatrixView view_;
};

// From the host's memory, which may change at once; to it, when all work before is done.
void copy_to_device(Device device, void* to, const void* from, int64_t bytes);
void copy_to_host(Device device, void* to, const void* from, int64_t bytes);
void clear(Device device, void* data, int64_t bytes);
// For all work that was asked for.
void wait(Device device);

// Copies from the host's memory to a GPU's while the GPU computes; see cuda::CopyStream.
class BackgroundCopies {
 public:
  explicit BackgroundCopies(Device gpu);

  using Mark = std::shared_ptr<void>;
  Mark mark();
  struct Copy {
    uint64_t number = 0;
    Mark done;
  };
  Copy copy(void* to, const void* from, int64_t bytes, const Mark& after);
  void join(const Copy& copy);

 private:
  std::shared_ptr<cuda::CopyStream> stream_;
};

// Host data for kernels, which only read it: itself on the CPU, else a copy.
template <class T>
class OnDevice {
 public:
  OnDevice(Device device, std::span<const T> host) : elements_(host) {
    if (device.gpu == nullptr || host.empty()) return;
    copy_ = Buffer(device, DType::u8, 1, static_cast<int64_t>(host.size_bytes()));
    copy_to_device(device, copy_.data(), host.data(), static_cast<int64_t>(host.size_bytes()));
    elements_ = {static_cast<const T*>(copy_.data()), host.size()};
  }

  std::span<const T> elements() const { return elements_; }

 private:
  Buffer copy_;
  std::span<const T> elements_;
};

// Elements of a device's memory, for the host to read and, with write_back(), to change.
template <class T>
class HostCopy {
 public:
  HostCopy(Device device, std::span<T> there) : device_(device), there_(there), here_(there) {
    if (device.gpu == nullptr) return;
    copy_.resize(there.size());
    here_ = copy_;
    copy_to_host(device, copy_.data(), there.data(), static_cast<int64_t>(there.size_bytes()));
  }

  std::span<T> elements() const { return here_; }
  void write_back() {
    if (device_.gpu != nullptr)
      copy_to_device(device_, there_.data(), copy_.data(), static_cast<int64_t>(there_.size_bytes()));
  }

 private:
  Device device_;
  std::span<T> there_, here_;
  std::vector<T> copy_;
};

// A list that the host and kernels change in turns.
template <class T>
class SharedList {
 public:
  SharedList(Device device, std::vector<T> list) : device_(device), list_(std::move(list)) {
    if (device.gpu != nullptr) copy_ = Buffer(device, DType::u8, 1, bytes());
  }
  SharedList(Device device, size_t size) : SharedList(device, std::vector<T>(size)) {}

  // What the host wrote is there.
  std::span<T> for_kernels() {
    if (device_.gpu == nullptr) return list_;
    if (!on_device_) copy_to_device(device_, copy_.data(), list_.data(), bytes());
    on_device_ = true;
    return {static_cast<T*>(copy_.data()), list_.size()};
  }
  // What kernels wrote is there.
  std::span<T> for_host() {
    if (on_device_) copy_to_host(device_, list_.data(), copy_.data(), bytes());
    on_device_ = false;
    return list_;
  }
  std::vector<T> take() && {
    for_host();
    return std::move(list_);
  }

 private:
  int64_t bytes() const { return static_cast<int64_t>(list_.size() * sizeof(T)); }

  Device device_;
  std::vector<T> list_;
  Buffer copy_;
  bool on_device_ = false;
};

}  // namespace qsweep::kernels
