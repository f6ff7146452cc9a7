// A library of products, behind Gemm.
#pragma once

#include <memory>

#include "kernels/gemm.h"

namespace qsweep::kernels {

// Multiplies operands as they are, without conversions.
class GemmBackend {
 public:
  virtual ~GemmBackend() = default;
  virtual void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                        const GemmOptions& options) = 0;
};

std::unique_ptr<GemmBackend> onednn_backend(Threads threads);

namespace cuda {
std::unique_ptr<GemmBackend> cublaslt_backend(Queue& queue);
}

}  // namespace qsweep::kernels
