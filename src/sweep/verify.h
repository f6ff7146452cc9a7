// Scores that are measured once more, exactly and with f32 deltas, to see how far the run's own are off.
#pragma once

#include <cstdint>
#include <vector>

#include "scores/record.h"

namespace qsweep::scores {
struct Run;
}

namespace qsweep::sweep {

struct Chosen {
  size_t record = 0;  // in Run::scores
  bool top = false;   // for its rank, not by chance
};

// `count` scores with status ok and a finite value, or all there are: the first half, rounded up, the most
// sensitive ones, of all formats in turn; the others drawn from the rest.
std::vector<Chosen> choose_for_verification(const scores::Run& run, scores::Metric metric, int64_t count,
                                            uint64_t seed);

// Sum over the samples of what a score is ranked by; before it is finalized.
double total_error(const scores::ScoreRecord& record, scores::Metric metric);

}  // namespace qsweep::sweep
