// Where a family's tensors stand in a checkpoint.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "models/packing.h"

namespace qsweep::models {

// Names that begin with `canonical` may begin with `stored` in a checkpoint instead. Programs that wrote one
// tower anew have left mixtures, so every tensor is looked for under all rows that fit its name.
struct NameRow {
  std::string_view canonical, stored;
};

// The same linear map of all experts of a layer, in one tensor.
struct Stacked {
  int64_t experts = 0;
  int64_t outputs = 0, inputs = 0;  // of each; the outputs of all maps that stand together, as gate and up
  bool transposed = false;          // [experts, inputs, outputs]
};
// Of one expert the outputs first, first + every, first + 2 every and so on. Of gate and up together, one
// behind the other: {.first = 0, .count = I} and {.first = I, .count = I}; in turns: {.first = 0, .every = 2}
// and {.first = 1, .every = 2}.
struct ExpertPart {
  int64_t expert = 0;
  int64_t first = 0;
  int64_t count = 0;
  int64_t every = 1;
};

class Weights {
 public:
  // names: empty where every tensor has its canonical name. The first row that fits is the usual one.
  // `checkpoint` must outlive this object.
  Weights(const io::Checkpoint& checkpoint, std::span<const NameRow> names, Packing packing = {});

  // By the canonical name. Error where the tensor is missing or has another shape.
  TensorView get(const std::string& name, const Shape& shape) const;
  // The same of a norm that multiplies by 1 + what is stored.
  TensorView get_less_one(const std::string& name, const Shape& shape) const;
  // The weight [out, in] of the linear op `name`, however it is packed.
  graph::StoredWeight linear(const std::string& name, int64_t out, int64_t in) const;
  // A weight [out, in] that is stored as [in, out] in the tensor `name`.
  graph::StoredWeight transposed(const std::string& name, int64_t out, int64_t in) const;
  // A part of a tensor [experts, outputs, inputs] or [experts, inputs, outputs]: [part.count, inputs], and of
  // the tensor [experts, outputs] of their biases [part.count]. One tensor for each expert: linear(). In
  // MXFP4 the outputs stand before the inputs, whatever `stacked` says of the plain tensor.
  graph::StoredWeight expert(const std::string& name, const Stacked& stacked, const ExpertPart& part) const;
  graph::StoredWeight expert_bias(const std::string& name, const Stacked& stacked,
                                  const ExpertPart& part) const;
  bool has(const std::string& name) const { return find(name) != nullptr; }
  // Null where there is none.
  const TensorView* find(const std::string& name) const;

  // Names in the checkpoint that were not asked for, without those that no model reads: modules that predict
  // further tokens, tables of rotary positions.
  std::vector<std::string> unused() const;

  // Names in the checkpoint of what get_less_one() was asked for.
  const std::vector<std::string>& less_one() const { return less_one_; }

  const io::Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  std::string stored_name(const std::string& name) const;

  const io::Checkpoint& checkpoint_;
  std::vector<NameRow>
      names_;  // of rows with the same canonical prefix first what the checkpoint has most of
  Packing packing_;
  mutable std::vector<std::string> less_one_;
};

}  // namespace qsweep::models
