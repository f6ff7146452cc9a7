// The parameters of a linear op, in the form that a product asks for. A cache has none.
#pragma once

#include "graph/graph.h"
#include "graph/pass.h"
#include "graph/scratch.h"

namespace qsweep::graph {

class LinearWeights {
 public:
  LinearWeights() = default;
  LinearWeights(const Pass& pass, const LinearOp& op);

  // The weight [out, in] for products with rows of this dtype: the checkpoint's own memory where the weight
  // is plain and the products take it as it is, else a copy in the pass's workspace, made when it is first
  // asked for. A weight that is not plain is unpacked there once, for all that is made of it.
  MatrixView for_rows(DType dtype) const;
  // For so many rows of values (ops::linear::forward).
  MatrixView for_values(int64_t rows) const;
  MatrixView f32() const;
  const TensorView& stored() const { return stored_; }
  const float* bias() const { return static_cast<const float*>(bias_.data()); }

 private:
  MatrixView in_place() const;
  MatrixView for_f32(int64_t rows, kernels::F32Rows how) const;

  const Pass* pass_ = nullptr;
  Scratch unpacked_;  // empty: the weight is plain
  TensorView stored_;
  int64_t out_ = 0, in_ = 0;
  mutable Scratch f32_, bf16_;  // empty until they are asked for
  kernels::Buffer bias_;        // empty: none
};

// A small parameter vector in f32.
kernels::Buffer load_vector(const Pass& pass, const StoredWeight& vector);

// What an attention computes, with its sinks where the device reads them.
struct LoadedAttention {
  kernels::Buffer sinks;
  ops::attention::Spec spec;
};
LoadedAttention with_sinks(const Pass& pass, const Attention& node);

}  // namespace qsweep::graph
