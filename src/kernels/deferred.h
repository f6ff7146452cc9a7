// Numbers that kernels leave in a device's memory for the host, which waits once for many.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kernels/buffer.h"

namespace qsweep::kernels {

class Deferred {
 public:
  explicit Deferred(Device device) : device_(device) {}

  // Room for n numbers in the device's memory. What writes them must have been asked for before the next
  // ask(): where there is no room left, that one settles.
  template <class T>
  std::span<T> ask(size_t n, std::function<void(std::span<const T>)> then) {
    const int64_t at = reserve(static_cast<int64_t>(n * sizeof(T)));
    calls_.push_back([at, n, then = std::move(then)](const std::byte* numbers) {
      then({reinterpret_cast<const T*>(numbers + at), n});
    });
    return {reinterpret_cast<T*>(static_cast<std::byte*>(memory_.data()) + at), n};
  }
  // One number.
  template <class T>
  T* ask(std::function<void(T)> then) {
    return ask<T>(1, [then = std::move(then)](std::span<const T> one) { then(one.front()); }).data();
  }
  void then(std::function<void()> body) {
    calls_.push_back([body = std::move(body)](const std::byte*) { body(); });
  }

  // Waits for the numbers asked for so far, and calls all `then`s in their order.
  void settle();

 private:
  int64_t reserve(int64_t bytes);

  Device device_;
  Buffer memory_;
  int64_t used_ = 0;  // bytes
  std::vector<std::function<void(const std::byte* numbers)>> calls_;
};

}  // namespace qsweep::kernels
