#include "text/bpe.h"

#include <queue>
#include <tuple>

#include "base/checked.h"
#include "base/error.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

constexpr int32_t kNone = -1;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  int32_t id;

  // For a priority queue: the lowest rank, then the leftmost, comes first.
  bool operator<(const Candidate& other) const {
    return std::tie(other.rank, other.position) < std::tie(rank, position);
  }
};

}  // namespace

// A symbol of the word being merged, in a doubly linked list by position. id = kNone: merged into its left
// neighbour.
struct Bpe::Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;
  size_t begin;  // in the word
};

void Bpe::add_merge(int32_t left, int32_t right, int32_t merged) {
  merges_.insert_or_assign(pair_key(left, right), Merge{next_rank_, merged});
  next_rank_ = checked_add(next_rank_, 1);
}

const Bpe::Merge* Bpe::find(int32_t left, int32_t right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

// Other programs leave such bytes out, or put a token of the unknown there.
int32_t Bpe::byte_id(char byte) const {
  const auto b = static_cast<uint8_t>(byte);
  if (byte_ids_[b] < 0) fail("the tokenizer has no token for the byte 0x{:02x} of the text", b);
  return byte_ids_[b];
}

std::vector<Bpe::Symbol> Bpe::symbols_of(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  const auto add = [&](int32_t id, size_t begin) {
    const auto i = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, i - 1, i + 1, begin});
  };
  for (size_t at = 0; at < word.size();) {
    const Utf8Step step = characters_.empty() ? Utf8Step{0, 1, true} : utf8_first(word.substr(at));
    const auto known = characters_.find(step.code_point);
    if (known != characters_.end()) {
      add(known->second, at);
    } else {
      for (size_t i = at; i < at + step.bytes; ++i) add(byte_id(word[i]), i);
    }
    at += step.bytes;
  }
  if (!symbols.empty()) symbols.back().next = kNone;
  return symbols;
}

void Bpe::encode(std::string_view word, size_t begin, std::vector<Token>& tokens) const {
  checked_cast<int32_t>(word.size());
  std::vector<Symbol> symbols = symbols_of(word);
  const auto n = static_cast<int32_t>(symbols.size());

  std::priority_queue<Candidate> queue;
  const auto offer = [&](int32_t position) {
    if (position == kNone || symbols[position].next == kNone) return;
    if (const Merge* merge = find(symbols[position].id, symbols[symbols[position].next].id))
      queue.push({merge->rank, position, merge->id});
  };
  for (int32_t i = 0; i < n; ++i) offer(i);

  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.position];
    if (left.id == kNone || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    const Merge* merge = find(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;  // a neighbour has changed since
    left.id = top.id;
    left.next = right.next;
    right.id = kNone;
    if (left.next != kNone) symbols[left.next].previous = top.position;
    offer(left.previous);
    offer(top.position);
  }
  for (int32_t i = n > 0 ? 0 : kNone; i != kNone; i = symbols[i].next) {
    const int32_t next = symbols[i].next;
    const size_t end = next == kNone ? word.size() : symbols[next].begin;
    tokens.push_back({symbols[i].id, {begin + symbols[i].begin, begin + end}});
  }
}

}  // namespace qsweep::text
