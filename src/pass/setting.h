// What every kind of pass is given, and what it takes.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "graph/forward.h"
#include "models/model.h"
#include "quant/quantizers.h"
#include "scores/record.h"

namespace qsweep::pass {

// Per op, of its input, and behind them those of values in caches (graph::count_ranges); empty where no
// calibration row reached it.
using Ranges = std::vector<std::optional<quant::Range>>;

// These samples of a model on this device. What it refers to must outlive the pass.
struct PassSetting {
  const models::Model& model;
  const ops::Context& ops;
  DType dtype = DType::f32;  // of deltas and cotangents, and of the products on them
  std::vector<const models::Sample*> samples;
  const Ranges& ranges;

  int head_op() const { return static_cast<int>(model.ops.size()) - 1; }
};

// How many numbers per position are kept of what a variant does to the output, for the inner products of two
// (head_sketch.h).
struct SketchSetting {
  int64_t width = 0;                        // 0: none
  scores::Which which = scores::Which::kl;  // kl, logits_sse or hidden_sse: whose inner product it is
  uint64_t seed = 0;
};

// What a walk back needs of the reference's forward.
struct ReferenceValues {
  std::map<size_t, graph::Values> inputs;  // by stage, the head's included
  graph::LinearOutputs linear_outputs;
};

struct PassReport {
  int64_t peak_bytes = 0;    // tables, values, deltas, scratch and mapped weights at once
  int64_t weight_bytes = 0;  // read from the checkpoint
  double flops = 0;          // of products, the reference's excepted
};

// Per op, the kind of rows that it works on.
std::vector<graph::Rows> row_kinds(const models::Model& model);

// The counts of a sample's positions, with errors of zero: what a variant scores that never touches the
// sample.
scores::ScopedSums position_counts(const models::Model& model, const models::Sample& sample);

}  // namespace qsweep::pass
