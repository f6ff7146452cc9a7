#include "graph/forward.h"

#include <algorithm>

#include "base/trace.h"
#include "graph/experts.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/embedding.h"
#include "ops/gated.h"
#include "ops/gather.h"
#include "ops/join.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/mean.h"
#include "ops/merge.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scale.h"
#include "ops/scatter.h"

namespace qsweep::graph {

std::vector<size_t> last_uses(const Stage& stage) {
  std::vector<size_t> last(stage.nodes.size());
  for (size_t i = 0; i < stage.nodes.size(); ++i) {
    last[i] = i;
    for (const int input : stage.nodes[i].inputs) last[static_cast<size_t>(input)] = i;
  }
  for (const auto& [name, node] : stage.outputs) last[static_cast<size_t>(node)] = stage.nodes.size();
  return last;
}

void resolve_lifetimes(std::vector<Stage>& stages) {
  const auto reads = [](const Stage& stage, const std::string& name) {
    return std::any_of(stage.nodes.begin(), stage.nodes.end(), [&](const Node& node) {
      const auto* input = std::get_if<Input>(&node.operation);
      return input != nullptr && input->name == name;
    });
  };
  const auto writes = [](const Stage& stage, const std::string& name) {
    return std::any_of(stage.outputs.begin(), stage.outputs.end(),
                       [&](const auto& o) { return o.first == name; });
  };
  for (size_t i = 0; i < stages.size(); ++i) {
    for (const Node& node : stages[i].nodes) {
      const auto* input = std::get_if<Input>(&node.operation);
      if (input == nullptr) continue;
      bool needed = false;
      for (size_t j = i; j < stages.size() && !needed; ++j) {
        if (j > i && reads(stages[j], input->name)) needed = true;
        if (writes(stages[j], input->name)) break;
      }
      if (!needed) stages[i].consumes.push_back(input->name);
    }
  }
}

Value Forward::allocate(const Node& node) { return new_value(pass_, pass_.batch.rows(node.rows), node.cols); }

Value Forward::linear(const LinearOp& op, const LinearWeights& weights, const Value& x) {
  if (op.cache) return x;
  const int64_t rows = x.matrix.rows;
  Value y = new_value(pass_, rows, op.out_features());
  const MatrixView w = weights.for_values(rows);
  if (!pass_.workspace.dry()) ops::linear::forward(pass_.ops, x.matrix, w, weights.bias(), y.matrix);
  return y;
}

Value Forward::experts(const Node& node, const Value& x,
                       const std::function<Value(int op, const Value& x)>& linear) {
  const auto& n = std::get<Experts>(node.operation);
  Value y = allocate(node);
  if (y.matrix.rows == 0) return y;
  const Routing routing(pass_, n, x.matrix);
  clear_rows(pass_, y.matrix);
  for (size_t e = 0; e < n.experts.size(); ++e) {
    const std::vector<RoutedRow>& rows = routing.rows_of(e);
    if (rows.empty()) continue;
    const Value own = gather_rows(pass_, x.matrix, rows);
    const Value gate = linear(n.experts[e].gate, own), up = linear(n.experts[e].up, own);
    const Value hidden = gated_rows(pass_, n.form, gate.matrix, up.matrix);
    const Value result = linear(n.experts[e].down, hidden);
    std::vector<kernels::RowTerm> terms;
    for (const RoutedRow& r : rows)
      terms.push_back({.from = std::ssize(terms), .to = r.row, .scale = static_cast<float>(r.weight)});
    add_rows(pass_, terms, view_of(result.matrix), y.matrix);
  }
  return y;
}

namespace {

// The value of one node: its own, or a view of another's memory.
struct Evaluate {
  Forward& forward;
  const Pass& pass;
  const Node& node;
  const std::vector<const Value*>& in;

  Matrix<const float> x(size_t i) const { return in[i]->matrix; }

  // `op` fills the value, and takes so much beside it for a while.
  template <class Op>
  Value computed(Op&& op, int64_t scratch_bytes = 0) const {
    const trace::Span span("row kernels", name(node.operation));
    Value y = forward.allocate(node);
    pass.workspace.pass_through(scratch_bytes);
    if (!pass.workspace.dry() && y.matrix.rows > 0) op(y.matrix);
    return y;
  }

  Value operator()(const Table& n) const {
    // The batch owns its tables; they are read only.
    const Matrix<const float> m = pass.batch.table(n.name);
    return {nullptr, {const_cast<float*>(m.data), m.rows, m.cols}};
  }
  Value operator()(const Columns& n) const {
    return {in[0]->block, in[0]->matrix.cols_at(n.first, node.cols)};
  }
  Value operator()(const Merge& n) const {
    if (n.order == MergeOrder::channels_first)
      return computed([&](Matrix<float> y) { ops::merge::forward(pass.ops, x(0), n.factor, y); });
    QSWEEP_CHECK(x(0).contiguous(), "rows that are merged must be dense");
    return {in[0]->block, {in[0]->matrix.data, pass.batch.rows(node.rows), node.cols}};
  }
  Value operator()(const RmsNorm& n) const {
    return computed([&](Matrix<float> y) {
      const kernels::Buffer w = load_vector(pass, n.weight);
      ops::rms_norm::forward(pass.ops, x(0), {w.elements<float>(), n.eps, n.offset}, y);
    });
  }
  Value operator()(const LayerNorm& n) const {
    return computed([&](Matrix<float> y) {
      const kernels::Buffer w = load_vector(pass, n.weight), b = load_vector(pass, n.bias);
      ops::layer_norm::forward(pass.ops, x(0), {w.elements<float>(), b.elements<float>(), n.eps}, y);
    });
  }
  Value operator()(const Rope& n) const {
    return computed(
        [&](Matrix<float> y) { ops::rope::forward(pass.ops, x(0), pass.batch.table(n.cos_sin), y); });
  }
  Value operator()(const Attention& n) const {
    const ops::attention::Layout layout = pass.batch.layout(n.segments, n.spans);
    return computed(
        [&](Matrix<float> y) {
          ops::attention::forward(pass.ops, with_sinks(pass, n).spec, layout, {x(0), x(1), x(2)}, y);
        },
        ops::attention::scratch_bytes(pass.ops, n.spec, layout, {}, DType::f32));
  }
  Value operator()(const Gated& n) const {
    return computed([&](Matrix<float> y) { ops::gated::forward(pass.ops, n.form, x(0), x(1), y); });
  }
  Value operator()(const Activation& n) const {
    return computed([&](Matrix<float> y) { ops::activation::forward(pass.ops, n.kind, x(0), y); });
  }
  Value operator()(const Add&) const {
    return computed([&](Matrix<float> y) { ops::add::forward(pass.ops, x(0), x(1), y); });
  }
  Value operator()(const Scale& n) const {
    return computed([&](Matrix<float> y) { ops::scale::forward(pass.ops, x(0), n.factor, y); });
  }
  Value operator()(const Mean& n) const {
    return computed([&](Matrix<float> y) { ops::mean::forward(pass.ops, x(0), n.factor, y); });
  }
  Value operator()(const Embedding& n) const {
    return computed(
        [&](Matrix<float> y) { ops::embedding::forward(pass.ops, pass.batch.token_ids(), n.table, y); },
        ops::embedding::scratch_bytes(pass.ops, pass.batch.rows(node.rows), n.table));
  }
  Value operator()(const Join&) const {
    return computed([&](Matrix<float> y) { ops::join::forward(pass.ops, x(0), x(1), y); });
  }
  Value operator()(const Scatter& n) const {
    return computed([&](Matrix<float> y) {
      ops::scatter::forward(pass.ops, pass.batch.index(n.index).within_batch, x(0), x(1), y);
    });
  }
  Value operator()(const Gather& n) const {
    return computed([&](Matrix<float> y) {
      ops::gather::forward(pass.ops, pass.batch.index(n.index).within_batch, x(0), y);
    });
  }
  // The walk's.
  Value operator()(const Input&) const { return {}; }
  Value operator()(const Linear&) const { return {}; }
  Value operator()(const Cache&) const { return {}; }
  Value operator()(const Experts&) const { return {}; }
};

}  // namespace

Value Forward::evaluate(const Node& node, const std::vector<const Value*>& inputs) {
  return std::visit(Evaluate{*this, pass_, node, inputs}, node.operation);
}

void Forward::run(const Stage& stage, Values& values, const LinearObserver& observer) {
  run_with(stage, values, {.linear = [&](int op_index, const Value& x) {
             const LinearOp& op = pass_.linear_ops[static_cast<size_t>(op_index)];
             const trace::Span span("linear", op.name);
             if (observer.input) observer.input(op_index, x.matrix);
             Value y = linear(op, LinearWeights(pass_, op), x);
             if (observer.output) observer.output(op_index, y);
             return y;
           }});
}

void Forward::run_with(const Stage& stage, Values& values, const Replacements& replacements) {
  const std::vector<size_t> last = last_uses(stage);
  std::vector<Value> local(stage.nodes.size());
  for (size_t i = 0; i < stage.nodes.size(); ++i) {
    const Node& node = stage.nodes[i];
    std::vector<const Value*> inputs;
    for (const int input : node.inputs) inputs.push_back(&local[static_cast<size_t>(input)]);
    if (const auto* input = std::get_if<Input>(&node.operation)) {
      local[i] = values.at(input->name);
      if (std::count(stage.consumes.begin(), stage.consumes.end(), input->name) > 0)
        values.erase(input->name);
    } else if (is_op(node)) {
      if (inputs[0]->matrix.rows == 0) {  // no sample brings rows here: the weights need not be read
        local[i] = allocate(node);
        continue;
      }
      local[i] = replacements.linear(ops_of(node).front(), *inputs[0]);
    } else if (std::holds_alternative<Experts>(node.operation)) {
      local[i] = experts(node, *inputs[0], replacements.linear);
    } else if (replacements.embedding && std::holds_alternative<Embedding>(node.operation)) {
      local[i] = replacements.embedding(node);
    } else {
      local[i] = evaluate(node, inputs);
    }
    for (const int input : node.inputs)
      if (last[static_cast<size_t>(input)] == i) local[static_cast<size_t>(input)] = {};
  }
  for (const auto& [name, node] : stage.outputs) values[name] = local[static_cast<size_t>(node)];
}

}  // namespace qsweep::graph
