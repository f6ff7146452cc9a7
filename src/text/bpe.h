// Byte pair encoding of one word: starts from single bytes or characters and applies merges, lowest rank
// first.
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
  // byte_ids[b] is the token of byte b, -1: it has none, and text with it is an Error. A word starts from its
  // bytes,
  explicit Bpe(const std::array<int32_t, 256>& byte_ids) : byte_ids_(byte_ids) {}
  // but for characters that are tokens themselves.
  void add_character(char32_t character, int32_t id) { characters_[character] = id; }

  // Merges are added in rank order; a pair that comes again gets the later rank, as in the reference library.
  void add_merge(int32_t left, int32_t right, int32_t merged);

  // Appends the tokens of `word`, which is at byte `begin` of its text; O(n log n). Valid UTF-8 where there
  // are characters.
  void encode(std::string_view word, size_t begin, std::vector<Token>& tokens) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  struct Symbol;
  const Merge* find(int32_t left, int32_t right) const;
  int32_t byte_id(char byte) const;
  std::vector<Symbol> symbols_of(std::string_view word) const;

  std::array<int32_t, 256> byte_ids_;
  std::unordered_map<char32_t, int32_t> characters_;
  std::unordered_map<uint64_t, Merge> merges_;
  int32_t next_rank_ = 0;
};

}  // namespace qsweep::text
