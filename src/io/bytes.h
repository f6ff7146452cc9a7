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

// Collects bytes in memory, piece by piece: a list that grows would take up to three times its size.
class ByteBuffer : public ByteSink {
 public:
  void write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      if (pieces_.empty() || pieces_.back().size() == kPieceBytes) pieces_.emplace_back();
      std::vector<std::byte>& piece = pieces_.back();
      if (pieces_.size() > 1) piece.reserve(kPieceBytes);
      const auto part = bytes.first(std::min(bytes.size(), kPieceBytes - piece.size()));
      piece.insert(piece.end(), part.begin(), part.end());
      bytes = bytes.subspan(part.size());
    }
  }
  std::span<const std::vector<std::byte>> pieces() const { return pieces_; }
  uint64_t size() const {
    uint64_t size = 0;
    for (const auto& piece : pieces_) size += piece.size();
    return size;
  }

  // To a stream, their number first; and from it, behind what is here.
  void put_to(ByteSink& to) const {
    to.put(size());
    for (const auto& piece : pieces_) to.write(piece);
  }
  void get_from(ByteSource& from) {
    std::vector<std::byte> part;
    for (auto left = from.get<uint64_t>(); left > 0; left -= part.size()) {
      if (left > from.left()) fail("expected {} more bytes, found {}", left, from.left());
      part.resize(std::min<uint64_t>(left, kPieceBytes));
      from.read(part);
      write(part);
    }
  }

 private:
  static constexpr size_t kPieceBytes = size_t{1} << 20;
  std::vector<std::vector<std::byte>> pieces_;
};

// Reads bytes that a buffer holds.
class ByteReader : public ByteSource {
 public:
  explicit ByteReader(const ByteBuffer& buffer) : pieces_(buffer.pieces()), left_(buffer.size()) {}
  void read(std::span<std::byte> bytes) override {
    if (bytes.size() > left_) fail("expected {} more bytes, found {}", bytes.size(), left_);
    left_ -= bytes.size();
    while (!bytes.empty()) {
      const std::vector<std::byte>& piece = pieces_.front();
      const size_t count = std::min(bytes.size(), piece.size() - at_);
      std::copy_n(piece.begin() + static_cast<std::ptrdiff_t>(at_), count, bytes.begin());
      bytes = bytes.subspan(count);
      at_ += count;
      if (at_ < piece.size()) continue;
      pieces_ = pieces_.subspan(1);
      at_ = 0;
    }
  }
  uint64_t left() const override { return left_; }

 private:
  std::span<const std::vector<std::byte>> pieces_;
  size_t at_ = 0;  // of the first piece
  uint64_t left_;
};

}  // namespace qsweep::io
