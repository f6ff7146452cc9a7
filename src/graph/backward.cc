#include "graph/backward.h"

#include <algorithm>

#include "base/trace.h"
#include "ops/add.h"
#include "ops/gather.h"
#include "ops/gelu.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scatter.h"
#include "ops/swiglu.h"

namespace qsweep::graph {
namespace {

constexpr size_t kNever = SIZE_MAX;

// What one stage has to compute, node by node.
struct Plan {
  std::vector<bool> wanted;         // somebody asks for its cotangent: an observer, or an earlier stage
  std::vector<bool> reached;        // wanted, and it will have one
  std::vector<bool> needed;         // its value has to be computed again
  std::vector<size_t> last_reader;  // of the value in the forward direction
  std::vector<size_t> last_vjp;     // of the value in the backward direction; kNever: none reads it
};

// Whether the vjp depends on the values of the inputs; a new op kind without its line here does not compile.
struct VjpReadsInputs {
  bool operator()(const Input&) const { return false; }
  bool operator()(const Table&) const { return false; }
  bool operator()(const Linear&) const { return true; }
  bool operator()(const RmsNorm&) const { return true; }
  bool operator()(const Rope&) const { return false; }
  bool operator()(const Attention&) const { return true; }
  bool operator()(const Swiglu&) const { return true; }
  bool operator()(const Gelu&) const { return true; }
  bool operator()(const Add&) const { return false; }
  bool operator()(const Embedding&) const { return false; }
  bool operator()(const Scatter&) const { return false; }
  bool operator()(const Gather&) const { return false; }
  bool operator()(const Merge&) const { return false; }
  bool operator()(const Columns&) const { return false; }
};
bool vjp_reads_inputs(const Operation& operation) { return std::visit(VjpReadsInputs{}, operation); }

std::vector<bool> wanted_nodes(const Stage& stage, const Batch& batch, bool observed) {
  std::vector<bool> wanted(stage.nodes.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Node& node = stage.nodes[i];
    const auto of_input = [&](int input) { return wanted[static_cast<size_t>(input)]; };
    if (batch.rows(node.rows) == 0) continue;
    wanted[i] = std::holds_alternative<Input>(node.operation) ||
                (observed && std::holds_alternative<Linear>(node.operation)) ||
                std::any_of(node.inputs.begin(), node.inputs.end(), of_input);
    QSWEEP_CHECK(!std::holds_alternative<Scatter>(node.operation) || !of_input(node.inputs[0]),
                 "{}: only token embeddings, which need no cotangent, may be scattered into", stage.name);
  }
  return wanted;
}

// has_cotangent: of every node, as an output of the stage.
Plan make_plan(const Stage& stage, const Batch& batch, const std::vector<bool>& has_cotangent,
               bool observed) {
  const size_t n = stage.nodes.size();
  Plan plan{wanted_nodes(stage, batch, observed), std::vector<bool>(n), std::vector<bool>(n),
            std::vector<size_t>(n, 0), std::vector<size_t>(n, kNever)};
  for (size_t i = n; i-- > 0;) {
    const Node& node = stage.nodes[i];
    const bool is_linear = std::holds_alternative<Linear>(node.operation);
    if (has_cotangent[i] && plan.wanted[i]) plan.reached[i] = true;
    const bool reads = plan.reached[i] && vjp_reads_inputs(node.operation) && (observed || !is_linear);
    if (reads && is_linear) plan.last_vjp[i] = i;  // its observer sees the output too
    plan.needed[i] = plan.needed[i] || plan.last_vjp[i] != kNever;
    for (const int input : node.inputs) {
      const auto from = static_cast<size_t>(input);
      if (plan.reached[i] && plan.wanted[from]) plan.reached[from] = true;
      if (reads) plan.last_vjp[from] = i;
      if (!plan.needed[i]) continue;
      plan.needed[from] = true;
      plan.last_reader[from] = std::max(plan.last_reader[from], i);
    }
  }
  return plan;
}

// The vjp of one node; linear ops, sums and views are handled before.
struct Pullback {
  const Pass& pass;
  int64_t probes;
  const std::vector<const Value*>& in;
  MatrixView dy;
  const std::vector<Cotangent>& dx;

  Matrix<const float> x(size_t i) const { return in[i]->matrix; }
  MatrixView d(size_t i) const { return dx[i].view; }

  void operator()(const RmsNorm& n) const {
    ops::rms_norm::vjp(pass.ops, x(0), load_vector(pass, n.weight).elements<float>(), n.eps, dy, probes,
                       d(0));
  }
  void operator()(const Rope& n) const {
    ops::rope::vjp(pass.ops, pass.batch.table(n.cos_sin), dy, probes, d(0));
  }
  void operator()(const Attention& n) const {
    ops::attention::vjp(pass.ops, n.spec, pass.batch.segments(n.segments), x(0), x(1), x(2), dy, probes, d(0),
                        d(1), d(2));
  }
  void operator()(const Swiglu&) const { ops::swiglu::vjp(pass.ops, x(0), x(1), dy, probes, d(0), d(1)); }
  void operator()(const Gelu&) const { ops::gelu::vjp(pass.ops, x(0), dy, probes, d(0)); }
  void operator()(const Scatter& n) const {
    ops::scatter::vjp(pass.ops, pass.batch.index(n.index).within_batch, dy, probes, d(1));
  }
  void operator()(const Gather& n) const {
    ops::gather::vjp(pass.ops, pass.batch.index(n.index).within_batch, dy, probes, d(0));
  }
  // Handled before, or nothing stands before them; a new op kind without its line here does not compile.
  void operator()(const Input&) const {}
  void operator()(const Table&) const {}
  void operator()(const Linear&) const {}
  void operator()(const Add&) const {}
  void operator()(const Merge&) const {}
  void operator()(const Columns&) const {}
  void operator()(const Embedding&) const {}
};

class StageWalk {
 public:
  StageWalk(const Pass& pass, int64_t probes, DType dtype, const Stage& stage,
            const CotangentObserver& observer, LinearOutputs* known)
      : pass_(pass),
        probes_(probes),
        dtype_(dtype),
        stage_(stage),
        observer_(observer),
        known_(known),
        values_(stage.nodes.size()),
        cotangents_(stage.nodes.size()) {}

  double run(const Values& inputs, Cotangents& cotangents);

 private:
  bool take_outputs(Cotangents& cotangents);
  void compute_values(const Values& inputs);
  Value linear_output(int op_index, const Value& x);
  void step(size_t i, Cotangents& cotangents);
  void linear(size_t i, const Cotangent& dy);
  void columns(const Node& node, const Cotangent& dy);
  void pull_back(const Node& node, const Cotangent& dy);

  const Node& node(int i) const { return stage_.nodes[static_cast<size_t>(i)]; }
  Value& value(int i) { return values_[static_cast<size_t>(i)]; }
  Cotangent& cotangent(int i) { return cotangents_[static_cast<size_t>(i)]; }
  bool wanted(int i) const { return plan_.wanted[static_cast<size_t>(i)]; }
  Cotangent allocate(int64_t rows, int64_t cols) const;
  Cotangent allocate_for(const Node& node) const {
    return allocate(probes_ * pass_.batch.rows(node.rows), node.cols);
  }
  void add(Cotangent contribution, Cotangent& sum) const;

  const Pass& pass_;
  int64_t probes_;
  DType dtype_;
  const Stage& stage_;
  const CotangentObserver& observer_;
  LinearOutputs* known_;
  Plan plan_;
  std::vector<Value> values_;
  std::vector<Cotangent> cotangents_;
  double flops_ = 0;
};

Cotangent StageWalk::allocate(int64_t rows, int64_t cols) const {
  Cotangent g{pass_.workspace.allocate(dtype_, rows, cols), {}};
  g.view = {g.block->data(), dtype_, rows, cols, cols};
  return g;
}

// In place where nobody else holds the memory: the two inputs of an Add share theirs.
void StageWalk::add(Cotangent contribution, Cotangent& sum) const {
  if (sum.empty()) {
    sum = std::move(contribution);
    return;
  }
  const auto shared = [](const Cotangent& g) { return g.block.use_count() > 1; };
  if (shared(sum)) std::swap(sum, contribution);
  Cotangent total = shared(sum) ? allocate(sum.view.rows, sum.view.cols) : sum;
  if (!pass_.workspace.dry()) ops::add::sum(pass_.ops, sum.view, contribution.view, total.view);
  sum = std::move(total);
}

bool StageWalk::take_outputs(Cotangents& cotangents) {
  std::vector<bool> has_cotangent(stage_.nodes.size());
  for (const auto& [name, output] : stage_.outputs) {
    auto taken = cotangents.extract(name);
    if (taken.empty() || taken.mapped().empty() || taken.mapped().view.rows == 0) continue;
    const MatrixView& g = taken.mapped().view;
    const Node& from = node(output);
    QSWEEP_CHECK(g.dtype == dtype_ && g.rows == probes_ * pass_.batch.rows(from.rows) && g.cols == from.cols,
                 "{}: cotangent of \"{}\" is {} [{}, {}]", stage_.name, name, qsweep::name(g.dtype), g.rows,
                 g.cols);
    has_cotangent[static_cast<size_t>(output)] = true;
    add(std::move(taken.mapped()), cotangent(output));
  }
  plan_ = make_plan(stage_, pass_.batch, has_cotangent, static_cast<bool>(observer_));
  return std::find(plan_.reached.begin(), plan_.reached.end(), true) != plan_.reached.end();
}

Value StageWalk::linear_output(int op_index, const Value& x) {
  if (known_ != nullptr)
    if (auto taken = known_->extract(op_index); !taken.empty()) return std::move(taken.mapped());
  const LinearOp& op = pass_.linear_ops[static_cast<size_t>(op_index)];
  return Forward(pass_).linear(op, LinearWeights(pass_, op), x);
}

void StageWalk::compute_values(const Values& inputs) {
  Forward forward(pass_);
  for (size_t i = 0; i < stage_.nodes.size(); ++i) {
    if (!plan_.needed[i]) continue;
    const Node& node = stage_.nodes[i];
    std::vector<const Value*> in;
    for (const int input : node.inputs) in.push_back(&value(input));
    if (const auto* input = std::get_if<Input>(&node.operation)) {
      values_[i] = inputs.at(input->name);
    } else if (const auto* linear_node = std::get_if<Linear>(&node.operation)) {
      values_[i] = linear_output(linear_node->op, *in[0]);
    } else {
      values_[i] = forward.evaluate(node, in);
    }
    for (const int input : node.inputs) {
      const auto from = static_cast<size_t>(input);
      if (plan_.last_reader[from] == i && plan_.last_vjp[from] == kNever) values_[from] = {};
    }
  }
}

void StageWalk::linear(size_t i, const Cotangent& dy) {
  const int op_index = std::get<Linear>(stage_.nodes[i].operation).op;
  const int from = stage_.nodes[i].inputs[0];
  const trace::Span span("linear", pass_.linear_ops[static_cast<size_t>(op_index)].name);
  if (observer_) observer_(op_index, value(from).matrix, values_[i].matrix, dy.view);
  if (!wanted(from)) return;
  const LinearOp& op = pass_.linear_ops[static_cast<size_t>(op_index)];
  const LinearWeights weights(pass_, op);
  const MatrixView w = weights.for_rows(dtype_);
  flops_ += 2.0 * static_cast<double>(op.weight.elements()) * static_cast<double>(dy.view.rows);
  Cotangent dx = allocate_for(node(from));
  if (!pass_.workspace.dry()) ops::linear::vjp(pass_.ops, dy.view, w, dx.view);
  add(std::move(dx), cotangent(from));
}

// Into its columns of the source's cotangent, which is zero where no node reads.
void StageWalk::columns(const Node& node, const Cotangent& dy) {
  const int from = node.inputs[0];
  Cotangent& source = cotangent(from);
  if (source.empty() || source.block.use_count() > 1) {
    Cotangent zeros = allocate_for(this->node(from));
    if (!pass_.workspace.dry())
      kernels::clear(pass_.ops.device(), zeros.view.data,
                     zeros.view.rows * zeros.view.cols * size_bytes(dtype_));
    add(std::move(zeros), source);
  }
  const MatrixView part = source.view.cols_at(std::get<Columns>(node.operation).first, node.cols);
  if (!pass_.workspace.dry()) ops::add::sum(pass_.ops, part, dy.view, part);
}

void StageWalk::pull_back(const Node& node, const Cotangent& dy) {
  const trace::Span span("row kernels", graph::name(node.operation));
  std::vector<const Value*> in;
  std::vector<Cotangent> dx;
  const bool scatter = std::holds_alternative<Scatter>(node.operation);
  for (const int input : node.inputs) {
    in.push_back(&value(input));
    QSWEEP_CHECK(wanted(input) || scatter, "{}: an op with an input that needs no cotangent", stage_.name);
    dx.push_back(wanted(input) ? allocate_for(this->node(input)) : Cotangent{});
  }
  if (const auto* attention = std::get_if<Attention>(&node.operation))
    pass_.workspace.pass_through(ops::attention::vjp_scratch_bytes(
        pass_.ops, attention->spec, pass_.batch.segments(attention->segments), probes_, dtype_));
  if (!pass_.workspace.dry()) std::visit(Pullback{pass_, probes_, in, dy.view, dx}, node.operation);
  for (size_t k = 0; k < dx.size(); ++k)
    if (!dx[k].empty()) add(std::move(dx[k]), cotangent(node.inputs[k]));
}

void StageWalk::step(size_t i, Cotangents& cotangents) {
  const Node& node = stage_.nodes[i];
  Cotangent dy = std::move(cotangents_[i]);
  if (const auto* input = std::get_if<Input>(&node.operation)) {
    add(std::move(dy), cotangents[input->name]);
  } else if (std::holds_alternative<Linear>(node.operation)) {
    linear(i, dy);
  } else if (std::holds_alternative<Add>(node.operation)) {
    for (const int summand : node.inputs)
      if (wanted(summand)) add(dy, cotangent(summand));
  } else if (std::holds_alternative<Columns>(node.operation)) {
    columns(node, dy);
  } else if (const auto* merge = std::get_if<Merge>(&node.operation)) {
    const MatrixView& g = dy.view;
    QSWEEP_CHECK(g.stride == g.cols, "rows that were merged must be dense");
    const int64_t cols = g.cols / merge->factor;
    const MatrixView parts{g.data, dtype_, g.rows * merge->factor, cols, cols};
    add({std::move(dy.block), parts}, cotangent(node.inputs[0]));
  } else {
    pull_back(node, dy);
  }
}

double StageWalk::run(const Values& inputs, Cotangents& cotangents) {
  if (!take_outputs(cotangents)) return 0;
  compute_values(inputs);
  for (size_t i = stage_.nodes.size(); i-- > 0;) {
    if (plan_.reached[i]) step(i, cotangents);
    cotangents_[i] = {};
    if (plan_.last_vjp[i] == i) values_[i] = {};
    for (const int input : stage_.nodes[i].inputs)
      if (plan_.last_vjp[static_cast<size_t>(input)] == i) value(input) = {};
  }
  return flops_;
}

}  // namespace

void Backward::run(const Stage& stage, const Values& inputs, Cotangents& cotangents,
                   const CotangentObserver& observer, LinearOutputs* known) {
  flops_ += StageWalk(pass_, probes_, dtype_, stage, observer, known).run(inputs, cotangents);
}

}  // namespace qsweep::graph
