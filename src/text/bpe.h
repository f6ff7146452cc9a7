// Byte-level byte pair encoding of one word: starts from single bytes and applies merges, lowest rank first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qsweep::text {

// Bytes of a text.
struct Span {
  size_t begin, end;

  bool operator==(const Span&) const = default;
};

// A token and the bytes that it stands for.
struct Token {
  int32_t id;
  Span span;

  bool operator==(const Token&) const = default;
};

class Bpe {
 public:
  // byte_ids[b] is the token of byte b.
  explicit Bpe(const std::array<int32_t, 256>& byte_ids) : byte_ids_(byte_ids) {}

  // Merges are added in rank order; a pair that comes again gets the later rank, as in the reference library.
  void add_merge(int32_t left, int32_t right, int32_t merged);

  // Appends the tokens of `word`, which is at byte `begin` of its text; O(n log n).
  void encode(std::string_view word, size_t begin, std::vector<Token>& tokens) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  const Merge* find(int32_t left, int32_t right) const;

  std::array<int32_t, 256> byte_ids_;
  std::unordered_map<uint64_t, Merge> merges_;
  int32_t next_rank_ = 0;
};

}  // namespace qsweep::text
