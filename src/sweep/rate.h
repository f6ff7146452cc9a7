// The machine's own matrix rate on a model's products, against which a run is measured.
#pragma once

#include "kernels/gemm.h"
#include "models/model.h"

namespace qsweep::sweep {

// FLOP/s of y = x W^T over the (at most five) shapes in which the model spends most of its arithmetic,
// weighted by their time. Takes about half a second.
double measure_model_rate(const models::Model& model, kernels::Gemm& gemm, DType dtype, int64_t rows);

}  // namespace qsweep::sweep
