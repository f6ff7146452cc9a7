#include "ops/join.h"

#include <algorithm>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/rows.h"

namespace qsweep::ops::join {
namespace {

using kernels::kAbsent;
using kernels::RowBlock;

// The blocks with rows of input `from`, read as these alone: all of them, or those that lack the other input.
std::vector<RowBlock> blocks_of(std::span<const RowBlock> blocks, size_t from, bool alone) {
  std::vector<RowBlock> own;
  for (RowBlock block : blocks) {
    if (block.in[from] == kAbsent || (alone && block.in[1 - from] != kAbsent)) continue;
    block.in = {block.in[from], kAbsent, kAbsent};
    own.push_back(block);
  }
  return own;
}

// Zeros in these rows of y, as multiples of x.
void clear_rows(kernels::Device device, std::span<const RowBlock> blocks, MatrixView x, MatrixView y) {
  for (int64_t first = 0; first < y.cols; first += x.cols) {
    const int64_t cols = std::min(x.cols, y.cols - first);
    kernels::scale(device, blocks, 0, x.cols_at(0, cols), y.cols_at(first, cols));
  }
}

void copy(kernels::Device device, MatrixView x, MatrixView y) {
  const RowBlock all{.rows = x.rows, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0};
  kernels::scale(device, {&all, 1}, 1, x, y);
}

}  // namespace

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  QSWEEP_CHECK(a.rows == y.rows && b.rows == y.rows && a.cols + b.cols == y.cols,
               "[{}, {}] and [{}, {}] into [{}, {}]", a.rows, a.cols, b.rows, b.cols, y.rows, y.cols);
  kernels::convert(context.device(), a, view_of(y.cols_at(0, a.cols)));
  kernels::convert(context.device(), b, view_of(y.cols_at(a.cols, b.cols)));
}

void delta(const Context& context, std::span<const RowBlock> blocks, MatrixView da, MatrixView db,
           MatrixView dy) {
  const int64_t a_cols = da.cols > 0 ? da.cols : dy.cols - db.cols;
  const MatrixView first = dy.cols_at(0, a_cols), second = dy.cols_at(a_cols, dy.cols - a_cols);
  const auto part = [&](size_t from, MatrixView x, MatrixView own, MatrixView other) {
    if (const auto all = blocks_of(blocks, from, false); !all.empty())
      kernels::scale(context.device(), all, 1, x, own);
    if (const auto alone = blocks_of(blocks, from, true); !alone.empty())
      clear_rows(context.device(), alone, x, other);
  };
  part(0, da, first, second);
  part(1, db, second, first);
}

void vjp(const Context& context, MatrixView dy, MatrixView da, MatrixView db) {
  QSWEEP_CHECK(da.cols + db.cols == dy.cols, "{} and {} columns of {}", da.cols, db.cols, dy.cols);
  copy(context.device(), dy.cols_at(0, da.cols), da);
  copy(context.device(), dy.cols_at(da.cols, db.cols), db);
}

}  // namespace qsweep::ops::join
