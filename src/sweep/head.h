// The head: from the final hidden states and their deltas to the metrics, streamed over tiles of the
// vocabulary, so that no variant's logits are ever held whole.
#pragma once

#include "sweep/pass.h"

namespace qsweep::sweep {

// Vocabulary columns per tile.
inline constexpr int64_t kHeadTile = 512;

// Scores the live pairs, whose deltas of the final hidden state are given, and the variants that fork at
// lm_head.
void score_head(const PassInput& input, const graph::Pass& pass, const graph::PairTable& pairs,
                const std::vector<graph::Fork>& forks, Matrix<const float> hidden,
                const graph::Delta& hidden_delta, const PassSinks& sinks);

}  // namespace qsweep::sweep
