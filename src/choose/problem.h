// What there is to choose: one format for every decision, so that the stored bits stay within a budget.
//
//   predicted(x) = sum_i S_i + sum_{i != j} C_ij      over the choices made, scores/interactions.h
//   bits(x)      = sum_i b_i                          stored bits of the ops' weights, scales included
//
// Errors are sums over the positions of the data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/format.h"

namespace qsweep::choose {

// One way to store the ops of a decision.
struct Choice {
  const quant::Format* format = nullptr;  // null: float
  int64_t bits = 0;
  double error = 0;            // S: all else float; pairs within the decision included
  std::vector<size_t> scores;  // parts (scores/run.h) that it is the sum of
};

// Ops that take one format together.
struct Decision {
  std::string name;
  std::vector<size_t> ops;      // indexes into Run::ops
  std::vector<Choice> choices;  // at least one
};

// Which choice every decision takes, by its index there.
using Selection = std::vector<int>;

class Problem {
 public:
  // weights: of all ops, that bits are shared out over. positions: of the data, that errors are sums over.
  // pairs: [n, n] of C_ij between choices, numbered through all decisions in order; symmetric, and 0 within a
  // decision. Empty where nothing is known of them.
  Problem(std::vector<Decision> decisions, int64_t weights, int64_t positions,
          std::vector<double> pairs = {});

  const std::vector<Decision>& decisions() const { return decisions_; }
  int64_t weights() const { return weights_; }
  int64_t positions() const { return positions_; }
  bool has_pairs() const { return !pairs_.empty(); }
  size_t size() const { return decisions_.size(); }

  // The number of a decision's first choice, and of all choices.
  size_t first(size_t decision) const { return first_[decision]; }
  size_t choices() const { return first_.back(); }
  size_t number(size_t decision, int choice) const { return first_[decision] + static_cast<size_t>(choice); }
  // 0 without pairs.
  double pair(size_t a, size_t b) const { return pairs_.empty() ? 0 : pairs_[a * choices() + b]; }

  int64_t bits(const Selection& selection) const;
  double sum(const Selection& selection) const;        // of S
  double pairs(const Selection& selection) const;      // sum_{i != j} C_ij
  double predicted(const Selection& selection) const;  // both
  int64_t cheapest_bits() const;
  int64_t dearest_bits() const;

  // The same with other errors per choice, in the order of their numbers.
  Problem with_errors(std::span<const double> errors) const;

 private:
  const Choice& taken(const Selection& selection, size_t decision) const {
    return decisions_[decision].choices[static_cast<size_t>(selection[decision])];
  }

  std::vector<Decision> decisions_;
  std::vector<size_t> first_;
  std::vector<double> pairs_;
  int64_t weights_, positions_;
};

}  // namespace qsweep::choose
