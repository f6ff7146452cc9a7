// One linear op for all branches of a sweep at once: the parents' outputs and the changes of their leaves.
// Each weight is widened once and quantized once per format, whatever the number of branches and leaves.
#pragma once

#include <functional>
#include <optional>

#include "graph/forward.h"
#include "quant/quantizers.h"
#include "scores/local_stats.h"

namespace qsweep::graph {

// Live pairs with the same format at the op whose rows stand one after the other.
struct LiveRun {
  const quant::Format* format = nullptr;  // null: float
  int64_t first_row = 0;                  // in dx and in dy
  int64_t rows = 0;
  std::vector<kernels::RowBlock> blocks;  // in[0]: row of dx; out: row of dy
};

// A leaf that leaves its parent at the op, with the rows of some samples.
struct ForkRows {
  int leaf = 0;
  const quant::Format* format = nullptr;
  std::vector<kernels::RowBlock> blocks = {};  // parent: row of x; in: absent; out: row of dy
};

// One branch at the op: the parent in f32 and its leaves' deltas. Outputs without data are not wanted.
struct BranchLinear {
  const quant::Format* format = nullptr;  // the parent's
  Matrix<const float> x;                  // [rows, in]
  Matrix<float> y;                        // out [rows, out]: the parent's output
  bool y_is_known = false;                // y holds it already
  Matrix<float> own_error;  // out [rows, out]: what the parent's format changes, given its input
  MatrixView dx, dy;        // dy is out
  std::vector<LiveRun> live;
  std::vector<ForkRows> forks;
  std::shared_ptr<scores::LocalStats> stats = {};  // of x and y, once they are asked for; see measure_input
  // The first rows of x, which the parent itself computes; the others are there for leaves alone. Observers
  // are told of these.
  int64_t own_rows = x.rows;
};

// What a fork's own error and its op's input measured, over all rows; called when the workspace's deferred
// numbers are told.
using ForkObserver = std::function<void(int leaf, const scores::LocalStats&)>;

struct LinearStep {
  const Pass& pass;
  const LinearOp& op;
  const LinearWeights& weights;
  DType delta_dtype = DType::f32;  // of dx and of the products on deltas
  // In the device's memory: of the op's input, for calibrated formats; and of the whole weight, where `op` is
  // a part of it.
  const quant::Range* range = nullptr;
  const quant::Range* weight_range = nullptr;
  const quant::Range* values_range = nullptr;  // of a cache, whose `range` is that of the keys
  const ForkObserver& observe;
  double& flops;  // adds up the products, those for the reference's own output excepted; in dry runs too
};

// y = Q(x) W^T + Q(x) (Q(W) - W)^T + b for every parent, Q the identity where its format is null, and with
// E_f(x) = (Q(x) - x) W^T + Q(x) (Q(W) - W)^T, E_null = 0, the deltas of leaves with format v under parent p:
//   fork                              dy = E_v(x) - E_p(x)
//   v = p = null                      dy = dx W^T
//   v = p, activations quantized      dy = (Q(x + dx) - Q(x)) Q(W)^T
//   v = p, weights alone              dy = dx Q(W)^T
//   v = null, p quantized             dy = dx W^T - E_p(x)
//   v quantized, p = null             as where p is v, and E_v(x) more
// No live pair goes from one quantized format to another.
// An op that is a cache has no weight: there W and Q(W) are the identity, and no product is made.
// Where deltas are not strict, a format's codes are integers and the processor multiplies int8, Q(x) Q(W)^T
// is a product of codes: then it is the y of parents without leaves here (plus b), and E_f(x) of float
// parents whose y is given or wanted is Q(x) Q(W)^T + b - y.
void run_linear_step(const LinearStep& step, std::span<BranchLinear> branches);

// Sum over the elements of (Q(W) - W)^2, when the workspace's deferred numbers are told.
void weight_error_sse(const LinearStep& step, const quant::Format& format, std::function<void(double)> then);

// Range and size of an op's input, which are there when the workspace's deferred numbers are told; the errors
// are left 0.
std::shared_ptr<scores::LocalStats> measure_input(Workspace& workspace, Matrix<const float> x);

// Of all elements.
void sum_of_squares(Workspace& workspace, Matrix<const float> x, std::function<void(double)> then);

}  // namespace qsweep::graph
