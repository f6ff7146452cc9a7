// Local search on the prediction: single decisions and pairs of them change while that lowers the error
// within the budget.
#pragma once

#include <vector>

#include "choose/problem.h"

namespace qsweep::choose {

// The selections of least predicted error among all that were seen, each once, the best first.
class Best {
 public:
  explicit Best(size_t capacity) : capacity_(capacity) {}

  // Whether a selection of this error would be among them.
  bool wants(double predicted) const {
    return entries_.size() < capacity_ || predicted < entries_.back().predicted;
  }
  void see(const Selection& selection, double predicted);

  struct Entry {
    Selection selection;
    double predicted;
  };
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  size_t capacity_;
  std::vector<Entry> entries_;
};

// From a selection within the budget to one that neither a move nor a pair of moves improves. Where there are
// many moves, pairs are made of the kMostMoves whose error and bits, at this price of a bit, promise most.
inline constexpr size_t kMostMoves = 128;
Selection descend(const Problem& problem, const Selection& start, int64_t budget_bits, double price);
// The same by the plain sum.
Selection descend_by_sum(const Problem& problem, const Selection& start, int64_t budget_bits, double price);

// Sees what lies within the budget a move or a pair of moves beside those that are among the best, until all
// of them are known.
void explore(const Problem& problem, int64_t budget_bits, double price, Best& best);

}  // namespace qsweep::choose
