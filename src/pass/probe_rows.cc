#include "pass/probe_rows.h"

#include "base/rng.h"

namespace qsweep::pass {

std::vector<kernels::ProbeRow> probe_rows(std::span<const Probe> probes, std::span<const ProbeSet> sets,
                                          const SampleStreams& streams, const graph::Batch& batch,
                                          const TokenRows& tokens) {
  std::vector<kernels::ProbeRow> rows;
  for (const auto& [s, index] : probes) {
    const ProbeSet& set = sets[s];
    for (int64_t sample = 0; sample < batch.samples(); ++sample)
      for (int64_t t = 0; t < batch.rows(graph::Rows::tokens, sample); ++t) {
        const auto row = static_cast<size_t>(batch.first_row(graph::Rows::tokens, sample) + t);
        kernels::ProbeRow probe{.target = tokens.target[row]};
        probe.used = set.metric.scope == scores::Scope::all || tokens.answer[row];
        if (set.kind == kernels::ProbeKind::cross_entropy) probe.used = probe.used && probe.target >= 0;
        uint64_t stream = streams.seed;
        for (const int64_t part :
             {static_cast<int64_t>(set.metric.which), static_cast<int64_t>(set.metric.scope), index,
              int64_t{streams.sample_index[static_cast<size_t>(sample)]}, t})
          stream = mix64(stream ^ static_cast<uint64_t>(part));
        probe.stream = stream;
        rows.push_back(probe);
      }
  }
  return rows;
}

}  // namespace qsweep::pass
