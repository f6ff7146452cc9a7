#include "graph/forward.h"

#include <algorithm>

#include "base/trace.h"
#include "ops/add.h"
#include "ops/embedding.h"
#include "ops/gather.h"
#include "ops/gelu.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scatter.h"
#include "ops/swiglu.h"

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

Value Forward::allocate(const Node& node) {
  const int64_t rows = pass_.batch.rows(node.rows);
  Value v{pass_.workspace.allocate(DType::f32, rows, node.cols), {}};
  v.matrix = {static_cast<float*>(v.block->data()), rows, node.cols};
  return v;
}

Value Forward::linear(const LinearOp& op, const LinearWeights& weights, const Value& x) {
  const int64_t rows = x.matrix.rows;
  Value y{pass_.workspace.allocate(DType::f32, rows, op.out_features()), {}};
  y.matrix = {static_cast<float*>(y.block->data()), rows, op.out_features()};
  const MatrixView w = weights.for_values(rows);
  if (!pass_.workspace.dry()) ops::linear::forward(pass_.ops, x.matrix, w, weights.bias(), y.matrix);
  return y;
}

namespace {

// Computes one node into `y`. Views (Merge, Columns) are handled before.
struct Evaluate {
  const Pass& pass;
  const std::vector<const Value*>& in;
  Matrix<float> y;

  Matrix<const float> x(size_t i) const { return in[i]->matrix; }

  void operator()(const RmsNorm& n) const {
    ops::rms_norm::forward(pass.ops, x(0), load_vector(pass, n.weight).elements<float>(), n.eps, y);
  }
  void operator()(const Rope& n) const { ops::rope::forward(pass.ops, x(0), pass.batch.table(n.cos_sin), y); }
  void operator()(const Attention& n) const {
    ops::attention::forward(pass.ops, n.spec, pass.batch.segments(n.segments), x(0), x(1), x(2), y);
  }
  void operator()(const Swiglu&) const { ops::swiglu::forward(pass.ops, x(0), x(1), y); }
  void operator()(const Gelu&) const { ops::gelu::forward(pass.ops, x(0), y); }
  void operator()(const Add&) const { ops::add::forward(pass.ops, x(0), x(1), y); }
  void operator()(const Embedding& n) const {
    ops::embedding::forward(pass.ops, pass.batch.token_ids(), n.table, y);
  }
  void operator()(const Scatter& n) const {
    ops::scatter::forward(pass.ops, pass.batch.index(n.index).within_batch, x(0), x(1), y);
  }
  void operator()(const Gather& n) const {
    ops::gather::forward(pass.ops, pass.batch.index(n.index).within_batch, x(0), y);
  }
  // Handled before; a new op kind without its line here does not compile.
  void operator()(const Input&) const {}
  void operator()(const Table&) const {}
  void operator()(const Linear&) const {}
  void operator()(const Merge&) const {}
  void operator()(const Columns&) const {}
};

}  // namespace

Value Forward::evaluate(const Node& node, const std::vector<const Value*>& inputs) {
  if (const auto* columns = std::get_if<Columns>(&node.operation))
    return {inputs[0]->block, inputs[0]->matrix.cols_at(columns->first, node.cols)};
  if (std::holds_alternative<Merge>(node.operation)) {
    const Matrix<float> x = inputs[0]->matrix;
    QSWEEP_CHECK(x.contiguous(), "rows that are merged must be dense");
    return {inputs[0]->block, {x.data, pass_.batch.rows(node.rows), node.cols}};
  }
  if (const auto* table = std::get_if<Table>(&node.operation)) {
    // The batch owns its tables; they are read only.
    const Matrix<const float> m = pass_.batch.table(table->name);
    return {nullptr, {const_cast<float*>(m.data), m.rows, m.cols}};
  }
  const trace::Span span("row kernels", name(node.operation));
  Value y = allocate(node);
  if (const auto* attention = std::get_if<Attention>(&node.operation))
    pass_.workspace.pass_through(ops::attention::scratch_bytes(
        pass_.ops, attention->spec, pass_.batch.segments(attention->segments), {}, DType::f32));
  if (const auto* embedding = std::get_if<Embedding>(&node.operation))
    pass_.workspace.pass_through(ops::embedding::scratch_bytes(pass_.ops, y.matrix.rows, embedding->table));
  if (!pass_.workspace.dry() && y.matrix.rows > 0)
    std::visit(Evaluate{pass_, inputs, y.matrix}, node.operation);
  return y;
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
    } else if (const auto* linear_node = std::get_if<Linear>(&node.operation)) {
      if (inputs[0]->matrix.rows == 0) {  // no sample brings rows here: the weights need not be read
        local[i] = allocate(node);
        continue;
      }
      local[i] = replacements.linear(linear_node->op, *inputs[0]);
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
