// Describes a stage and finds its weights by their place: the stage "model.layers.3" and the part
// "self_attn.q_proj" are the op "model.layers.3.self_attn.q_proj" with the tensors ".weight" and ".bias".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "models/weights.h"

namespace qsweep::models {

// Heads that see all of their segment.
ops::attention::Spec both_ways(int64_t n_heads, int64_t head_dim);

enum class Bias : bool { none, added };

using graph::NormWeight;

class Scope : public graph::Builder {
 public:
  // `ops` is the model's list; linear() appends to it.
  // caches: what attention reads of the stage is an op.
  Scope(const Weights& weights, std::vector<graph::LinearOp>& ops, std::string stage, graph::Tower tower,
        std::optional<int64_t> block = {}, bool caches = false);

  // A linear op of the value's columns to `out`. Its role is the part's last word; those that servers fuse
  // (q, k and v; gate and up) get a common group.
  Value linear(Value x, const std::string& part, int64_t out, Bias bias = Bias::none);
  // The same of a convolution whose kernel covers each of its inputs once: `kernel` is the shape of its
  // weight.
  Value patch_linear(Value x, const std::string& part, const Shape& kernel, Bias bias = Bias::none);
  // The same where the checkpoint has the weight as [in, out], in the tensor `part` + "_weight".
  Value transposed_linear(Value x, const std::string& part, int64_t out);
  // The stage is the op itself: an lm_head with this weight.
  Value head(Value x, graph::StoredWeight weight);

  // Over each row; the empty part is the stage itself.
  Value rms_norm(Value x, const std::string& part, double eps, NormWeight form = NormWeight::as_stored);
  Value layer_norm(Value x, const std::string& part, double eps);
  // Over each head of a row; all have the same weight.
  Value head_norm(Value x, const std::string& part, int64_t head_dim, double eps,
                  NormWeight form = NormWeight::as_stored);

  // Keys and values as they are cached: normed and rotated.
  Value attention(Value q, Value k, Value v, const ops::attention::Spec& spec, const std::string& segments,
                  const std::string& spans = "", std::optional<TensorView> sinks = {});

  TensorView weight(const std::string& name, const Shape& shape) const;  // "norm1.bias"
  std::string name(const std::string& part) const { return prefix_ + "." + part; }
  // An op that is no node yet.
  graph::LinearOp op(const std::string& part, graph::StoredWeight weight) const;
  const Weights& weights() const { return weights_; }

 private:
  static std::string tensor(const std::string& part, const char* name);
  TensorView norm_weight(const std::string& part, int64_t width, NormWeight form) const;
  Value push_linear(Value x, const std::string& part, graph::StoredWeight weight, Bias bias);

  const Weights& weights_;
  std::string prefix_;
  graph::Tower tower_;
  std::optional<int64_t> block_;
  bool caches_;
};

}  // namespace qsweep::models
