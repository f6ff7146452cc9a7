// The bodies of the causal convolution. Compiled once per instruction set and for CUDA, in the words of
// lanes.h.
#include "kernels/causal_conv.h"
#include "kernels/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// y = the sum of taps times x, over `count` neighbours of a row: `step` is -1 for those before it, 1 for
// those behind it.
template <class T>
QSWEEP_KERNEL void convolve_row(Matrix<const float> taps, int64_t count, Matrix<const T> x, int64_t row,
                                int64_t step, T* y) {
  L::each(taps.cols, [&](auto at) QSWEEP_LANES {
    auto sum = L::zero();
    for (int64_t j = 0; j < count; ++j)
      sum = L::fma(L::load(taps.row(taps.rows - 1 - j), at), L::load(x.row(row + step * j), at), sum);
    L::store(sum, y, at);
  });
}

QSWEEP_KERNEL void CausalConv(const RowBlock& b, int64_t first, int64_t count, const int64_t* position,
                              Matrix<const float> taps, MatrixView x, MatrixView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t known = position[b.parent + r] + 1;
      convolve_row<T>(taps, known < taps.rows ? known : taps.rows, x.as<const T>(), b.in[0] + r, -1,
                      y.as<T>().row(b.out + r));
    }
  };
  y.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void CausalConvVjp(const RowBlock& b, int64_t first, int64_t count, const int64_t* position,
                                 Matrix<const float> taps, MatrixView dy, MatrixView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t* const at = position + b.parent + r;
      int64_t readers = 1;
      while (readers < taps.rows && r + readers < b.rows && at[readers] == at[0] + readers) ++readers;
      convolve_row<T>(taps, readers, dy.as<const T>(), b.in[0] + r, 1, dx.as<T>().row(b.out + r));
    }
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
