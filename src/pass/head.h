// The head: from the final hidden states and their deltas to the metrics, streamed over tiles of the
// vocabulary, so that no variant's logits are ever held whole.
#pragma once

#include "pass/head_tiles.h"
#include "pass/pass.h"

namespace qsweep::pass {

// Scores the carried variants of the branches (`carried`: which variant each branch is) and all leaves, those
// that fork at lm_head included, from what `variants` holds as "hidden". Returns the arithmetic of its
// products, the reference's own excepted.
double score_head(const PassInput& input, const graph::Pass& pass, graph::Variants& variants,
                  const std::vector<VariantId>& carried, const PassSinks& sinks);

}  // namespace qsweep::pass
