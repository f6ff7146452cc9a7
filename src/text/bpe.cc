#include "text/bpe.h"

#include <queue>
#include <tuple>

#include "base/checked.h"

namespace qsweep::text {
namespace {

constexpr int32_t kNone = -1;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A symbol of the word being merged, in a doubly linked list by position. id = kNone: merged into its left
// neighbour.
struct Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;
};

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

void Bpe::add_merge(int32_t left, int32_t right, int32_t merged) {
  merges_.insert_or_assign(pair_key(left, right), Merge{next_rank_, merged});
  next_rank_ = checked_add(next_rank_, 1);
}

const Bpe::Merge* Bpe::find(int32_t left, int32_t right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::encode(std::string_view word, size_t begin, std::vector<Token>& tokens) const {
  const int32_t n = checked_cast<int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int32_t i = 0; i < n; ++i)
    symbols[i] = {byte_ids_[static_cast<uint8_t>(word[i])], i - 1, i + 1 < n ? i + 1 : kNone};

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
  for (int32_t i = 0, next; i != kNone && i < n; i = next) {
    next = symbols[i].next;
    const int32_t end = next == kNone ? n : next;
    tokens.push_back({symbols[i].id, {begin + static_cast<size_t>(i), begin + static_cast<size_t>(end)}});
  }
}

}  // namespace qsweep::text
