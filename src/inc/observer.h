// Activation ranges as PyTorch's HistogramObserver finds them ("kl" in Intel Neural Compressor's
// configuration, though it minimises the squared error): torch/ao/quantization/observer.py.
#pragma once

#include <cstdint>

#include "base/parallel.h"
#include "tensor/tensor.h"

namespace qsweep::inc {

// code = round(x * (1 / scale)) + zero_point, clamped to 0..255.
struct AffineU8 {
  float scale = 1;
  int32_t zero_point = 0;
};

// All of x is one calibration batch. Error where x is empty or not finite.
AffineU8 observe(Threads threads, Matrix<const float> x);

}  // namespace qsweep::inc
