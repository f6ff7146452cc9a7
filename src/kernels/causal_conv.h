// Row kernels (row_block.h) of a causal convolution of every column by itself. Values, deltas and cotangents
// alike: it is linear. All views of a kernel have the same type, but for `taps`.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// y[r, c] = sum over j of taps[width - 1 - j, c] x[r - j, c], taps [width, cols], as far as rows r - j belong
// to the same segment: position[parent + r] rows of a block stand before row r in its segment.
void causal_conv(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> position,
                 Matrix<const float> taps, MatrixView x, MatrixView y);

// The transpose: dx[r, c] = sum over j of taps[width - 1 - j, c] dy[r + j, c].
void causal_conv_vjp(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> position,
                     Matrix<const float> taps, MatrixView dy, MatrixView dx);

}  // namespace qsweep::kernels
