// The bodies of the kernels that unpack weights. Compiled once per instruction set and for CUDA, in the words
// of lanes.h.
#include "kernels/lanes.h"
#include "kernels/unpack.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

QSWEEP_KERNEL void CopyStrided(int64_t begin, int64_t end, const void* x, int64_t row_step,
                               int64_t column_step, MatrixView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      L::copy_apart(y.cols, static_cast<const T*>(x) + r * row_step, column_step, y.as<T>().row(r), 1);
  };
  y.dtype == DType::f32 ? run(static_cast<float*>(nullptr)) : run(static_cast<bf16*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
