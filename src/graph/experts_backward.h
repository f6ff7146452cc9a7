// The gradients of a mixture of experts: the chosen stay the chosen, their weights do not.
#pragma once

#include "graph/backward.h"
#include "graph/scratch.h"

namespace qsweep::graph {

struct ExpertsBackward {
  const Pass& pass;
  const Node& node;
  int64_t probes = 0;
  DType dtype = DType::f32;  // of cotangents and the products on them
  const CotangentObserver& observer;
  const std::function<Value(int op, const Value& x)>& linear;  // an op's output in the reference
  double& flops;
};

// x [rows, n] and dy [probes * rows, n]; returns the gradient at x, f32 [probes * rows, n], or nothing where
// it is not wanted.
Scratch experts_vjp(const ExpertsBackward& backward, Matrix<const float> x, MatrixView dy, bool wanted);

}  // namespace qsweep::graph
