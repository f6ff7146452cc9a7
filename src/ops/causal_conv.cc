#include "ops/causal_conv.h"

#include <algorithm>

#include "kernels/buffer.h"
#include "kernels/causal_conv.h"
#include "kernels/row_moves.h"
#include "ops/probes.h"

namespace qsweep::ops::causal_conv {
namespace {

using kernels::Buffer;
using kernels::OnDevice;
using kernels::RowBlock;

// The weights of one distance in a row each, [width, cols].
Buffer taps_of(const Context& context, Matrix<const float> w) {
  QSWEEP_CHECK(w.contiguous(), "weights [{}, {}], {} apart", w.rows, w.cols, w.stride);
  Buffer taps(context.device(), DType::f32, w.cols, w.rows);
  const Matrix<const float> row(w.data, 1, w.rows * w.cols);
  kernels::interleave_rows_vjp(context.device(), probe_blocks(1, 1, w.cols), w.cols, view_of(row),
                               taps.view());
  return taps;
}

int64_t end_of(std::span<const Segment> segments) {
  int64_t end = 0;
  for (const Segment& s : segments) end = std::max(end, s.first + s.rows);
  return end;
}

}  // namespace

void forward(const Context& context, std::span<const Segment> segments, Matrix<const float> x,
             Matrix<const float> w, Matrix<float> y) {
  QSWEEP_CHECK(x.rows == y.rows && x.cols == y.cols && x.cols == w.rows && end_of(segments) <= x.rows,
               "x [{}, {}], w [{}, {}], y [{}, {}], segments up to {}", x.rows, x.cols, w.rows, w.cols,
               y.rows, y.cols, end_of(segments));
  delta(context, segments, probe_blocks(1, x.rows), view_of(x), w, view_of(y));
}

void delta(const Context& context, std::span<const Segment> segments, std::span<const RowBlock> blocks,
           MatrixView dx, Matrix<const float> w, MatrixView dy) {
  int64_t rows = 0;
  for (const RowBlock& b : blocks) rows = std::max(rows, b.parent + b.rows);
  const std::vector<int64_t> of_row = positions(segments, std::max(rows, end_of(segments)));
  const OnDevice<int64_t> position(context.device(), of_row);
  const Buffer taps = taps_of(context, w);
  kernels::causal_conv(context.device(), blocks, position.elements(), taps.matrix<const float>(), dx, dy);
}

void vjp(const Context& context, std::span<const Segment> segments, Matrix<const float> w, MatrixView dy,
         int64_t probes, MatrixView dx) {
  const int64_t rows = dy.rows / probes;
  const std::vector<int64_t> of_row = positions(segments, rows);
  const OnDevice<int64_t> position(context.device(), of_row);
  const Buffer taps = taps_of(context, w);
  kernels::causal_conv_vjp(context.device(), probe_blocks(probes, rows), position.elements(),
                           taps.matrix<const float>(), dy, dx);
}

}  // namespace qsweep::ops::causal_conv
