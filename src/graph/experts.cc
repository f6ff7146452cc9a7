#include "graph/experts.h"

#include <algorithm>

#include "base/trace.h"
#include "graph/linear_weights.h"
#include "ops/gated.h"
#include "ops/gather.h"
#include "ops/linear.h"

namespace qsweep::graph {
namespace {

std::vector<float> router_logits(const Pass& pass, const LinearOp& router, Matrix<const float> x) {
  const trace::Span span("router", router.name);
  const LinearWeights weights(pass, router);
  const Scratch logits(pass.workspace, DType::f32, x.rows, router.out_features());
  const MatrixView w = weights.for_values(x.rows);
  if (pass.workspace.dry()) return {};
  ops::linear::forward(pass.ops, x, w, weights.bias(), logits.f32());
  const kernels::HostCopy<float> found(pass.ops.device(), logits.elements<float>());
  return {found.elements().begin(), found.elements().end()};
}

}  // namespace

Routing::Routing(const Pass& pass, const Experts& node, Matrix<const float> x)
    : logits_(router_logits(pass, node.router, x)), by_expert_(node.experts.size()) {
  for (int64_t row = 0; row < x.rows; ++row) {
    if (pass.workspace.dry()) {
      for (size_t e = 0; e < static_cast<size_t>(node.rule.chosen); ++e)
        by_expert_[e].push_back({.row = row});
      continue;
    }
    shares_.push_back(ops::router::choose(node.rule, logits(row)));
    for (const auto& [expert, weight] : shares_.back())
      by_expert_[static_cast<size_t>(expert)].push_back({row, weight});
  }
}

std::vector<int64_t> first_rows(const Batch& batch, Rows kind, std::span<const RoutedRow> rows) {
  std::vector<int64_t> first;
  for (const int64_t row : batch.first_rows(kind))
    first.push_back(std::ranges::lower_bound(rows, row, {}, &RoutedRow::row) - rows.begin());
  return first;
}

Value new_value(const Pass& pass, int64_t rows, int64_t cols) {
  Value v{pass.workspace.allocate(DType::f32, rows, cols), {}};
  v.matrix = {static_cast<float*>(v.block->data()), rows, cols};
  return v;
}

Value gather_rows(const Pass& pass, Matrix<const float> x, std::span<const RoutedRow> rows) {
  Value y = new_value(pass, std::ssize(rows), x.cols);
  if (pass.workspace.dry()) return y;
  std::vector<int64_t> source;
  for (const RoutedRow& r : rows) source.push_back(r.row);
  ops::gather::forward(pass.ops, source, x, y.matrix);
  return y;
}

Value gated_rows(const Pass& pass, const ops::gated::Form& form, Matrix<const float> gate,
                 Matrix<const float> up) {
  Value y = new_value(pass, gate.rows, gate.cols);
  if (!pass.workspace.dry()) ops::gated::forward(pass.ops, form, gate, up, y.matrix);
  return y;
}

void clear_rows(const Pass& pass, Matrix<float> y) {
  if (!pass.workspace.dry())
    kernels::clear(pass.ops.device(), y.data, y.rows * y.cols * int64_t{sizeof(float)});
}

void add_rows(const Pass& pass, std::span<const kernels::RowTerm> terms, MatrixView x, Matrix<float> y) {
  if (pass.workspace.dry()) return;
  const kernels::OnDevice there(pass.ops.device(), terms);
  kernels::add_rows(pass.ops.device(), there.elements(), x, y);
}

}  // namespace qsweep::graph
