#include "choose/problem.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace qsweep::choose {
namespace {

bool fewer_bits(const Choice& a, const Choice& b) { return a.bits < b.bits; }

}  // namespace

Problem::Problem(std::vector<Decision> decisions, int64_t weights, int64_t positions,
                 std::vector<double> pairs)
    : decisions_(std::move(decisions)),
      first_{0},
      pairs_(std::move(pairs)),
      weights_(weights),
      positions_(positions) {
  for (const Decision& decision : decisions_) {
    QSWEEP_CHECK(!decision.choices.empty(), "{} has no choice", decision.name);
    first_.push_back(first_.back() + decision.choices.size());
  }
  QSWEEP_CHECK(pairs_.empty() || pairs_.size() == choices() * choices(), "{} pairs of {} choices",
               pairs_.size(), choices());
}

int64_t Problem::bits(const Selection& selection) const {
  int64_t bits = 0;
  for (size_t d = 0; d < size(); ++d) bits += taken(selection, d).bits;
  return bits;
}

double Problem::sum(const Selection& selection) const {
  double sum = 0;
  for (size_t d = 0; d < size(); ++d) sum += taken(selection, d).error;
  return sum;
}

double Problem::pairs(const Selection& selection) const {
  double once = 0;
  for (size_t d = 0; has_pairs() && d < size(); ++d)
    for (size_t e = 0; e < d; ++e) once += pair(number(d, selection[d]), number(e, selection[e]));
  return 2 * once;
}

double Problem::predicted(const Selection& selection) const { return sum(selection) + pairs(selection); }

int64_t Problem::cheapest_bits() const {
  int64_t bits = 0;
  for (const Decision& decision : decisions_)
    bits += std::ranges::min_element(decision.choices, fewer_bits)->bits;
  return bits;
}

int64_t Problem::dearest_bits() const {
  int64_t bits = 0;
  for (const Decision& decision : decisions_)
    bits += std::ranges::max_element(decision.choices, fewer_bits)->bits;
  return bits;
}

Problem Problem::with_errors(std::span<const double> errors) const {
  QSWEEP_CHECK(errors.size() == choices(), "{} errors of {} choices", errors.size(), choices());
  Problem other = *this;
  size_t next = 0;
  for (Decision& decision : other.decisions_)
    for (Choice& choice : decision.choices) choice.error = errors[next++];
  return other;
}

}  // namespace qsweep::choose
