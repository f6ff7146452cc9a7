#include "graph/backward.h"

#include <algorithm>

#include "base/trace.h"
#include "graph/experts_backward.h"
#include "ops/activation.h"
#include "ops/add.h"
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

std::vector<bool> wanted_nodes(const Stage& stage, const Batch& batch, bool observed) {
  std::vector<bool> wanted(stage.nodes.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Node& node = stage.nodes[i];
    const auto of_input = [&](int input) { return wanted[static_cast<size_t>(input)]; };
    if (batch.rows(node.rows) == 0) continue;
    wanted[i] = std::holds_alternative<Input>(node.operation) || (observed && !ops_of(node).empty()) ||
                std::any_of(node.inputs.begin(), node.inputs.end(), of_input);
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
    const bool is_linear = is_op(node);
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
  friend struct Pullback;

  bool take_outputs(Cotangents& cotangents);
  void compute_values(const Values& inputs);
  Value linear_output(int op_index, const Value& x);

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
    } else if (is_op(node)) {
      values_[i] = linear_output(ops_of(node).front(), *in[0]);
    } else if (std::holds_alternative<Experts>(node.operation)) {
      values_[i] =
          forward.experts(node, *in[0], [&](int op, const Value& x) { return linear_output(op, x); });
    } else {
      values_[i] = forward.evaluate(node, in);
    }
    for (const int input : node.inputs) {
      const auto from = static_cast<size_t>(input);
      if (plan_.last_reader[from] == i && plan_.last_vjp[from] == kNever) values_[from] = {};
    }
  }
}

// From the cotangent of one node to those of its inputs.
struct Pullback {
  StageWalk& walk;
  size_t index;
  Cotangent dy;
  Cotangents& of_inputs;  // of the stage

  const Pass& pass = walk.pass_;
  const Node& node = walk.stage_.nodes[index];
  bool dry() const { return pass.workspace.dry(); }
  Matrix<const float> x(size_t i) const { return walk.value(node.inputs[i]).matrix; }

  // `op` fills the cotangents of the inputs, and takes so much beside them for a while.
  template <class Op>
  void computed(Op&& op, int64_t scratch_bytes = 0) {
    for (const int input : node.inputs)
      QSWEEP_CHECK(walk.wanted(input), "{}: an op with an input that needs no cotangent", walk.stage_.name);
    wanted_computed(op, scratch_bytes);
  }
  // The same for those that are wanted; the others have no data.
  template <class Op>
  void wanted_computed(Op&& op, int64_t scratch_bytes = 0) {
    const trace::Span span("row kernels", graph::name(node.operation));
    std::vector<Cotangent> dx;
    std::vector<MatrixView> views;
    for (const int input : node.inputs) {
      dx.push_back(walk.wanted(input) ? walk.allocate_for(walk.node(input)) : Cotangent{});
      views.push_back(dx.back().view);
    }
    pass.workspace.pass_through(scratch_bytes);
    if (!dry()) op(views);
    for (size_t k = 0; k < dx.size(); ++k)
      if (!dx[k].empty()) walk.add(std::move(dx[k]), walk.cotangent(node.inputs[k]));
  }
  using Views = const std::vector<MatrixView>&;

  void operator()(const Input& n) { walk.add(std::move(dy), of_inputs[n.name]); }
  void operator()(const Linear& n);
  void operator()(const Cache& n) {
    observe(n.op);
    if (walk.wanted(node.inputs[0])) walk.add(std::move(dy), walk.cotangent(node.inputs[0]));
  }
  void observe(int op) const {
    if (walk.observer_)
      walk.observer_({op, x(0), walk.values_[index].matrix, dy.view, pass.batch.first_rows(node.rows)});
  }
  void operator()(const Columns& n);
  void operator()(const Merge& n) {
    if (n.order == MergeOrder::channels_first)
      return computed([&](Views dx) { ops::merge::vjp(pass.ops, n.factor, dy.view, dx[0]); });
    const MatrixView& g = dy.view;
    QSWEEP_CHECK(g.stride == g.cols, "rows that were merged must be dense");
    const int64_t cols = g.cols / n.factor;
    const MatrixView parts{g.data, g.dtype, g.rows * n.factor, cols, cols};
    walk.add({std::move(dy.block), parts}, walk.cotangent(node.inputs[0]));
  }
  void operator()(const Add&) {
    for (const int summand : node.inputs)
      if (walk.wanted(summand)) walk.add(dy, walk.cotangent(summand));
  }
  void operator()(const RmsNorm& n) {
    computed([&](Views dx) {
      const kernels::Buffer w = load_vector(pass, n.weight);
      ops::rms_norm::vjp(pass.ops, x(0), {w.elements<float>(), n.eps, n.offset}, dy.view, walk.probes_,
                         dx[0]);
    });
  }
  void operator()(const LayerNorm& n) {
    computed([&](Views dx) {
      const kernels::Buffer w = load_vector(pass, n.weight);
      ops::layer_norm::vjp(pass.ops, x(0), {w.elements<float>(), {}, n.eps}, dy.view, walk.probes_, dx[0]);
    });
  }
  void operator()(const Rope& n) {
    computed([&](Views dx) {
      ops::rope::vjp(pass.ops, pass.batch.table(n.cos_sin), dy.view, walk.probes_, dx[0]);
    });
  }
  void operator()(const Attention& n) {
    const ops::attention::Layout layout = pass.batch.layout(n.segments, n.spans);
    computed(
        [&](Views dx) {
          ops::attention::vjp(pass.ops, with_sinks(pass, n).spec, layout, {x(0), x(1), x(2)}, dy.view,
                              walk.probes_, {dx[0], dx[1], dx[2]});
        },
        ops::attention::vjp_scratch_bytes(pass.ops, n.spec, layout, walk.probes_, walk.dtype_));
  }
  void operator()(const Gated& n) {
    computed([&](Views dx) {
      ops::gated::vjp(pass.ops, n.form, x(0), x(1), dy.view, walk.probes_, dx[0], dx[1]);
    });
  }
  void operator()(const Activation& n) {
    computed([&](Views dx) { ops::activation::vjp(pass.ops, n.kind, x(0), dy.view, walk.probes_, dx[0]); });
  }
  void operator()(const Join&) {
    computed([&](Views dx) { ops::join::vjp(pass.ops, dy.view, dx[0], dx[1]); });
  }
  void operator()(const Scatter& n) {
    wanted_computed([&](Views dx) {
      ops::scatter::vjp(pass.ops, pass.batch.index(n.index).within_batch, dy.view, walk.probes_, dx[0],
                        dx[1]);
    });
  }
  void operator()(const Scale& n) {
    computed([&](Views dx) { ops::scale::vjp(pass.ops, n.factor, dy.view, dx[0]); });
  }
  void operator()(const Mean& n) {
    computed([&](Views dx) { ops::mean::vjp(pass.ops, n.factor, dy.view, dx[0]); });
  }
  void operator()(const Gather& n) {
    computed([&](Views dx) {
      ops::gather::vjp(pass.ops, pass.batch.index(n.index).within_batch, dy.view, walk.probes_, dx[0]);
    });
  }
  void operator()(const Experts& n);
  // Nothing stands before them.
  void operator()(const Table&) {}
  void operator()(const Embedding&) {}
};

void Pullback::operator()(const Linear& n) {
  const int from = node.inputs[0];
  const LinearOp& op = pass.linear_ops[static_cast<size_t>(n.op)];
  const trace::Span span("linear", op.name);
  observe(n.op);
  if (!walk.wanted(from)) return;
  const LinearWeights weights(pass, op);
  const MatrixView w = weights.for_rows(walk.dtype_);
  walk.flops_ += 2.0 * static_cast<double>(op.weight.elements()) * static_cast<double>(dy.view.rows);
  Cotangent dx = walk.allocate_for(walk.node(from));
  if (!dry()) ops::linear::vjp(pass.ops, dy.view, w, dx.view);
  walk.add(std::move(dx), walk.cotangent(from));
}

void Pullback::operator()(const Experts&) {
  const int from = node.inputs[0];
  const std::function<Value(int, const Value&)> linear = [this](int op, const Value& input) {
    return walk.linear_output(op, input);
  };
  const Scratch sum = experts_vjp({.pass = pass,
                                   .node = node,
                                   .probes = walk.probes_,
                                   .dtype = walk.dtype_,
                                   .observer = walk.observer_,
                                   .linear = linear,
                                   .flops = walk.flops_},
                                  x(0), dy.view, walk.wanted(from));
  if (!walk.wanted(from)) return;
  Cotangent dx = walk.allocate_for(walk.node(from));
  if (!dry()) kernels::convert(pass.ops.device(), sum.f32(), dx.view);
  walk.add(std::move(dx), walk.cotangent(from));
}

// Into its columns of the source's cotangent, which is zero where no node reads.
void Pullback::operator()(const Columns& n) {
  const int from = node.inputs[0];
  Cotangent& source = walk.cotangent(from);
  if (source.empty() || source.block.use_count() > 1) {
    Cotangent zeros = walk.allocate_for(walk.node(from));
    if (!dry())
      kernels::clear(pass.ops.device(), zeros.view.data,
                     zeros.view.rows * zeros.view.cols * size_bytes(walk.dtype_));
    walk.add(std::move(zeros), source);
  }
  const MatrixView part = source.view.cols_at(n.first, node.cols);
  if (!dry()) ops::add::sum(pass.ops, part, dy.view, part);
}

double StageWalk::run(const Values& inputs, Cotangents& cotangents) {
  if (!take_outputs(cotangents)) return 0;
  compute_values(inputs);
  for (size_t i = stage_.nodes.size(); i-- > 0;) {
    if (plan_.reached[i])
      std::visit(Pullback{*this, i, std::move(cotangents_[i]), cotangents}, stage_.nodes[i].operation);
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
