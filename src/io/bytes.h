// Streams of bytes, and values written to them as they lie in memory: for files that only the same program
// reads again, on the same machine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace qsweep::io {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;

  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    write(std::as_bytes(std::span(&value, 1)));
  }
  void put(const std::string& text) { put_all(std::span(text)); }
  template <class T>
  void put(const std::vector<T>& values) {
    put_all(std::span(values));
  }

 private:
  template <class T>
  void put_all(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    put(uint64_t{values.size()});
    write(std::as_bytes(values));
  }
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Error where fewer are left.
  virtual void read(std::span<std::byte> bytes) = 0;
  virtual uint64_t left() const = 0;

  // A value, text or list, as put() wrote it.
  template <class T>
  T get() {
    T value{};
    if constexpr (std::is_trivially_copyable_v<T>) {
      read(std::as_writable_bytes(std::span(&value, 1)));
    } else {
      using Element = typename T::value_type;
      static_assert(std::is_trivially_copyable_v<Element>);
      const auto n = get<uint64_t>();
      if (n > left() / sizeof(Element)) fail("expected {} more elements, found {} bytes", n, left());
      value.resize(n);
      read(std::as_writable_bytes(std::span(value)));
    }
    return value;
  }
};

// Collects bytes in memory.
class ByteBuffer : public ByteSink {
 public:
  ByteBuffer() = default;
  explicit ByteBuffer(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  void write(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Reads bytes that someone else holds.
class ByteReader : public ByteSource {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  void read(std::span<std::byte> bytes) override {
    if (bytes.size() > rest_.size()) fail("expected {} more bytes, found {}", bytes.size(), rest_.size());
    std::copy_n(rest_.begin(), bytes.size(), bytes.begin());
    rest_ = rest_.subspan(bytes.size());
  }
  uint64_t left() const override { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace qsweep::io
