// The backward interpreter: cotangents, the gradients of K numbers (the probes) with respect to the values of
// the reference. It walks a stage's nodes in reverse and calls ops::<kind>::vjp.
//
// A cotangent stands probe after probe: probe k's rows of the whole batch are [k * rows, (k + 1) * rows).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "graph/forward.h"

namespace qsweep::graph {

struct Cotangent {
  std::shared_ptr<Workspace::Block> block;  // null: none, which stands for zeros
  MatrixView view;                          // [probes * rows, cols]

  bool empty() const { return block == nullptr; }
};

// Of the values that stages leave for each other.
using Cotangents = std::map<std::string, Cotangent>;

// A linear op that a cotangent reaches: its input x and output y (bias included) of the reference, and the
// gradient g at its output for all probes, [probes * rows, out].
struct ReachedOp {
  int op = 0;
  Matrix<const float> x, y;
  MatrixView g;
  std::vector<int64_t>
      first_rows;  // of x, per sample, and their end: an expert has rows of some tokens alone
};

// Called with every op that a cotangent reaches, before the product with its weight. Called in a dry walk
// too, so that what it takes from the workspace is planned; then it must not touch the elements.
using CotangentObserver = std::function<void(const ReachedOp&)>;

class Backward {
 public:
  // dtype: f32 or bf16, of the cotangents at rest and the products on them.
  Backward(const Pass& pass, int64_t probes, DType dtype) : pass_(pass), probes_(probes), dtype_(dtype) {}

  // inputs: the values that the stage reads, as they were before it ran; left as they are. The stage's own
  // values are computed again, but for the outputs of linear ops that are known, which are taken. On entry
  // `cotangents` holds those of the stage's outputs, which are taken out; on return those of its inputs. The
  // cotangent of a name that the stage reads but does not write is added to; other names stay as they are.
  void run(const Stage& stage, const Values& inputs, Cotangents& cotangents,
           const CotangentObserver& observer = {}, LinearOutputs* known = nullptr);

  // Arithmetic of the products on cotangents so far, dry runs included; attention excepted.
  double flops() const { return flops_; }

 private:
  Pass pass_;
  int64_t probes_;
  DType dtype_;
  double flops_ = 0;
};

}  // namespace qsweep::graph
