// Row kernels (row_block.h) of norms.
#pragma once

#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// Root mean square norm (Zhang, Sennrich 2019) of every group of w.size() columns, of which a row has one or
// more (heads side by side): y = (offset + w) x r, r = (mean(x^2) + eps)^-1/2.
struct RmsWeight {
  std::span<const float> w;
  float eps = 0;
  float offset = 0;  // 1 where weights are stored as their difference from 1
};
void rms_norm(Device device, Matrix<const float> x, RmsWeight weight, Matrix<float> y);
void rms_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                    RmsWeight weight, MatrixView dy);
void rms_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, RmsWeight weight,
                  MatrixView dy, MatrixView dx);

// Layer norm (Ba, Kiros, Hinton 2016) of every row: y = w (x - m) r + b, m = mean(x), r = (mean((x - m)^2) +
// eps)^-1/2.
struct LayerWeight {
  std::span<const float> w, b;
  float eps = 0;
};
void layer_norm(Device device, Matrix<const float> x, LayerWeight weight, Matrix<float> y);
void layer_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                      LayerWeight weight, MatrixView dy);
void layer_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x,
                    LayerWeight weight, MatrixView dy, MatrixView dx);

}  // namespace qsweep::kernels
