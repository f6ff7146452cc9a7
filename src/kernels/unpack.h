// Row kernels that make plain matrices of weights that a checkpoint stores in other ways.
#pragma once

#include <cstdint>

#include "kernels/device.h"
#include "tensor/matrix_view.h"

namespace qsweep::kernels {

// y[r, c] = x[r * row_step + c * column_step], elements of y's dtype (bf16, f16 or f32), which keep their
// bits.
void copy_strided(Device device, const void* x, int64_t row_step, int64_t column_step, MatrixView y);

}  // namespace qsweep::kernels
