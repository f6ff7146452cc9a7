// The probes of a pass at every token, as the kernels that fill them take them.
#pragma once

#include <span>
#include <vector>

#include "graph/batch.h"
#include "kernels/probes.h"
#include "pass/probe_pass.h"
#include "pass/token_rows.h"

namespace qsweep::pass {

// One probe of the pass: which of which set.
struct Probe {
  size_t set = 0;
  int64_t index = 0;
};

// Where the random signs of a pass's samples begin.
struct SampleStreams {
  uint64_t seed = 0;
  std::span<const int> sample_index;  // of the pass's samples in the data
};

// Probe by probe, the batch's tokens in order. The stream of a row depends on the seed, the probe, the
// sample's place in the data and the token alone, so a sample has the same probes in whatever pass it is.
std::vector<kernels::ProbeRow> probe_rows(std::span<const Probe> probes, std::span<const ProbeSet> sets,
                                          const SampleStreams& streams, const graph::Batch& batch,
                                          const TokenRows& tokens);

}  // namespace qsweep::pass
