#include "graph/variants.h"

#include <algorithm>

#include "base/trace.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/gated.h"
#include "ops/gather.h"
#include "ops/join.h"
#include "ops/layer_norm.h"
#include "ops/mean.h"
#include "ops/merge.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scale.h"
#include "ops/scatter.h"

namespace qsweep::graph {

using kernels::RowBlock;

namespace {

// Of a pair in the lists of the host: its places in the table of pairs, and its blocks where an op is at
// hand.
constexpr int64_t kPairBytes =
    2 * (sizeof(Pair) + kRowKinds * sizeof(int64_t)) + sizeof(int64_t) + 4 * sizeof(RowBlock);

}  // namespace

Variants::Variants(const Pass& pass, DType delta_dtype, const OpRanges& ranges, std::vector<Branch> branches,
                   ForkObserver observer, LinearObserver reference, FlipObserver flips)
    : pass_(pass),
      forward_(pass),
      dtype_(delta_dtype),
      ranges_(ranges),
      observer_(std::move(observer)),
      reference_(std::move(reference)),
      flips_(std::move(flips)) {
  int64_t leaves_of_all = 0;
  for (const Branch& branch : branches) leaves_of_all += std::ssize(branch.leaves);
  lists_ = pass.workspace.hold(leaves_of_all * pass.batch.samples() * kPairBytes);
  for (Branch& branch : branches) {
    QSWEEP_CHECK(branch.formats.size() == pass.linear_ops.size(), "{} formats", branch.formats.size());
    State state{.branch = std::move(branch), .pairs = PairTable(pass.batch)};
    const std::vector<Leaf>& leaves = state.branch.leaves;
    for (size_t i = 0; i < leaves.size(); ++i)
      for (const Override& o : leaves[i].overrides) state.overriding[o.op].push_back(i);
    state.pair_of.assign(leaves.size() * static_cast<size_t>(pass.batch.samples()), -1);
    states_.push_back(std::move(state));
  }
}

Value Variants::take_value(size_t b, const std::string& name) {
  return std::move(states_[b].values.at(name));
}
Delta Variants::take_delta(size_t b, const std::string& name) { return std::move(states_[b].deltas[name]); }

std::vector<Fork> Variants::forks(size_t b, int op, Rows kind, const Delta& dx) const {
  const State& state = states_[b];
  const int64_t samples = pass_.batch.samples();
  const auto it = state.overriding.find(op);
  if (it == state.overriding.end()) return {};
  const int64_t first_without_rows = dx.empty() ? 0 : dx.ranges.back().last;
  std::vector<std::pair<int64_t, Fork>> placed;  // by pair; new ones after all others
  for (const size_t leaf : it->second)
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t pair = state.pair_of[leaf * static_cast<size_t>(samples) + static_cast<size_t>(s)];
      const bool changes = pair >= 0 && pair < first_without_rows;
      if (pass_.batch.rows(kind, s) == 0 || changes) continue;
      placed.push_back({pair >= 0 ? pair : state.pairs.size(), {leaf, s}});
    }
  std::stable_sort(placed.begin(), placed.end(),
                   [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<Fork> forks;
  for (const auto& [place, fork] : placed) forks.push_back(fork);
  return forks;
}

const quant::Format* Variants::format_at(size_t b, size_t leaf, int op) const {
  const Branch& branch = states_[b].branch;
  const auto& overrides = branch.leaves[leaf].overrides;
  const auto it = std::lower_bound(overrides.begin(), overrides.end(), op,
                                   [](const Override& o, int wanted) { return o.op < wanted; });
  return it != overrides.end() && it->op == op ? it->format : branch.formats[static_cast<size_t>(op)];
}

std::vector<LiveRun> Variants::live_runs(size_t b, int op, const Delta& dx) const {
  const PairTable& pairs = states_[b].pairs;
  if (dx.empty()) return {};
  std::vector<LiveRun> runs;
  size_t block = 0;
  const std::vector<RowBlock> blocks = row_blocks(pass_.batch, pairs, dx, {&dx});
  for (const PairRange& range : dx.ranges)
    for (int64_t i = range.first; i < range.last; ++i, ++block) {
      const quant::Format* format = format_at(b, static_cast<size_t>(pairs[i].variant), op);
      if (runs.empty() || runs.back().format != format)
        runs.push_back({.format = format, .first_row = blocks[block].out, .rows = 0, .blocks = {}});
      runs.back().rows += blocks[block].rows;
      runs.back().blocks.push_back(blocks[block]);
    }
  return runs;
}

// Whether the branch has no reason yet to compute this node's value itself.
bool Variants::same_as_reference(const State& state, const Node& node) const {
  const State& reference = states_.front();
  if (&state == &reference) return false;
  for (const int op : ops_of(node))
    if (state.branch.formats[static_cast<size_t>(op)] != nullptr) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](int input) {
    const auto i = static_cast<size_t>(input);
    return state.local[i].matrix.data == reference.local[i].matrix.data;
  });
}

BranchLinear Variants::prepare_linear(size_t b, const Node& node, size_t index, int op) {
  State& state = states_[b];
  const auto input = static_cast<size_t>(node.inputs[0]);
  const Delta& dx = state.local_deltas[input];
  const bool known = same_as_reference(state, node);
  const Value y = known ? states_.front().local[index] : forward_.allocate(node);
  BranchLinear at{.format = state.branch.formats[static_cast<size_t>(op)],
                  .x = state.local[input].matrix,
                  .y = y.matrix,
                  .y_is_known = known,
                  .own_error = {},
                  .dx = dx.view,
                  .live = live_runs(b, op, dx)};
  state.local[index] = y;
  const std::vector<Fork> forked = forks(b, op, node.rows, dx);
  std::vector<PairRange> ranges = dx.ranges;
  for (const Fork& fork : forked) {
    int64_t& pair = pair_of(state, fork);
    if (pair < 0) {
      pair = state.pairs.size();
      state.pairs.add({static_cast<int>(fork.leaf), fork.sample});
    }
    ranges = merged(ranges, {{pair, pair + 1}});
  }
  if (ranges.empty()) return at;
  state.local_deltas[index] =
      allocate_delta(pass_.workspace, dtype_, state.pairs, node.rows, node.cols, std::move(ranges));
  at.dy = state.local_deltas[index].view;
  int64_t row = dx.empty() ? 0 : dx.view.rows;
  for (const auto& [leaf, sample] : forked) {
    const int id = state.branch.leaves[leaf].id;
    if (at.forks.empty() || at.forks.back().leaf != id)
      at.forks.push_back({.leaf = id, .format = format_at(b, leaf, op)});
    const int64_t rows = pass_.batch.rows(node.rows, sample);
    at.forks.back().blocks.push_back(
        {.rows = rows, .parent = pass_.batch.first_row(node.rows, sample), .out = row});
    row += rows;
  }
  return at;
}

void Variants::linear(const Node& node, size_t index) {
  const int op_index = ops_of(node).front();
  const LinearOp& op = pass_.linear_ops[static_cast<size_t>(op_index)];
  if (pass_.batch.rows(node.rows) == 0) {  // no sample brings rows here: the weights need not be read
    const Value none = forward_.allocate(node);
    for (State& state : states_) state.local[index] = none;
    return;
  }
  const trace::Span span("linear", op.name);
  const std::vector<Value>& reference = states_.front().local;
  if (reference_.input) reference_.input(op_index, reference[static_cast<size_t>(node.inputs[0])].matrix);
  const LinearWeights weights(pass_, op);
  std::vector<BranchLinear> at_op;
  for (size_t b = 0; b < states_.size(); ++b) at_op.push_back(prepare_linear(b, node, index, op_index));
  run_linear_step({.pass = pass_,
                   .op = op,
                   .weights = weights,
                   .delta_dtype = dtype_,
                   .range = ranges_.of(op_index),
                   .values_range = op.cache ? ranges_.of(op.cache->values_range) : nullptr,
                   .observe = observer_,
                   .flops = flops_},
                  at_op);
  if (reference_.output) reference_.output(op_index, reference[index]);
}

namespace {

// The delta of one node, some of whose inputs change: its own, or a view of another's memory.
struct Change {
  const Pass& pass;
  DType dtype;
  const PairTable& pairs;
  const Node& node;
  const std::vector<const Value*>& in;
  const std::vector<const Delta*>& deltas;
  const std::vector<PairRange>& ranges;

  using Blocks = std::span<const RowBlock>;
  Matrix<const float> x(size_t i) const { return in[i]->matrix; }
  MatrixView dx(size_t i) const { return deltas[i]->view; }

  // `op` fills the delta, and takes so much beside it for a while.
  template <class Op, class ScratchBytes>
  Delta computed(Op&& op, ScratchBytes&& scratch_bytes) const {
    const trace::Span span("row kernels", name(node.operation));
    Delta dy = allocate_delta(pass.workspace, dtype, pairs, node.rows, node.cols, ranges);
    const std::vector<RowBlock> blocks = row_blocks(pass.batch, pairs, dy, deltas);
    pass.workspace.pass_through(scratch_bytes(blocks));
    if (!pass.workspace.dry()) op(Blocks(blocks), dy.view);
    return dy;
  }
  template <class Op>
  Delta computed(Op&& op) const {
    return computed(op, [](Blocks) { return int64_t{0}; });
  }

  Delta operator()(const Columns& n) const {
    Delta part = *deltas[0];
    part.view = part.view.cols_at(n.first, node.cols);
    return part;
  }
  Delta operator()(const Merge& n) const {
    if (n.order == MergeOrder::channels_first)
      return computed(
          [&](Blocks blocks, MatrixView dy) { ops::merge::delta(pass.ops, blocks, n.factor, dx(0), dy); });
    QSWEEP_CHECK(dx(0).stride == dx(0).cols, "rows that are merged must be dense");
    const MatrixView merged{dx(0).data, dtype, dx(0).rows / n.factor, node.cols, node.cols};
    return {deltas[0]->block, merged, node.rows, ranges};
  }
  Delta operator()(const RmsNorm& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      const kernels::Buffer w = load_vector(pass, n.weight);
      ops::rms_norm::delta(pass.ops, blocks, x(0), dx(0), {w.elements<float>(), n.eps, n.offset}, dy);
    });
  }
  Delta operator()(const LayerNorm& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      const kernels::Buffer w = load_vector(pass, n.weight);
      ops::layer_norm::delta(pass.ops, blocks, x(0), dx(0), {w.elements<float>(), {}, n.eps}, dy);
    });
  }
  Delta operator()(const Rope& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      ops::rope::delta(pass.ops, blocks, pass.batch.table(n.cos_sin), dx(0), dy);
    });
  }
  Delta operator()(const Attention& n) const {
    const ops::attention::Layout layout = pass.batch.layout(n.segments, n.spans);
    return computed(
        [&](Blocks blocks, MatrixView dy) {
          ops::attention::delta(pass.ops, with_sinks(pass, n).spec, layout, blocks, {x(0), x(1), x(2)},
                                {dx(0), dx(1), dx(2)}, dy);
        },
        [&](Blocks blocks) {
          return ops::attention::scratch_bytes(pass.ops, n.spec, layout, blocks, dtype);
        });
  }
  Delta operator()(const Gated& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      ops::gated::delta(pass.ops, blocks, n.form, x(0), x(1), dx(0), dx(1), dy);
    });
  }
  Delta operator()(const Activation& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      ops::activation::delta(pass.ops, blocks, n.kind, x(0), dx(0), dy);
    });
  }
  Delta operator()(const Add&) const {
    return computed(
        [&](Blocks blocks, MatrixView dy) { ops::add::delta(pass.ops, blocks, dx(0), dx(1), dy); });
  }
  Delta operator()(const Join&) const {
    return computed(
        [&](Blocks blocks, MatrixView dy) { ops::join::delta(pass.ops, blocks, dx(0), dx(1), dy); });
  }
  Delta operator()(const Scatter& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      ops::scatter::delta(pass.ops, blocks, pass.batch.index(n.index).within_sample, dx(0), dx(1), dy);
    });
  }
  Delta operator()(const Scale& n) const {
    return computed(
        [&](Blocks blocks, MatrixView dy) { ops::scale::delta(pass.ops, blocks, n.factor, dx(0), dy); });
  }
  Delta operator()(const Mean& n) const {
    return computed(
        [&](Blocks blocks, MatrixView dy) { ops::mean::delta(pass.ops, blocks, n.factor, dx(0), dy); });
  }
  Delta operator()(const Gather& n) const {
    return computed([&](Blocks blocks, MatrixView dy) {
      ops::gather::delta(pass.ops, blocks, pass.batch.index(n.index).within_sample, dx(0), dy);
    });
  }
  // The walk's, or without inputs.
  Delta operator()(const Input&) const { return {}; }
  Delta operator()(const Table&) const { return {}; }
  Delta operator()(const Linear&) const { return {}; }
  Delta operator()(const Cache&) const { return {}; }
  Delta operator()(const Experts&) const { return {}; }
  Delta operator()(const Embedding&) const { return {}; }
};

}  // namespace

Delta Variants::change(const State& state, const Node& node, const std::vector<const Value*>& inputs,
                       const std::vector<const Delta*>& deltas) {
  std::vector<PairRange> ranges;
  for (const Delta* d : deltas) ranges = merged(ranges, d->ranges);
  if (ranges.empty()) return {};
  return std::visit(Change{pass_, dtype_, state.pairs, node, inputs, deltas, ranges}, node.operation);
}

void Variants::other(const Node& node, size_t index) {
  for (State& state : states_) {
    std::vector<const Value*> inputs;
    std::vector<const Delta*> deltas;
    for (const int input : node.inputs) {
      inputs.push_back(&state.local[static_cast<size_t>(input)]);
      deltas.push_back(&state.local_deltas[static_cast<size_t>(input)]);
    }
    state.local[index] =
        same_as_reference(state, node) ? states_.front().local[index] : forward_.evaluate(node, inputs);
    state.local_deltas[index] = change(state, node, inputs, deltas);
  }
}

void Variants::input(const Stage& stage, const Input& input, size_t index) {
  const bool last = std::count(stage.consumes.begin(), stage.consumes.end(), input.name) > 0;
  for (State& state : states_) {
    state.local[index] = state.values.at(input.name);
    state.local_deltas[index] = state.deltas[input.name];
    if (!last) continue;
    state.values.erase(input.name);
    state.deltas.erase(input.name);
  }
}

void Variants::run(const Stage& stage) {
  const std::vector<size_t> last = last_uses(stage);
  for (State& state : states_) {
    state.local.assign(stage.nodes.size(), {});
    state.local_deltas.assign(stage.nodes.size(), {});
  }
  for (size_t i = 0; i < stage.nodes.size(); ++i) {
    const Node& node = stage.nodes[i];
    if (const auto* name = std::get_if<Input>(&node.operation)) {
      input(stage, *name, i);
    } else if (is_op(node)) {
      linear(node, i);
    } else if (std::holds_alternative<Experts>(node.operation)) {
      experts(node, i);
    } else {
      other(node, i);
    }
    for (const int used : node.inputs) {
      if (last[static_cast<size_t>(used)] != i) continue;
      for (State& state : states_) {
        state.local[static_cast<size_t>(used)] = {};
        state.local_deltas[static_cast<size_t>(used)] = {};
      }
    }
  }
  for (State& state : states_) {
    for (const auto& [name, node] : stage.outputs) {
      state.values[name] = state.local[static_cast<size_t>(node)];
      state.deltas[name] = state.local_deltas[static_cast<size_t>(node)];
    }
    state.local.clear();
    state.local_deltas.clear();
  }
}

}  // namespace qsweep::graph
