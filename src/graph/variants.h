// The variants interpreter: walks a stage with the values of the reference and of every other parent, and
// beside them the deltas of their live leaves. At a linear op the live pairs of a parent that have the same
// format share one product; the leaves that fork there join with their own error.
#pragma once

#include <map>

#include "graph/linear_step.h"
#include "graph/op_ranges.h"
#include "io/bytes.h"

namespace qsweep::graph {

struct Override {
  int op = 0;
  const quant::Format* format = nullptr;  // null: float
};

// A variant carried as its difference from its parent.
struct Leaf {
  int id = 0;                       // the caller's
  std::vector<Override> overrides;  // ascending by op; each differs from the parent's format
};

// A model configuration carried in f32 values, and its leaves.
struct Branch {
  std::vector<const quant::Format*> formats;  // per op
  std::vector<Leaf> leaves;
  int id = -1;  // the caller's
};

// A pair whose change begins at an op: its input does not change there, but its format does.
struct Fork {
  size_t leaf = 0;
  int64_t sample = 0;
};

// A row that other experts work on: a leaf's than its parent's, a parent's than the reference's.
struct Flip {
  int id = 0;  // of the leaf, or of the parent's branch
  const LinearOp& router;
  int64_t sample = 0, row = 0;  // of the sample
  std::span<const ops::router::Share> before, after;
};
using FlipObserver = std::function<void(const Flip&)>;

class Variants {
 public:
  // branches[0] is the reference: float at every op. delta_dtype: f32 or bf16, of the deltas at rest and the
  // products on them. The observer is told of every fork, by the leaf's id; `reference` is told of every op
  // in the reference, of its input before the op's range is looked at; `flips` of every flip.
  Variants(const Pass& pass, DType delta_dtype, const OpRanges& ranges, std::vector<Branch> branches,
           ForkObserver observer = {}, LinearObserver reference = {}, FlipObserver flips = {});

  // Takes the stage's inputs where no later stage needs them, and keeps its outputs.
  void run(const Stage& stage);

  size_t branches() const { return states_.size(); }
  const Branch& branch(size_t b) const { return states_[b].branch; }
  const OpRanges& ranges() const { return ranges_; }
  const PairTable& pairs(size_t b) const { return states_[b].pairs; }  // variant: index of the leaf
  const Values& values(size_t b) const { return states_[b].values; }
  Value take_value(size_t b, const std::string& name);
  Delta take_delta(size_t b, const std::string& name);
  // Arithmetic of the products so far, those for the reference's own values and attention excepted; dry runs
  // included.
  double flops() const { return flops_; }

  // The live pairs of `dx` as they stand in it, cut where their format at the op changes.
  std::vector<LiveRun> live_runs(size_t b, int op, const Delta& dx) const;
  // The forks of a branch at an op, whose rows are of the given kind and whose input changes by dx: pairs
  // that are live already, as they stand, then new ones in the leaves' order.
  std::vector<Fork> forks(size_t b, int op, Rows kind, const Delta& dx) const;
  const quant::Format* format_at(size_t b, size_t leaf, int op) const;

  // Between two stages: everything that later ones need, bit for bit; and its return to the same variants of
  // the same pass, before any stage has run. Error where the bytes cannot be theirs.
  void save(io::ByteSink& to) const;
  void restore(io::ByteSource& from);

 private:
  struct State {
    Branch branch;
    PairTable pairs;
    std::map<int, std::vector<size_t>> overriding;  // by op: the leaves with an override there
    std::vector<int64_t> pair_of;                   // (leaf, sample) -> its pair, or -1
    Values values;
    Deltas deltas;
    std::vector<Value> local;  // per node of the stage at hand
    std::vector<Delta> local_deltas;
  };

  void input(const Stage& stage, const Input& input, size_t node);
  class ExpertsStep;  // variants_experts.cc

  void linear(const Node& node, size_t index);
  void experts(const Node& node, size_t index);
  BranchLinear prepare_linear(size_t b, const Node& node, size_t index, int op);
  void other(const Node& node, size_t index);
  bool same_as_reference(const State& state, const Node& node) const;
  int64_t& pair_of(State& state, const Fork& fork) {
    return state
        .pair_of[fork.leaf * static_cast<size_t>(pass_.batch.samples()) + static_cast<size_t>(fork.sample)];
  }
  Delta change(const State& state, const Node& node, const std::vector<const Value*>& inputs,
               const std::vector<const Delta*>& deltas);

  Pass pass_;
  Forward forward_;
  DType dtype_;
  const OpRanges& ranges_;
  std::vector<State> states_;
  std::shared_ptr<void> lists_;  // of pairs, metered
  ForkObserver observer_;
  LinearObserver reference_;
  FlipObserver flips_;
  double flops_ = 0;
};

}  // namespace qsweep::graph
