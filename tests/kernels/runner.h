// Kernels on the host data of a test, on whatever device the test is for.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::kernels {

// add(runner.device(), runner.on(a), runner.on(b), runner.on(sum)): `on` gives the same data in the memory of
// the device. With the end of the full expression that calls `device`, all that is not const is back in the
// host's memory.
class Runner {
 public:
  // A build without CUDA has none.
  static int gpus();

  Runner();
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  void use_gpu();

  class Call {
   public:
    explicit Call(Runner& runner) : runner_(runner) {}
    ~Call() { runner_.finish(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    operator Device() const { return {Threads{2}, runner_.queue()}; }  // NOLINT: stands for one

   private:
    Runner& runner_;
  };
  Call device() { return Call(*this); }

  template <class T>
  T* on(T* data, int64_t n) {
    void* const host = const_cast<std::remove_const_t<T>*>(data);
    return static_cast<T*>(place(host, n * int64_t{sizeof(T)}, !std::is_const_v<T>));
  }
  template <class T>
  std::span<T> on(std::span<T> v) {
    return {on(v.data(), static_cast<int64_t>(v.size())), v.size()};
  }
  template <class T>
  std::span<T> on(std::vector<T>& v) {
    return on(std::span(v));
  }
  template <class T>
  std::span<const T> on(const std::vector<T>& v) {
    return on(std::span(v));
  }
  template <class T>
  Matrix<T> on(Matrix<T> m) {
    return {on(m.data, extent(m)), m.rows, m.cols, m.stride};
  }
  MatrixView on(MatrixView m) {
    const int64_t bytes = extent(m) * m.element_bytes();
    return {on(static_cast<std::byte*>(m.data), bytes), m.dtype, m.rows, m.cols, m.stride};
  }
  TensorView on(TensorView x) {
    x.data = on(x.data, x.size_bytes());
    return x;
  }

 private:
  template <class View>
  static int64_t extent(const View& m) {
    return m.rows == 0 ? 0 : (m.rows - 1) * m.stride + m.cols;
  }
  cuda::Queue* queue() const;
  void* place(void* host, int64_t bytes, bool written);
  void finish();

  struct Gpu;
  std::unique_ptr<Gpu> gpu_;
};

}  // namespace qsweep::kernels
