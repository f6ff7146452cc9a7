#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_moves.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/row_moves-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(GatherDelta);
QSWEEP_EXPORT(Scatter);
QSWEEP_EXPORT(SumRows);
QSWEEP_EXPORT(AddRows);
QSWEEP_EXPORT(MeanRows);
QSWEEP_EXPORT(MeanRowsVjp);
QSWEEP_EXPORT(InterleaveRows);
QSWEEP_EXPORT(InterleaveRowsVjp);

void gather(Device device, std::span<const int64_t> source, Matrix<const float> x, Matrix<float> y) {
  const RowBlock whole{.rows = y.rows, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0};
  gather_delta(device, {&whole, 1}, source, view_of(x), view_of(y));
}

void gather_delta(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> source,
                  MatrixView dx, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(GatherDelta), source.data(), dx, dy);
}

void scatter(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> source, MatrixView x,
             MatrixView features, MatrixView y) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(Scatter), source.data(), x, features, y);
}

void sum_rows(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> start,
              std::span<const int64_t> readers, MatrixView dy, MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(SumRows), start.data(), readers.data(), dy, dx);
}

void add_rows(Device device, std::span<const RowTerm> terms, MatrixView x, Matrix<float> y) {
  run_rows(device, std::ssize(terms), QSWEEP_KERNEL_OF(AddRows), terms.data(), x, y);
}

void mean_rows(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView x, MatrixView y) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(MeanRows), factor, x, y);
}

void mean_rows_vjp(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView dy,
                   MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(MeanRowsVjp), factor, dy, dx);
}

void interleave_rows(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView x,
                     MatrixView y) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(InterleaveRows), factor, x, y);
}

void interleave_rows_vjp(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView dy,
                         MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(InterleaveRowsVjp), factor, dy, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
