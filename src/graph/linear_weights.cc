#include "graph/linear_weights.h"

#include <limits>

#include "base/trace.h"

namespace qsweep::graph {
namespace {

Scratch unpacked(Workspace& workspace, const StoredWeight& weight, int64_t rows, int64_t cols) {
  Scratch plain(workspace, weight.dtype, rows, cols);
  if (workspace.dry()) return plain;
  const trace::Span span("unpacking");
  std::vector<TensorView> parts;
  for (const TensorView& part : weight.parts()) parts.push_back(workspace.weights().at(part));
  unpack(workspace.device(), weight, parts, plain.view);
  return plain;
}

}  // namespace

LinearWeights::LinearWeights(const Pass& pass, const LinearOp& op)
    : pass_(&pass), out_(op.out_features()), in_(op.in_features()) {
  if (op.cache) return;  // has none
  if (op.bias) bias_ = load_vector(pass, *op.bias);
  if (op.weight.is_plain()) {
    stored_ = op.weight;
    if (!pass.workspace.dry()) stored_ = pass.workspace.weights().at(stored_);
    return;
  }
  unpacked_ = unpacked(pass.workspace, op.weight, out_, in_);
  stored_ = {op.weight.dtype, {out_, in_}, static_cast<const std::byte*>(unpacked_.view.data)};
}

MatrixView LinearWeights::in_place() const {
  return {const_cast<std::byte*>(stored_.data), stored_.dtype, out_, in_, in_};
}

MatrixView LinearWeights::for_values(int64_t rows) const { return for_f32(rows, pass_->ops.f32_rows); }

MatrixView LinearWeights::for_f32(int64_t rows, kernels::F32Rows how) const {
  const bool as_it_is = stored_.dtype == DType::bf16 && pass_->ops.gemm.takes_bf16_weights(rows, how);
  return as_it_is ? in_place() : f32();
}

MatrixView LinearWeights::for_rows(DType dtype) const {
  constexpr auto kMany = std::numeric_limits<int64_t>::max();
  if (pass_->ops.gemm.operand_dtype(dtype) == DType::f32)
    return for_f32(kMany, kernels::F32Rows::in_three_parts);
  if (stored_.dtype == DType::bf16) return in_place();
  if (bf16_.view.data == nullptr) {
    const MatrixView wide = f32();
    bf16_ = Scratch(pass_->workspace, DType::bf16, wide.rows, wide.cols);
    if (!pass_->workspace.dry()) kernels::convert(pass_->ops.device(), wide.as<float>(), bf16_.view);
  }
  return bf16_.view;
}

MatrixView LinearWeights::f32() const {
  if (stored_.dtype == DType::f32) return in_place();
  if (f32_.view.data == nullptr) {
    const trace::Span span("widening");
    f32_ = Scratch(pass_->workspace, DType::f32, out_, in_);
    if (!pass_->workspace.dry()) kernels::to_f32(pass_->ops.device(), stored_, f32_.f32());
  }
  return f32_.view;
}

kernels::Buffer load_vector(const Pass& pass, const StoredWeight& vector) {
  const kernels::Device device = pass.ops.device();
  const int64_t n = vector.elements();
  kernels::Buffer values(device, DType::f32, 1, n), plain;
  const TensorView part = vector.parts().front();
  const kernels::OnDevice there(
      device, std::span<const std::byte>(part.data, static_cast<size_t>(part.size_bytes())));
  TensorView stored{vector.dtype, {n}, there.elements().data()};
  if (!vector.is_plain()) {
    plain = kernels::Buffer(device, vector.dtype, 1, n);
    unpack(device, vector, {{part.dtype, part.shape, stored.data}}, {plain.data(), vector.dtype, 1, n, n});
    stored.data = static_cast<const std::byte*>(plain.data());
  }
  kernels::to_f32(device, stored, values.matrix<float>());
  return values;
}

LoadedAttention with_sinks(const Pass& pass, const Attention& node) {
  LoadedAttention loaded{{}, node.spec};
  if (!node.sinks) return loaded;
  loaded.sinks = load_vector(pass, *node.sinks);
  loaded.spec.sinks = loaded.sinks.elements<float>();
  return loaded;
}

}  // namespace qsweep::graph
