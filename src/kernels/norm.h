// Row kernels (row_block.h) of norms.
#pragma once

#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// Root mean square norm: y = w x r, r = (mean(x^2) + eps)^-1/2 (Zhang, Sennrich 2019).
void rms_norm(Device device, Matrix<const float> x, std::span<const float> w, float eps, Matrix<float> y);
void rms_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                    std::span<const float> w, float eps, MatrixView dy);
void rms_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x,
                  std::span<const float> w, float eps, MatrixView dy, MatrixView dx);

}  // namespace qsweep::kernels
