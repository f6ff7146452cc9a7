#include "ops/gather.h"

#include "kernels/buffer.h"
#include "kernels/row_moves.h"
#include "ops/probes.h"

namespace qsweep::ops::gather {

using kernels::Device;
using kernels::OnDevice;
using kernels::RowBlock;

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> x,
             Matrix<float> y) {
  QSWEEP_CHECK(static_cast<int64_t>(source.size()) == y.rows && x.cols == y.cols, "{} indices for [{}, {}]",
               source.size(), y.rows, y.cols);
  const OnDevice there(context.device(), source);
  kernels::gather(context.device(), there.elements(), x, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, std::span<const int64_t> source,
           MatrixView dx, MatrixView dy) {
  const OnDevice there(context.device(), source);
  kernels::gather_delta(context.device(), blocks, there.elements(), dx, dy);
}

void vjp(const Context& context, std::span<const int64_t> source, MatrixView dy, int64_t probes,
         MatrixView dx) {
  const auto read = static_cast<int64_t>(source.size()), rows = dx.rows / probes;
  QSWEEP_CHECK(dy.rows == probes * read && dx.rows == probes * rows && dx.cols == dy.cols,
               "{} indices and {} probes for [{}, {}] from [{}, {}]", read, probes, dx.rows, dx.cols, dy.rows,
               dy.cols);
  // The rows that read each row, in ascending order.
  std::vector<int64_t> start(static_cast<size_t>(rows) + 1, 0);
  for (const int64_t from : source)
    if (from != kernels::kAbsent) ++start[static_cast<size_t>(from) + 1];
  for (size_t r = 0; r + 1 < start.size(); ++r) start[r + 1] += start[r];
  std::vector<int64_t> readers(static_cast<size_t>(start.back())), next = start;
  for (size_t r = 0; r < source.size(); ++r)
    if (source[r] != kernels::kAbsent)
      readers[static_cast<size_t>(next[static_cast<size_t>(source[r])]++)] = static_cast<int64_t>(r);
  const Device device = context.device();
  const OnDevice starts(device, std::span<const int64_t>(start)),
      all_readers(device, std::span<const int64_t>(readers));
  kernels::sum_rows(device, probe_blocks(probes, read, rows), starts.elements(), all_readers.elements(), dy,
                    dx);
}

}  // namespace qsweep::ops::gather
