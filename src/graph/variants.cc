#include "graph/variants.h"

#include <algorithm>

#include "ops/add.h"
#include "ops/gather.h"
#include "ops/gelu.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scatter.h"
#include "ops/swiglu.h"

namespace qsweep::graph {

using kernels::DeltaView;
using kernels::RowBlock;

PairRange Variants::add_pairs(const std::vector<Fork>& forks, Rows kind) {
  const int64_t first = pairs_.size();
  for (const Fork& fork : forks)
    for (int64_t s = 0; s < pass_.batch.samples(); ++s)
      if (pass_.batch.rows(kind, s) > 0) pairs_.add({fork.variant, s});
  return {first, pairs_.size()};
}

Delta Variants::allocate(Rows kind, int64_t cols, std::vector<PairRange> ranges) {
  Delta d{.block = nullptr, .view = {}, .kind = kind, .ranges = std::move(ranges)};
  const int64_t rows = rows_in(pairs_, d.ranges, kind);
  d.block = pass_.workspace.allocate(dtype_, rows, cols);
  d.view = {d.block->data(), dtype_, rows, cols, cols};
  return d;
}

void Variants::fork_errors(const std::vector<Fork>& forks, const LinearOp& op, const Value& x,
                           const LinearWeights& weights, const DeltaWeight& delta_weights, const Value& y,
                           DeltaView out) {
  const int64_t rows = x.matrix.rows;
  auto block = pass_.workspace.allocate(DType::f32, rows, op.out_features());
  const Matrix<float> error{static_cast<float*>(block->data()), rows, op.out_features()};
  scores::LocalStats stats;
  if (!pass_.workspace.dry()) {
    stats = input_stats(pass_.ops.threads(), x.matrix);
    stats.output_sse = sum_of_squares(pass_.ops.threads(), y.matrix);
  }
  for (size_t i = 0; i < forks.size(); ++i) {
    own_error(pass_, forks[i], x.matrix, weights.weight, delta_weights.view, error);
    if (pass_.workspace.dry()) continue;
    kernels::convert(pass_.ops.threads(), error, out.rows_at(static_cast<int64_t>(i) * rows, rows));
    stats.error_sse = sum_of_squares(pass_.ops.threads(), error);
    if (observer_) observer_(forks[i].variant, stats);
  }
}

void Variants::linear(const Node& node, const Value& x, const Delta& dx, Value& y, Delta& dy) {
  const int op_index = std::get<Linear>(node.operation).op;
  const LinearOp& op = pass_.linear_ops[static_cast<size_t>(op_index)];
  if (x.matrix.rows == 0) {  // no sample brings rows here: the weights need not be read
    y = forward_.allocate(node);
    return;
  }
  const LinearWeights weights = load_weights(pass_, op);
  y = forward_.linear(op, weights, x);

  const std::vector<Fork> forks = forks_(op_index);
  const PairRange forked = add_pairs(forks, node.rows);
  std::vector<PairRange> ranges = dx.ranges;
  if (!forks.empty()) ranges.push_back(forked);
  dy = allocate(node.rows, node.cols, std::move(ranges));
  if (dy.view.rows == 0) return;

  const DeltaWeight delta_weights = delta_weight(pass_, op.weight, weights.weight, dtype_);
  const int64_t live_rows = dx.empty() ? 0 : dx.view.rows;
  delta_flops_ += 2.0 * static_cast<double>(op.weight.elements()) *
                  static_cast<double>(live_rows + 2 * (dy.view.rows - live_rows));
  if (live_rows > 0 && !pass_.workspace.dry())
    ops::linear::delta(pass_.ops, dx.view, delta_weights.view, dy.view.rows_at(0, live_rows));
  if (!forks.empty())
    fork_errors(forks, op, x, weights, delta_weights, y,
                dy.view.rows_at(live_rows, dy.view.rows - live_rows));
}

namespace {

// Computes the delta of one node into `dy`. Linear ops and views are handled before.
struct Change {
  const Pass& pass;
  const std::vector<const Value*>& in;
  const std::vector<const Delta*>& deltas;
  std::span<const RowBlock> blocks;
  DeltaView dy;

  Matrix<const float> x(size_t i) const { return in[i]->matrix; }
  DeltaView dx(size_t i) const { return deltas[i]->view; }

  void operator()(const RmsNorm& n) const {
    ops::rms_norm::delta(pass.ops, blocks, x(0), dx(0), load_vector(pass, n.weight).as<float>(), n.eps, dy);
  }
  void operator()(const Rope& n) const {
    ops::rope::delta(pass.ops, blocks, pass.batch.table(n.cos_sin).matrix<float>(), dx(0), dy);
  }
  void operator()(const Attention& n) const {
    ops::attention::delta(pass.ops, n.spec, pass.batch.segments(n.segments), blocks, x(0), x(1), x(2), dx(0),
                          dx(1), dx(2), dy);
  }
  void operator()(const Swiglu&) const { ops::swiglu::delta(pass.ops, blocks, x(0), x(1), dx(0), dx(1), dy); }
  void operator()(const Gelu&) const { ops::gelu::delta(pass.ops, blocks, x(0), dx(0), dy); }
  void operator()(const Add&) const { ops::add::delta(pass.ops, blocks, dx(0), dx(1), dy); }
  void operator()(const Scatter& n) const {
    ops::scatter::delta(pass.ops, blocks, pass.batch.index(n.index).within_sample, dx(1), dy);
  }
  void operator()(const Gather& n) const {
    ops::gather::delta(pass.ops, blocks, pass.batch.index(n.index).within_sample, dx(0), dy);
  }
  // Handled before, or never changed by a variant; a new op kind without its line here does not compile.
  void operator()(const Input&) const {}
  void operator()(const Table&) const {}
  void operator()(const Linear&) const {}
  void operator()(const Merge&) const {}
  void operator()(const Columns&) const {}
  void operator()(const Embedding&) const {}
};

}  // namespace

Delta Variants::change(const Node& node, const std::vector<const Value*>& inputs,
                       const std::vector<const Delta*>& deltas) {
  std::vector<PairRange> ranges;
  for (const Delta* d : deltas) ranges = merged(ranges, d->ranges);
  if (ranges.empty()) return {};
  if (const auto* columns = std::get_if<Columns>(&node.operation)) {
    Delta part = *deltas[0];
    part.view = part.view.cols_at(columns->first, node.cols);
    return part;
  }
  if (const auto* merge = std::get_if<Merge>(&node.operation)) {
    const Delta& d = *deltas[0];
    QSWEEP_CHECK(d.view.stride == d.view.cols, "rows that are merged must be dense");
    return {
        d.block, {d.view.data, dtype_, d.view.rows / merge->factor, node.cols, node.cols}, node.rows, ranges};
  }
  Delta dy = allocate(node.rows, node.cols, ranges);
  // Scatter's first input is the embedding, which never changes.
  const std::vector<const Delta*> sources =
      std::holds_alternative<Scatter>(node.operation) ? std::vector{deltas[1]} : deltas;
  const std::vector<RowBlock> blocks = row_blocks(pass_.batch, pairs_, dy, sources);
  if (const auto* attention = std::get_if<Attention>(&node.operation))
    pass_.workspace.pass_through(ops::attention::scratch_bytes(
        pass_.ops, attention->spec, pass_.batch.segments(attention->segments), blocks, dtype_));
  if (!pass_.workspace.dry()) std::visit(Change{pass_, inputs, deltas, blocks, dy.view}, node.operation);
  return dy;
}

void Variants::run(const Stage& stage, Values& values, Deltas& deltas) {
  const std::vector<size_t> last = last_uses(stage);
  std::vector<Value> local(stage.nodes.size());
  std::vector<Delta> local_deltas(stage.nodes.size());
  for (size_t i = 0; i < stage.nodes.size(); ++i) {
    const Node& node = stage.nodes[i];
    std::vector<const Value*> inputs;
    std::vector<const Delta*> input_deltas;
    for (const int input : node.inputs) {
      inputs.push_back(&local[static_cast<size_t>(input)]);
      input_deltas.push_back(&local_deltas[static_cast<size_t>(input)]);
    }
    if (const auto* input = std::get_if<Input>(&node.operation)) {
      local[i] = values.at(input->name);
      local_deltas[i] = deltas[input->name];
      if (std::count(stage.consumes.begin(), stage.consumes.end(), input->name) > 0) {
        values.erase(input->name);
        deltas.erase(input->name);
      }
    } else if (std::holds_alternative<Linear>(node.operation)) {
      linear(node, *inputs[0], *input_deltas[0], local[i], local_deltas[i]);
    } else {
      local[i] = forward_.evaluate(node, inputs);
      local_deltas[i] = change(node, inputs, input_deltas);
    }
    for (const int input : node.inputs) {
      if (last[static_cast<size_t>(input)] != i) continue;
      local[static_cast<size_t>(input)] = {};
      local_deltas[static_cast<size_t>(input)] = {};
    }
  }
  for (const auto& [name, node] : stage.outputs) {
    values[name] = local[static_cast<size_t>(node)];
    deltas[name] = local_deltas[static_cast<size_t>(node)];
  }
}

}  // namespace qsweep::graph
