// The choice among measured recipes, made by some samples and judged by others.
#pragma once

#include <optional>

#include "choose/pick.h"

namespace qsweep::choose {

// How many of so many samples a choice is judged by and may not see: a third, where there are 12 samples or
// more; else none.
size_t usually_held_out(size_t samples);
// Which ones, evenly spaced; ascending. held_out < samples.
std::vector<size_t> held_out_samples(size_t samples, size_t held_out);

// The samples that choose, ascending.
std::vector<size_t> other_samples(size_t samples, std::span<const size_t> held_out);

// The same recipes on these samples alone, which are ascending.
Measurements on_samples(const Measurements& measured, std::span<const size_t> samples);

// The error per position of the chosen recipe on a set of samples, with its 95 % interval (paired_ratio of
// errors and positions), and what it is of those of others.
struct Judged {
  double error = 0;
  std::optional<scores::Interval> interval;
  std::optional<Ratio> over_runner_up, over_additive;  // none where that is the chosen one itself
};

struct Verdict {
  size_t chosen = 0;                // of the recipes measured
  std::optional<size_t> runner_up;  // picked where the chosen one is left out
  double predicted = 0;             // refitted, per position
  Judged seen;                      // samples it was chosen by
  std::optional<Judged> held_out;   // the others, where there are any
};

// Refits the problem to the recipes on the samples that are not held out (ascending indexes) and picks by the
// same; additive: the recipe of least sum among them. None where no recipe has a finite error.
std::optional<Verdict> judge(const Problem& problem, const Measurements& measured,
                             std::span<const size_t> held_out, std::optional<size_t> additive);

}  // namespace qsweep::choose
