#include "graph/fork.h"

#include <algorithm>
#include <numeric>

#include "ops/linear.h"

namespace qsweep::graph {
namespace {

using kernels::DeltaView;

struct Scratch {
  std::shared_ptr<Workspace::Block> block;
  DeltaView view;

  Matrix<float> f32() const { return view.as<float>(); }
};

Scratch scratch(const Pass& pass, DType dtype, int64_t rows, int64_t cols) {
  auto block = pass.workspace.allocate(dtype, rows, cols);
  const DeltaView view{block->data(), dtype, rows, cols, cols};
  return {std::move(block), view};
}

// The matrix in the dtype of the products: itself, or a rounded copy.
Scratch in_dtype(const Pass& pass, DType dtype, Scratch m) {
  if (dtype == DType::f32) return m;
  Scratch rounded = scratch(pass, dtype, m.view.rows, m.view.cols);
  if (!pass.workspace.dry()) kernels::convert(pass.ops.threads(), m.f32(), rounded.view);
  return rounded;
}

}  // namespace

DeltaWeight delta_weight(const Pass& pass, const TensorView& checkpoint, const Matrix<const float>& f32,
                         DType delta_dtype) {
  if (delta_dtype == DType::f32) return {nullptr, kernels::view_of(f32)};
  if (checkpoint.dtype == DType::bf16)
    return {nullptr, {const_cast<std::byte*>(checkpoint.data), DType::bf16, f32.rows, f32.cols, f32.cols}};
  Scratch rounded = scratch(pass, delta_dtype, f32.rows, f32.cols);
  if (!pass.workspace.dry()) kernels::convert(pass.ops.threads(), f32, rounded.view);
  return {rounded.block, rounded.view};
}

void own_error(const Pass& pass, const Fork& fork, Matrix<const float> x, const Matrix<const float>& weight,
               DeltaView delta_weight, Matrix<float> error) {
  const Threads threads = pass.ops.threads();
  const DType dtype = delta_weight.dtype;
  const bool dry = pass.workspace.dry();
  const DeltaView out{error.data, DType::f32, error.rows, error.cols, error.stride};

  Scratch quantized = scratch(pass, DType::f32, x.rows, x.cols);
  if (!dry) quant::fake_quantize_input(threads, *fork.format, x, fork.range, quantized.f32());
  {
    Scratch difference = scratch(pass, DType::f32, x.rows, x.cols);
    if (!dry) kernels::subtract(threads, quantized.f32(), x, difference.f32());
    difference = in_dtype(pass, dtype, std::move(difference));
    if (!dry) ops::linear::delta(pass.ops, difference.view, delta_weight, out);
  }
  quantized = in_dtype(pass, dtype, std::move(quantized));
  Scratch weight_error = scratch(pass, DType::f32, weight.rows, weight.cols);
  if (!dry) {
    quant::fake_quantize_weight(threads, *fork.format, weight, std::nullopt, weight_error.f32());
    kernels::subtract(threads, weight_error.f32(), weight, weight_error.f32());
  }
  weight_error = in_dtype(pass, dtype, std::move(weight_error));
  if (!dry) ops::linear::delta(pass.ops, quantized.view, weight_error.view, out, /*accumulate=*/true);
}

scores::LocalStats input_stats(Threads threads, Matrix<const float> x) {
  scores::LocalStats stats;
  if (x.empty()) return stats;
  std::vector<float> low(static_cast<size_t>(x.rows)), high(low.size());
  kernels::row_min_max(threads, x, low, high);
  stats.input_min = *std::min_element(low.begin(), low.end());
  stats.input_max = *std::max_element(high.begin(), high.end());
  stats.input_sum_squares = sum_of_squares(threads, x);
  stats.input_elements = x.rows * x.cols;
  stats.rows = x.rows;
  return stats;
}

double sum_of_squares(Threads threads, Matrix<const float> x) {
  std::vector<double> norms(static_cast<size_t>(x.rows));
  kernels::row_squared_norm(threads, kernels::view_of(x), norms);
  return std::accumulate(norms.begin(), norms.end(), 0.0);
}

}  // namespace qsweep::graph
