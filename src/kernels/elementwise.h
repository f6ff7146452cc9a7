// Row kernels (row_block.h) of sums, multiples and rotations.
#pragma once

#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// y = a + b
void add(Device device, Matrix<const float> a, Matrix<const float> b, Matrix<float> y);
void add_delta(Device device, std::span<const RowBlock> blocks, MatrixView da, MatrixView db, MatrixView dy);

// y = factor x; x and y of the same type.
void scale(Device device, std::span<const RowBlock> blocks, float factor, MatrixView x, MatrixView y);

// Rotary position embedding: in every head, elements (i, i + head_dim/2) turn by the row's angle i.
// cos_sin: [rows, head_dim], the head_dim/2 cosines and then the sines.
void rotate(Device device, Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y);
void rotate_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> cos_sin, MatrixView dx,
                  MatrixView dy);
// By the opposite angles: the inverse, which is the transpose.
void rotate_back(Device device, std::span<const RowBlock> blocks, Matrix<const float> cos_sin, MatrixView dy,
                 MatrixView dx);

}  // namespace qsweep::kernels
