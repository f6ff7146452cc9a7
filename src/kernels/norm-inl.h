// The bodies of the root mean square norm. Compiled once per instruction set and for CUDA, in the words of
// lanes.h.
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/norm.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

QSWEEP_KERNEL float inverse_rms(int64_t n, const float* x, float eps) {
  const float squares = L::sum(n, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(x, at);
    return v * v;
  });
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
}

QSWEEP_KERNEL void rms_norm_row(int64_t n, const float* x, const float* w, float eps, float* y) {
  const auto r = L::set(inverse_rms(n, x, eps));
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(w, at) * (L::load(x, at) * r), y, at); });
}

// With r and r' the scales before and after: dr = -dm r^2 r'^2 / (r + r'), dm = mean(dx (2x + dx)), so that
// nothing cancels; dy = w (dx r' + x dr).
template <class T>
QSWEEP_KERNEL void rms_norm_delta_row(int64_t n, const float* x, const T* dx, const float* w, float eps,
                                      T* dy) {
  const float change = L::sum(n, [&](auto at) QSWEEP_LANES {
    const auto d = L::load(dx, at), v = L::load(x, at);
    return d * (v + v + d);
  });
  const float squares_new = L::sum(n, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(x, at) + L::load(dx, at);
    return v * v;
  });
  const float count = static_cast<float>(n), dm = change / count;
  const float r = inverse_rms(n, x, eps), r_new = 1.0f / std::sqrt(squares_new / count + eps);
  const auto scale_d = L::set(r_new);
  const auto scale_x = L::set(-dm * (r * r_new) * (r * r_new) / (r + r_new));
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto d = L::load(dx, at), v = L::load(x, at);
    L::store(L::load(w, at) * L::fma(d, scale_d, v * scale_x), dy, at);
  });
}

// dx = r w dy - x r^3 mean(w dy x)
template <class T>
QSWEEP_KERNEL void rms_norm_vjp_row(int64_t n, const float* x, const float* w, float eps, const T* dy,
                                    T* dx) {
  const float projection =
      L::sum(n, [&](auto at) QSWEEP_LANES { return L::load(w, at) * L::load(dy, at) * L::load(x, at); });
  const float r = inverse_rms(n, x, eps);
  const auto scale_g = L::set(r), scale_x = L::set(-projection / static_cast<float>(n) * r * r * r);
  L::each(n, [&](auto at) QSWEEP_LANES {
    L::store(L::fma(L::load(x, at), scale_x, L::load(w, at) * L::load(dy, at) * scale_g), dx, at);
  });
}

template <class T>
QSWEEP_KERNEL void rms_norm_delta_block(const RowBlock& b, int64_t first, int64_t count,
                                        Matrix<const float> x, MatrixView dx, const float* w, float eps,
                                        MatrixView dy) {
  for (int64_t r = first; r < first + count; ++r)
    rms_norm_delta_row<T>(x.cols, x.row(b.parent + r), dx.as<T>().row(b.in[0] + r), w, eps,
                          dy.as<T>().row(b.out + r));
}

QSWEEP_KERNEL void RmsNorm(int64_t begin, int64_t end, Matrix<const float> x, const float* w, float eps,
                           Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r) rms_norm_row(x.cols, x.row(r), w, eps, y.row(r));
}

QSWEEP_KERNEL void RmsNormDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                                MatrixView dx, const float* w, float eps, MatrixView dy) {
  if (dx.dtype == DType::bf16) {
    rms_norm_delta_block<bf16>(b, first, count, x, dx, w, eps, dy);
  } else {
    rms_norm_delta_block<float>(b, first, count, x, dx, w, eps, dy);
  }
}

QSWEEP_KERNEL void RmsNormVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                              const float* w, float eps, MatrixView dy, MatrixView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      rms_norm_vjp_row<T>(x.cols, x.row(b.parent + r), w, eps, dy.as<T>().row(b.in[0] + r),
                          dx.as<T>().row(b.out + r));
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
