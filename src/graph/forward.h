// The forward interpreter: values of the reference, in f32.
#pragma once

#include <functional>
#include <map>
#include <span>

#include "graph/linear_weights.h"
#include "graph/value.h"

namespace qsweep::graph {

// What is told of every linear op; in a dry walk too, where it must not touch the elements.
struct LinearObserver {
  std::function<void(int op, Matrix<const float> x)> input = {};  // before the product
  std::function<void(int op, const Value& y)> output = {};
};

// Outputs of linear ops, by op.
using LinearOutputs = std::map<int, Value>;

// What computes the kinds that hold the checkpoint's large weights, for runs that are not the reference.
struct Replacements {
  std::function<Value(int op, const Value& x)> linear;    // called where x has rows
  std::function<Value(const Node& node)> embedding = {};  // empty: the reference's
};

class Forward {
 public:
  explicit Forward(const Pass& pass) : pass_(pass) {}

  // Takes the stage's inputs out of `values` where no later stage needs them, and leaves its outputs there.
  void run(const Stage& stage, Values& values, const LinearObserver& observer = {});
  void run_with(const Stage& stage, Values& values, const Replacements& replacements);

  // The value of one node that is neither Input nor has ops.
  Value evaluate(const Node& node, const std::vector<const Value*>& inputs);
  // Of a cache x itself.
  Value linear(const LinearOp& op, const LinearWeights& weights, const Value& x);
  // linear: computes the output of one of the experts' ops from its input.
  Value experts(const Node& node, const Value& x, const std::function<Value(int op, const Value& x)>& linear);
  Value allocate(const Node& node);

 private:
  Pass pass_;
};

// For every node the last one that reads it; stage.nodes.size() for an output.
std::vector<size_t> last_uses(const Stage& stage);

// Sets every stage's `consumes`: the names that it is the last to read before they are overwritten.
void resolve_lifetimes(std::vector<Stage>& stages);

}  // namespace qsweep::graph
