// One pass over a model's stages: the float model, everything quantized, and the variants that leave it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inc/oplist.h"
#include "inc/quantized.h"

namespace qsweep::inc {

// The ops of the list that the batch reaches; positions below count these.
struct ReachedOps {
  std::vector<int> stage;     // position -> index of its stage
  std::vector<int> position;  // index in the model's ops -> position, or -1: stays float
  int embedding = -1;         // its position

  int size() const { return static_cast<int>(stage.size()); }
};
ReachedOps reached_ops(const models::Model& model, const std::vector<ListedOp>& list);

// A model configuration: everything quantized but the op at `position` (fallback), or the ops up to and with
// it quantized (INC's second phase, which is cumulative).
struct Variant {
  enum class Kind { fallback, requant };
  Kind kind = Kind::fallback;
  int position = 0;

  bool quantizes(int at) const { return kind == Kind::fallback ? at != position : at <= position; }
  // The first op that it does not quantize: before that it is the same as everything quantized.
  int fork() const { return kind == Kind::fallback ? position : position + 1; }
};

struct PassInput {
  const models::Model& model;
  const ops::Context& ops;
  const graph::Batch& batch;
  const ReachedOps& reached;
  std::vector<Variant> variants;
};

struct PassResult {
  double all_quantized = 0;  // squared error of the logits, all ops quantized
  std::vector<double> scores;
  std::vector<LinearRanges> ranges;    // per position; of the embedding: unused
  int64_t peak_bytes = 0;              // values, weights and mapped files at once
  std::vector<int64_t> carried_bytes;  // of the first variant, after each stage but the head
};

// stage_done: called with the stage's number and how many variants it computed. In a dry workspace nothing is
// computed and only the bytes of the result hold.
PassResult run_pass(const PassInput& input, graph::Workspace& workspace,
                    const std::function<void(size_t stage, size_t variants)>& stage_done);

}  // namespace qsweep::inc
