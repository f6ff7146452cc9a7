// The variants interpreter: walks a stage with the reference's values and, beside them, the deltas of all
// live variants. At a linear op the live pairs share one product; the variants that fork there join with
// their own error.
#pragma once

#include <functional>

#include "graph/fork.h"
#include "graph/forward.h"
#include "scores/record.h"

namespace qsweep::graph {

class Variants {
 public:
  // The variants that fork at op number `op`, in the order in which their pairs are to stand.
  using Forks = std::function<std::vector<Fork>(int op)>;
  // What a variant's own error and its op's input measured, over all rows.
  using ForkObserver = std::function<void(int variant, const scores::LocalStats&)>;

  // delta_dtype: f32 or bf16, of the deltas at rest and the products on them.
  Variants(const Pass& pass, DType delta_dtype, Forks forks, ForkObserver observer = {})
      : pass_(pass),
        forward_(pass),
        dtype_(delta_dtype),
        forks_(std::move(forks)),
        observer_(std::move(observer)),
        pairs_(pass.batch) {}

  // As Forward::run, for values and deltas.
  void run(const Stage& stage, Values& values, Deltas& deltas);

  const PairTable& pairs() const { return pairs_; }
  // Arithmetic of the products on deltas so far, dry runs included; attention excepted.
  double delta_flops() const { return delta_flops_; }

  // Adds the pairs of the forks at an op whose input rows are of this kind: one per sample that has such
  // rows, forks in order. Returns their range.
  PairRange add_pairs(const std::vector<Fork>& forks, Rows kind);

 private:
  void linear(const Node& node, const Value& x, const Delta& dx, Value& y, Delta& dy);
  void fork_errors(const std::vector<Fork>& forks, const LinearOp& op, const Value& x,
                   const LinearWeights& weights, const DeltaWeight& delta_weights, const Value& y,
                   kernels::DeltaView out);
  Delta change(const Node& node, const std::vector<const Value*>& inputs,
               const std::vector<const Delta*>& deltas);
  Delta allocate(Rows kind, int64_t cols, std::vector<PairRange> ranges);

  Pass pass_;
  Forward forward_;
  DType dtype_;
  Forks forks_;
  ForkObserver observer_;
  PairTable pairs_;
  double delta_flops_ = 0;
};

}  // namespace qsweep::graph
