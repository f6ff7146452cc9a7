#include "graph/linear_weights.h"

#include "base/trace.h"

namespace qsweep::graph {

using kernels::DeltaView;

LinearWeights::LinearWeights(const Pass& pass, const LinearOp& op)
    : pass_(&pass), stored_(op.weight), out_(op.out_features()), in_(op.in_features()) {
  if (op.bias) bias_ = load_vector(pass, *op.bias);
}

DeltaView LinearWeights::in_place() const {
  return {const_cast<std::byte*>(stored_.data), stored_.dtype, out_, in_, in_};
}

DeltaView LinearWeights::for_rows(DType rows) const {
  const kernels::Gemm& gemm = pass_->ops.gemm;
  if (gemm.native_bf16() && stored_.dtype == DType::bf16) return in_place();
  if (gemm.operand_dtype(rows) == DType::f32) return f32();
  if (bf16_.view.data == nullptr) {
    const DeltaView wide = f32();
    bf16_ = Scratch(pass_->workspace, DType::bf16, wide.rows, wide.cols);
    if (!pass_->workspace.dry()) kernels::convert(pass_->ops.threads(), wide.as<float>(), bf16_.view);
  }
  return bf16_.view;
}

DeltaView LinearWeights::f32() const {
  if (stored_.dtype == DType::f32) return in_place();
  if (f32_.view.data == nullptr) {
    const trace::Span span("widening");
    f32_ = Scratch(pass_->workspace, DType::f32, out_, in_);
    if (!pass_->workspace.dry()) kernels::to_f32(pass_->ops.threads(), stored_, f32_.f32());
  }
  return f32_.view;
}

Tensor load_vector(const Pass& pass, const TensorView& vector) {
  Tensor values(DType::f32, {1, vector.elements()});
  kernels::to_f32(pass.ops.threads(), vector, values.matrix<float>());
  return values;
}

}  // namespace qsweep::graph
