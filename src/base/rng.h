// A small counter-based generator: the n-th draw depends on (seed, stream, n) only.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

namespace qsweep {

// splitmix64 (Steele, Lea, Flood 2014): a bijective mix of a counter.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

__extension__ typedef unsigned __int128 unsigned_int128;

class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : key_(mix64(mix64(seed) ^ stream)) {}

  uint64_t next() { return mix64(key_ + 0x9e3779b97f4a7c15u * counter_++); }

  // Uniform in [0, n), n > 0 (Lemire's multiply-shift; the bias is below n / 2^64).
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned_int128>(next()) * n) >> 64);
  }

  // Uniform in [0, 1) with 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  template <class T>
  void shuffle(std::span<T> items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace qsweep
