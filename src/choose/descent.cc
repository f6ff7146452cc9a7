#include "choose/descent.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace qsweep::choose {
namespace {

struct Move {
  size_t decision = 0;
  int to = 0;
  double error = 0;  // change of the predicted error
  int64_t bits = 0;  // change of the bits
};

struct Step {
  Move first;
  std::optional<Move> second;
  double error = 0;
  int64_t bits = 0;
};

class Walker {
 public:
  Walker(const Problem& problem, Selection start, int64_t budget_bits, double price, bool pairs)
      : problem_(problem),
        at_(std::move(start)),
        budget_(budget_bits),
        price_(price),
        pairs_(pairs),
        bits_(problem.bits(at_)),
        predicted_(pairs ? problem.predicted(at_) : problem.sum(at_)) {
    for (const Decision& decision : problem.decisions())
      for (const Choice& choice : decision.choices) slope_.push_back(choice.error);
    for (size_t d = 0; pairs_ && d < problem.size(); ++d) add_pairs_with(here(d), 1);
  }

  const Selection& at() const { return at_; }
  // Takes the steps that lower the error, the steepest first, as far as each still does. False where there is
  // none.
  bool descend();
  // Shows it every neighbour within the budget.
  void show(Best& best) const;

 private:
  size_t here(size_t decision) const { return problem_.number(decision, at_[decision]); }
  size_t there(const Move& move) const { return problem_.number(move.decision, move.to); }

  // slope: what error a choice has beside those taken, S_k + 2 sum over the taken of C_kj.
  void add_pairs_with(size_t choice, double sign) {
    for (size_t k = 0; k < slope_.size(); ++k) slope_[k] += 2 * sign * problem_.pair(choice, k);
  }
  void move(const Move& m) {
    if (pairs_) {
      add_pairs_with(here(m.decision), -1);
      add_pairs_with(there(m), 1);
    }
    at_[m.decision] = m.to;
  }

  Move move_to(size_t decision, int to) const;
  std::vector<Move> moves() const;
  // What two moves change beyond the sum of each alone.
  double joint(const Move& a, const Move& b) const;
  Step step(const Move& first, const Move* second) const;
  // Calls see(step) for each within the budget.
  template <class See>
  void each_step(See see) const;

  const Problem& problem_;
  Selection at_;
  int64_t budget_;
  double price_;
  bool pairs_;
  int64_t bits_;
  double predicted_;
  std::vector<double> slope_;
};

Move Walker::move_to(size_t decision, int to) const {
  const auto& choices = problem_.decisions()[decision].choices;
  return {.decision = decision,
          .to = to,
          .error = slope_[problem_.number(decision, to)] - slope_[here(decision)],
          .bits = choices[static_cast<size_t>(to)].bits - choices[static_cast<size_t>(at_[decision])].bits};
}

std::vector<Move> Walker::moves() const {
  std::vector<Move> moves;
  for (size_t d = 0; d < problem_.size(); ++d)
    for (int c = 0; c < static_cast<int>(problem_.decisions()[d].choices.size()); ++c)
      if (c != at_[d]) moves.push_back(move_to(d, c));
  return moves;
}

double Walker::joint(const Move& a, const Move& b) const {
  if (!pairs_) return 0;
  const size_t a0 = here(a.decision), a1 = there(a), b0 = here(b.decision), b1 = there(b);
  return 2 * (problem_.pair(a1, b1) - problem_.pair(a1, b0) - problem_.pair(a0, b1) + problem_.pair(a0, b0));
}

Step Walker::step(const Move& first, const Move* second) const {
  if (second == nullptr) return {first, std::nullopt, first.error, first.bits};
  return {first, *second, first.error + second->error + joint(first, *second), first.bits + second->bits};
}

template <class See>
void Walker::each_step(See see) const {
  std::vector<Move> all = moves();
  for (const Move& m : all)
    if (bits_ + m.bits <= budget_) see(step(m, nullptr));
  const auto promise = [&](const Move& m) { return m.error + price_ * static_cast<double>(m.bits); };
  if (all.size() > kMostMoves) {
    std::ranges::nth_element(all, all.begin() + kMostMoves, {}, promise);
    all.resize(kMostMoves);
  }
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (all[i].decision != all[j].decision && bits_ + all[i].bits + all[j].bits <= budget_)
        see(step(all[i], &all[j]));
}

bool Walker::descend() {
  // Rounding must not make it walk in circles.
  const auto lower = [&](const Step& s) { return s.error < -1e-13 * std::fabs(predicted_); };
  std::vector<Step> steps;
  each_step([&](const Step& s) {
    if (lower(s)) steps.push_back(s);
  });
  std::ranges::stable_sort(steps, {}, &Step::error);
  std::vector<bool> moved(problem_.size());
  for (const Step& planned : steps) {
    if (moved[planned.first.decision] || (planned.second && moved[planned.second->decision])) continue;
    const Move first = move_to(planned.first.decision, planned.first.to);
    const std::optional<Move> second =
        planned.second ? std::optional(move_to(planned.second->decision, planned.second->to)) : std::nullopt;
    const Step now = step(first, second ? &*second : nullptr);
    if (!lower(now) || bits_ + now.bits > budget_) continue;
    for (const Move& m : {first, second.value_or(first)}) {
      if (at_[m.decision] != m.to) move(m);
      moved[m.decision] = true;
    }
    bits_ += now.bits;
    predicted_ += now.error;
  }
  return !steps.empty();
}

void Walker::show(Best& best) const {
  each_step([&](const Step& s) {
    if (!best.wants(predicted_ + s.error)) return;
    Selection selection = at_;
    selection[s.first.decision] = s.first.to;
    if (s.second) selection[s.second->decision] = s.second->to;
    best.see(selection, predicted_ + s.error);
  });
}

Selection descend(const Problem& problem, const Selection& start, int64_t budget_bits, double price,
                  bool pairs) {
  Walker walker(problem, start, budget_bits, price, pairs);
  while (walker.descend()) continue;
  return walker.at();
}

}  // namespace

void Best::see(const Selection& selection, double predicted) {
  if (!wants(predicted)) return;
  if (std::ranges::find(entries_, selection, &Entry::selection) != entries_.end()) return;
  const auto place = std::ranges::upper_bound(entries_, predicted, {}, &Entry::predicted);
  entries_.insert(place, {selection, predicted});
  if (entries_.size() > capacity_) entries_.pop_back();
}

Selection descend(const Problem& problem, const Selection& start, int64_t budget_bits, double price) {
  return descend(problem, start, budget_bits, price, problem.has_pairs());
}

Selection descend_by_sum(const Problem& problem, const Selection& start, int64_t budget_bits, double price) {
  return descend(problem, start, budget_bits, price, false);
}

void explore(const Problem& problem, int64_t budget_bits, double price, Best& best) {
  std::vector<Selection> known;
  const auto unknown = [&](const Best::Entry& entry) {
    return std::ranges::find(known, entry.selection) == known.end();
  };
  while (true) {
    const auto next = std::ranges::find_if(best.entries(), unknown);
    if (next == best.entries().end()) return;
    known.push_back(next->selection);
    Walker(problem, known.back(), budget_bits, price, problem.has_pairs()).show(best);
  }
}

}  // namespace qsweep::choose
