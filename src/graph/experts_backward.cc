#include "graph/experts_backward.h"

#include <algorithm>

#include "base/trace.h"
#include "graph/experts.h"
#include "graph/linear_weights.h"
#include "kernels/probes.h"
#include "ops/add.h"
#include "ops/gated.h"
#include "ops/gather.h"
#include "ops/linear.h"

namespace qsweep::graph {
namespace {

using kernels::RowTerm;

class ExpertsPullback {
 public:
  ExpertsPullback(const ExpertsBackward& backward, Matrix<const float> x, MatrixView dy, bool wanted)
      : b_(backward),
        experts_(std::get<Experts>(backward.node.operation)),
        x_(x),
        dy_(dy),
        routing_(backward.pass, experts_, x) {
    if (wanted) sum_ = Scratch(workspace(), DType::f32, dy.rows, x.cols);
    if (wanted) clear_rows(b_.pass, sum_.f32());
    held_ = workspace().hold(dy.rows * experts_.rule.chosen * int64_t{sizeof(double)});
    gradients_.resize(dry() ? 0 : static_cast<size_t>(dy.rows * experts_.rule.chosen));
  }

  Scratch run() {
    for (size_t e = 0; e < experts_.experts.size(); ++e)
      if (!routing_.rows_of(e).empty()) expert(e);
    if (wanted()) router();
    return std::move(sum_);
  }

 private:
  Workspace& workspace() const { return b_.pass.workspace; }
  bool dry() const { return workspace().dry(); }
  kernels::Device device() const { return b_.pass.ops.device(); }
  bool wanted() const { return sum_.view.data != nullptr; }

  void expert(size_t e) {
    const std::vector<RoutedRow>& rows = routing_.rows_of(e);
    const auto& [gate_op, up_op, down_op] = experts_.experts[e];
    const Value x = gather_rows(b_.pass, x_, rows);
    const Value gate = b_.linear(gate_op, x), up = b_.linear(up_op, x);
    const Value hidden = gated_rows(b_.pass, experts_.form, gate.matrix, up.matrix);
    const Value result = b_.linear(down_op, hidden);
    const Scratch dresult = gather(e, rows, result.matrix);
    tell(down_op, hidden, result, dresult.view, rows);
    const Scratch dhidden = through(down_op, dresult.view);
    const Scratch dgate = like(gate), dup = like(up);
    if (!dry())
      ops::gated::vjp(b_.pass.ops, experts_.form, gate.matrix, up.matrix, dhidden.view, b_.probes, dgate.view,
                      dup.view);
    tell(gate_op, x, gate, dgate.view, rows);
    tell(up_op, x, up, dup.view, rows);
    if (!wanted()) return;
    add(through(gate_op, dgate.view).view, rows);
    add(through(up_op, dup.view).view, rows);
  }

  Scratch like(const Value& value) const {
    return {workspace(), b_.dtype, b_.probes * value.matrix.rows, value.matrix.cols};
  }

  // Into the sum over experts.
  void add(MatrixView g, const std::vector<RoutedRow>& rows) const {
    std::vector<RowTerm> terms;
    for (int64_t p = 0; p < b_.probes; ++p)
      for (const RoutedRow& r : rows)
        terms.push_back({.from = std::ssize(terms), .to = p * x_.rows + r.row, .scale = 1});
    add_rows(b_.pass, terms, g, sum_.f32());
  }

  // The gradients at the expert's result: those of its rows times its weight. Their products with the result
  // are the gradients at the weight.
  Scratch gather(size_t e, const std::vector<RoutedRow>& rows, Matrix<const float> result) {
    Scratch g(workspace(), b_.dtype, b_.probes * result.rows, result.cols);
    const Scratch weighted(workspace(), DType::f32, g.view.rows, g.view.cols);
    const Scratch products(workspace(), DType::f64, g.view.rows, 1);
    if (dry()) return g;
    std::vector<int64_t> source;
    std::vector<RowTerm> terms;
    for (int64_t p = 0; p < b_.probes; ++p)
      for (const RoutedRow& r : rows) {
        terms.push_back({std::ssize(terms), std::ssize(terms), static_cast<float>(r.weight)});
        source.push_back(p * x_.rows + r.row);
      }
    const kernels::RowBlock whole{
        .rows = g.view.rows, .parent = 0, .in = {0, kernels::kAbsent, kernels::kAbsent}, .out = 0};
    ops::gather::delta(b_.pass.ops, {&whole, 1}, source, dy_, g.view);
    if (wanted()) {
      kernels::row_products(device(), g.view, result, products.elements<double>());
      note(e, rows, kernels::HostCopy<double>(device(), products.elements<double>()).elements());
    }
    clear_rows(b_.pass, weighted.f32());
    add_rows(b_.pass, terms, g.view, weighted.f32());
    kernels::convert(device(), weighted.f32(), g.view);
    return g;
  }

  void note(size_t e, const std::vector<RoutedRow>& rows, std::span<const double> products) {
    for (int64_t p = 0; p < b_.probes; ++p)
      for (size_t i = 0; i < rows.size(); ++i) {
        const auto shares = routing_.shares(rows[i].row);
        const auto place = std::ranges::find(shares, static_cast<int32_t>(e), &ops::router::Share::expert);
        gradients_of(p, rows[i].row)[static_cast<size_t>(place - shares.begin())] =
            products[static_cast<size_t>(p) * rows.size() + i];
      }
  }
  std::span<double> gradients_of(int64_t probe, int64_t row) {
    const auto chosen = static_cast<size_t>(experts_.rule.chosen);
    return std::span(gradients_).subspan(static_cast<size_t>(probe * x_.rows + row) * chosen, chosen);
  }

  void tell(int op, const Value& x, const Value& y, MatrixView g, const std::vector<RoutedRow>& rows) const {
    if (!b_.observer) return;
    b_.observer({op, x.matrix, y.matrix, g, first_rows(b_.pass.batch, b_.node.rows, rows)});
  }

  // g W.
  Scratch through(int op_index, MatrixView g) const {
    const LinearOp& op = b_.pass.linear_ops[static_cast<size_t>(op_index)];
    const trace::Span span("linear", op.name);
    const LinearWeights weights(b_.pass, op);
    const MatrixView w = weights.for_rows(b_.dtype);
    b_.flops += 2.0 * static_cast<double>(op.weight.elements()) * static_cast<double>(g.rows);
    Scratch dx(workspace(), b_.dtype, g.rows, op.in_features());
    if (!dry()) ops::linear::vjp(b_.pass.ops, g, w, dx.view);
    return dx;
  }

  void router() {
    const trace::Span span("router", experts_.router.name);
    const auto n = std::ssize(experts_.experts);
    const LinearWeights weights(b_.pass, experts_.router);
    const Scratch dlogits(workspace(), DType::f32, dy_.rows, n),
        dx(workspace(), DType::f32, dy_.rows, x_.cols);
    const MatrixView w = weights.f32();
    if (dry()) return;
    std::vector<float> found(static_cast<size_t>(dy_.rows * n));
    for (int64_t p = 0; p < b_.probes; ++p)
      for (int64_t row = 0; row < x_.rows; ++row)
        ops::router::vjp(
            experts_.rule, routing_.logits(row), routing_.shares(row), gradients_of(p, row),
            std::span(found).subspan(static_cast<size_t>((p * x_.rows + row) * n), static_cast<size_t>(n)));
    kernels::copy_to_device(device(), dlogits.view.data, found.data(),
                            std::ssize(found) * int64_t{sizeof(float)});
    ops::linear::vjp(b_.pass.ops, dlogits.view, w, dx.view);
    ops::add::sum(b_.pass.ops, sum_.view, dx.view, sum_.view);
  }

  const ExpertsBackward& b_;
  const Experts& experts_;
  Matrix<const float> x_;
  MatrixView dy_;
  Routing routing_;
  Scratch sum_;                    // empty where it is not wanted
  std::vector<double> gradients_;  // [probes, rows, chosen], at the weights
  std::shared_ptr<void> held_;
};

}  // namespace

Scratch experts_vjp(const ExpertsBackward& backward, Matrix<const float> x, MatrixView dy, bool wanted) {
  return ExpertsPullback(backward, x, dy, wanted).run();
}

}  // namespace qsweep::graph
