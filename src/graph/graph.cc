#include "graph/graph.h"

#include <algorithm>

namespace qsweep::graph {

std::string_view name(Tower tower) {
  switch (tower) {
    case Tower::vision:
      return "vision";
    case Tower::projector:
      return "projector";
    case Tower::language:
      return "language";
  }
  return "";
}

std::string_view name(const Operation& operation) {
  return std::visit([](const auto& kind) { return kind.kName; }, operation);
}

bool vjp_reads_inputs(const Operation& operation) {
  return std::visit([](const auto& kind) { return kind.vjp_reads_inputs; }, operation);
}

std::vector<int> ops_of(const Node& node) {
  if (const auto* linear = std::get_if<Linear>(&node.operation)) return {linear->op};
  if (const auto* cache = std::get_if<Cache>(&node.operation)) return {cache->op};
  std::vector<int> ops;
  if (const auto* experts = std::get_if<Experts>(&node.operation))
    for (const auto& [gate, up, down] : experts->experts) ops.insert(ops.end(), {gate, up, down});
  return ops;
}

bool is_op(const Node& node) {
  return std::holds_alternative<Linear>(node.operation) || std::holds_alternative<Cache>(node.operation);
}

void number_ranges(std::vector<LinearOp>& ops) {
  auto next = static_cast<int>(ops.size());
  for (LinearOp& op : ops)
    if (op.cache) op.cache->values_range = next++;
}

size_t count_ranges(std::span<const LinearOp> ops) {
  const auto caches = std::ranges::count_if(ops, [](const LinearOp& op) { return op.cache.has_value(); });
  return ops.size() + static_cast<size_t>(caches);
}

Builder::Value Builder::push(Operation operation, std::vector<int> inputs, Rows rows, int64_t cols) {
  stage_.nodes.push_back({std::move(operation), std::move(inputs), rows, cols});
  return {static_cast<int>(stage_.nodes.size()) - 1};
}

Builder::Value Builder::input(const std::string& name, Rows rows, int64_t cols) {
  return push(Input{name}, {}, rows, cols);
}

Builder::Value Builder::table(const std::string& name, Rows rows, int64_t cols) {
  return push(Table{name}, {}, rows, cols);
}

// Experts that share a tensor read the same parts of it.
void Builder::read(const StoredWeight& weight) {
  for (TensorView& part : weight.parts()) {
    const auto same = [&](const TensorView& other) {
      return other.data == part.data && other.size_bytes() == part.size_bytes();
    };
    if (part.data == nullptr || std::ranges::none_of(stage_.weights, same))
      stage_.weights.push_back(std::move(part));
  }
}

void Builder::read(const LinearOp& op) {
  if (op.cache) return;
  read(op.weight);
  if (op.bias) read(*op.bias);
}

Builder::Value Builder::linear(Value x, LinearOp op) {
  QSWEEP_CHECK(at(x).cols == op.in_features(), "{}: {} inputs, the value has {} columns", op.name,
               op.in_features(), at(x).cols);
  const int64_t out = op.out_features();
  return push(Linear{push_op(std::move(op))}, {x.node}, at(x).rows, out);
}

int Builder::push_op(LinearOp op) {
  read(op);
  ops_.push_back(std::move(op));
  return static_cast<int>(ops_.size()) - 1;
}

Builder::Value Builder::experts(Value x, LinearOp router, const ops::router::Rule& rule,
                                const ops::gated::Form& form, std::vector<ExpertOps> experts) {
  read(router);
  Experts node{.router = std::move(router), .rule = rule, .form = form, .experts = {}};
  for (auto& [gate, up, down] : experts) {
    QSWEEP_CHECK(at(x).cols == gate.in_features() && at(x).cols == up.in_features() &&
                     at(x).cols == down.out_features() && gate.out_features() == down.in_features() &&
                     up.out_features() == down.in_features(),
                 "{}: an expert of other sizes", down.name);
    const int gate_op = push_op(std::move(gate)), up_op = push_op(std::move(up));
    node.experts.push_back({.gate = gate_op, .up = up_op, .down = push_op(std::move(down))});
  }
  return push(std::move(node), {x.node}, at(x).rows, at(x).cols);
}

Builder::Value Builder::rms_norm(Value x, TensorView weight, double eps, NormWeight form) {
  QSWEEP_CHECK(at(x).cols % weight.elements() == 0, "a norm of {} columns for {}", weight.elements(),
               at(x).cols);
  stage_.weights.push_back(weight);
  const float offset = form == NormWeight::one_plus ? 1 : 0;
  return push(RmsNorm{std::move(weight), static_cast<float>(eps), offset}, {x.node}, at(x).rows, at(x).cols);
}

Builder::Value Builder::layer_norm(Value x, TensorView weight, TensorView bias, double eps) {
  QSWEEP_CHECK(at(x).cols == weight.elements() && at(x).cols == bias.elements(),
               "a norm of {} columns and a bias of {} for {}", weight.elements(), bias.elements(),
               at(x).cols);
  stage_.weights.push_back(weight);
  stage_.weights.push_back(bias);
  return push(LayerNorm{std::move(weight), std::move(bias), static_cast<float>(eps)}, {x.node}, at(x).rows,
              at(x).cols);
}

Builder::Value Builder::rope(Value x, const std::string& cos_sin_table) {
  return push(Rope{cos_sin_table}, {x.node}, at(x).rows, at(x).cols);
}

Builder::Value Builder::attention(Value q, Value k, Value v, const ops::attention::Spec& spec,
                                  const std::string& segments, const std::string& spans,
                                  std::optional<TensorView> sinks) {
  QSWEEP_CHECK(at(q).cols == spec.n_heads * spec.head_dim && at(k).cols == spec.n_kv_heads * spec.head_dim &&
                   at(v).cols == at(k).cols && spec.n_heads % spec.n_kv_heads == 0,
               "q, k, v have {}, {}, {} columns", at(q).cols, at(k).cols, at(v).cols);
  if (sinks) {
    QSWEEP_CHECK(sinks->elements() == spec.n_heads, "{} sinks for {} heads", sinks->elements(), spec.n_heads);
    stage_.weights.push_back(*sinks);
  }
  return push(Attention{spec, segments, spans, std::move(sinks)}, {q.node, k.node, v.node}, at(q).rows,
              at(q).cols);
}

Builder::Value Builder::activation(Value x, ops::activation::Kind kind) {
  return push(Activation{kind}, {x.node}, at(x).rows, at(x).cols);
}

Builder::Value Builder::gated(Value gate, Value up, ops::activation::Kind kind) {
  QSWEEP_CHECK(at(gate).cols == at(up).cols, "{} and {} columns", at(gate).cols, at(up).cols);
  return push(Gated{{.f = kind}}, {gate.node, up.node}, at(gate).rows, at(gate).cols);
}

Builder::Value Builder::add(Value a, Value b) {
  QSWEEP_CHECK(at(a).rows == at(b).rows && at(a).cols == at(b).cols, "{} and {} columns", at(a).cols,
               at(b).cols);
  return push(Add{}, {a.node, b.node}, at(a).rows, at(a).cols);
}

Builder::Value Builder::scale(Value x, double factor) {
  return push(Scale{static_cast<float>(factor)}, {x.node}, at(x).rows, at(x).cols);
}

Builder::Value Builder::embedding(TensorView table) {
  const int64_t cols = table.shape[1];
  stage_.tables.push_back(table);
  return push(Embedding{std::move(table)}, {}, Rows::tokens, cols);
}

Builder::Value Builder::scatter(Value tokens, Value features, const std::string& index) {
  QSWEEP_CHECK(at(tokens).cols == at(features).cols, "{} and {} columns", at(tokens).cols, at(features).cols);
  return push(Scatter{index}, {tokens.node, features.node}, at(tokens).rows, at(tokens).cols);
}

Builder::Value Builder::scatter_add(Value x, Value features, const std::string& index) {
  return add(x, gather(features, index, at(x).rows));
}

Builder::Value Builder::gather(Value x, const std::string& index, Rows gathered) {
  return push(Gather{index}, {x.node}, gathered, at(x).cols);
}

Builder::Value Builder::mean(Value x, int64_t factor, Rows means) {
  return push(Mean{factor}, {x.node}, means, at(x).cols);
}

Builder::Value Builder::merge(Value x, int64_t factor, Rows merged, MergeOrder order) {
  return push(Merge{factor, order}, {x.node}, merged, at(x).cols * factor);
}

Builder::Value Builder::columns(Value x, int64_t first, int64_t count) {
  QSWEEP_CHECK(first >= 0 && first + count <= at(x).cols, "columns {} to {} of {}", first, first + count,
               at(x).cols);
  return push(Columns{first}, {x.node}, at(x).rows, count);
}

Builder::Value Builder::join(Value a, Value b) {
  QSWEEP_CHECK(at(a).rows == at(b).rows, "{} and {} columns of other rows", at(a).cols, at(b).cols);
  return push(Join{}, {a.node, b.node}, at(a).rows, at(a).cols + at(b).cols);
}

std::pair<Builder::Value, Builder::Value> Builder::cache(Value k, Value v, LinearOp op) {
  const int64_t width = op.cache->width();
  QSWEEP_CHECK(at(k).cols == width && at(v).cols == width, "{}: {} and {} columns for {}", op.name,
               at(k).cols, at(v).cols, width);
  const Value both = join(k, v);
  const Value read = push(Cache{push_op(std::move(op))}, {both.node}, at(both).rows, at(both).cols);
  return {columns(read, 0, width), columns(read, width, width)};
}

void Builder::output(const std::string& name, Value x) { stage_.outputs.emplace_back(name, x.node); }

}  // namespace qsweep::graph
