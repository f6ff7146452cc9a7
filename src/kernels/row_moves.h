// Row kernels (row_block.h) of rows that go elsewhere: by index, or together with their neighbours. They are
// linear, so values, deltas and cotangents move alike; all views of a kernel have the same type where nothing
// else is said.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// Output row r of a block is input row source[parent + r] of the block (kAbsent: zeros).
void gather(Device device, std::span<const int64_t> source, Matrix<const float> x, Matrix<float> y);
void gather_delta(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> source,
                  MatrixView dx, MatrixView dy);
// Output row r of a block is row source[parent + r] of the block's features, in[1], or, where that is
// kAbsent, row r of its x, in[0].
void scatter(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> source, MatrixView x,
             MatrixView features, MatrixView y);
// The transpose of gather: output row r of a block is the sum of the block's input rows readers[i], i from
// start[r] to before start[r + 1].
void sum_rows(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> start,
              std::span<const int64_t> readers, MatrixView dy, MatrixView dx);

// y[to] += scale x[from], per term; each row of y has at most one. y is f32.
struct RowTerm {
  int64_t from = 0, to = 0;
  float scale = 0;
};
void add_rows(Device device, std::span<const RowTerm> terms, MatrixView x, Matrix<float> y);

// y[r] is the mean of x's rows factor * r to before factor * (r + 1), counted within a block; and its
// transpose, dx[factor * r + k] = dy[r] / factor.
void mean_rows(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView x, MatrixView y);
void mean_rows_vjp(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView dy,
                   MatrixView dx);

// y[r, factor * c + k] = x[factor * r + k, c], rows counted within a block; and its transpose, which is the
// inverse.
void interleave_rows(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView x,
                     MatrixView y);
void interleave_rows_vjp(Device device, std::span<const RowBlock> blocks, int64_t factor, MatrixView dy,
                         MatrixView dx);

}  // namespace qsweep::kernels
