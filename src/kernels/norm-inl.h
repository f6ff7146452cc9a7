// The bodies of the norms. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/norm.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

using V = L::V;

// --- root mean square norm: one group of n columns, with the words of the lanes that work on it

template <class Part>
QSWEEP_KERNEL float inverse_rms(Part part, int64_t n, const float* x, float eps) {
  const float squares = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at);
    return v * v;
  });
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
}

// A weight without its offset, and that.
struct RmsFactors {
  const float* w;
  float offset;

  template <class At>
  QSWEEP_KERNEL V load(At at) const {
    return L::load(w, at) + L::set(offset);
  }
};

template <class Part>
QSWEEP_KERNEL void rms_norm_group(Part part, int64_t n, const float* x, RmsFactors w, float eps, float* y) {
  const V r = L::set(inverse_rms(part, n, x, eps));
  part.each(n, [&](auto at) QSWEEP_LANES { L::store(w.load(at) * (L::load(x, at) * r), y, at); });
}

// With r and r' the scales before and after: dr = -dm r^2 r'^2 / (r + r'), dm = mean(dx (2x + dx)), so that
// nothing cancels; dy = w (dx r' + x dr).
template <class Part, class T>
QSWEEP_KERNEL void rms_norm_delta_group(Part part, int64_t n, const float* x, const T* dx, RmsFactors w,
                                        float eps, T* dy) {
  const float change = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V d = L::load(dx, at), v = L::load(x, at);
    return d * (v + v + d);
  });
  const float squares_new = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at) + L::load(dx, at);
    return v * v;
  });
  const float count = static_cast<float>(n), dm = change / count;
  const float r = inverse_rms(part, n, x, eps), r_new = 1.0f / std::sqrt(squares_new / count + eps);
  const V scale_d = L::set(r_new);
  const V scale_x = L::set(-dm * (r * r_new) * (r * r_new) / (r + r_new));
  part.each(n, [&](auto at) QSWEEP_LANES {
    const V d = L::load(dx, at), v = L::load(x, at);
    L::store(w.load(at) * L::fma(d, scale_d, v * scale_x), dy, at);
  });
}

// dx = r w dy - x r^3 mean(w dy x)
template <class Part, class T>
QSWEEP_KERNEL void rms_norm_vjp_group(Part part, int64_t n, const float* x, RmsFactors w, float eps,
                                      const T* dy, T* dx) {
  const float projection =
      part.sum(n, [&](auto at) QSWEEP_LANES { return w.load(at) * L::load(dy, at) * L::load(x, at); });
  const float r = inverse_rms(part, n, x, eps);
  const V scale_g = L::set(r), scale_x = L::set(-projection / static_cast<float>(n) * r * r * r);
  part.each(n, [&](auto at) QSWEEP_LANES {
    L::store(L::fma(L::load(x, at), scale_x, w.load(at) * L::load(dy, at) * scale_g), dx, at);
  });
}

// body(the words of one group's lanes, its first column) for every group of a row.
template <class Body>
QSWEEP_KERNEL void each_group(int64_t cols, int64_t n, Body&& body) {
  L::each_part(cols / n, n, [&](auto part, int64_t group) QSWEEP_LANES { body(part, group * n); });
}

QSWEEP_KERNEL void RmsNorm(int64_t begin, int64_t end, Matrix<const float> x, const float* w, int64_t n,
                           float offset, float eps, Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r)
    each_group(x.cols, n, [&](auto part, int64_t c) QSWEEP_LANES {
      rms_norm_group(part, n, x.row(r) + c, {w, offset}, eps, y.row(r) + c);
    });
}

QSWEEP_KERNEL void RmsNormDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                                MatrixView dx, const float* w, int64_t n, float offset, float eps,
                                MatrixView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      each_group(x.cols, n, [&](auto part, int64_t c) QSWEEP_LANES {
        rms_norm_delta_group(part, n, x.row(b.parent + r) + c, dx.as<const T>().row(b.in[0] + r) + c,
                             {w, offset}, eps, dy.as<T>().row(b.out + r) + c);
      });
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void RmsNormVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                              const float* w, int64_t n, float offset, float eps, MatrixView dy,
                              MatrixView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      each_group(x.cols, n, [&](auto part, int64_t c) QSWEEP_LANES {
        rms_norm_vjp_group(part, n, x.row(b.parent + r) + c, {w, offset}, eps,
                           dy.as<const T>().row(b.in[0] + r) + c, dx.as<T>().row(b.out + r) + c);
      });
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

// --- layer norm

template <class T>
QSWEEP_KERNEL float mean_of(int64_t n, const T* x) {
  return L::sum(n, [&](auto at) QSWEEP_LANES { return L::load(x, at); }) / static_cast<float>(n);
}

QSWEEP_KERNEL float inverse_deviation(int64_t n, const float* x, float mean, float eps) {
  const float squares = L::sum(n, [&](auto at) QSWEEP_LANES {
    const V centred = L::load(x, at) - L::set(mean);
    return centred * centred;
  });
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
}

QSWEEP_KERNEL void layer_norm_row(int64_t n, const float* x, const float* w, const float* bias, float eps,
                                  float* y) {
  const float mean = mean_of(n, x), r = inverse_deviation(n, x, mean, eps);
  L::each(n, [&](auto at) QSWEEP_LANES {
    const V normed = (L::load(x, at) - L::set(mean)) * L::set(r);
    L::store(L::fma(normed, L::load(w, at), L::load(bias, at)), y, at);
  });
}

// With c = x - mean(x), e = dx - mean(dx) its change, r and r' the scales before and after:
// dr = -dv r^2 r'^2 / (r + r'), dv = mean(e (2c + e)); dy = w (e r' + c dr).
template <class T>
QSWEEP_KERNEL void layer_norm_delta_row(int64_t n, const float* x, const T* dx, const float* w, float eps,
                                        T* dy) {
  const float mean = mean_of(n, x), mean_change = mean_of(n, dx), count = static_cast<float>(n);
  const float change = L::sum(n, [&](auto at) QSWEEP_LANES {
    const V c = L::load(x, at) - L::set(mean), e = L::load(dx, at) - L::set(mean_change);
    return e * (c + c + e);
  });
  const float squares_new = L::sum(n, [&](auto at) QSWEEP_LANES {
    const V c = L::load(x, at) - L::set(mean), e = L::load(dx, at) - L::set(mean_change);
    return (c + e) * (c + e);
  });
  const float dv = change / count;
  const float r = inverse_deviation(n, x, mean, eps), r_new = 1.0f / std::sqrt(squares_new / count + eps);
  const V scale_c = L::set(-dv * (r * r_new) * (r * r_new) / (r + r_new));
  L::each(n, [&](auto at) QSWEEP_LANES {
    const V c = L::load(x, at) - L::set(mean), e = L::load(dx, at) - L::set(mean_change);
    L::store(L::load(w, at) * L::fma(e, L::set(r_new), c * scale_c), dy, at);
  });
}

// dx = r (w dy - mean(w dy)) - c r^3 mean(w dy c)
template <class T>
QSWEEP_KERNEL void layer_norm_vjp_row(int64_t n, const float* x, const float* w, float eps, const T* dy,
                                      T* dx) {
  const float mean = mean_of(n, x), r = inverse_deviation(n, x, mean, eps), count = static_cast<float>(n);
  const float total = L::sum(n, [&](auto at) QSWEEP_LANES { return L::load(w, at) * L::load(dy, at); });
  const float projection = L::sum(n, [&](auto at) QSWEEP_LANES {
    return L::load(w, at) * L::load(dy, at) * (L::load(x, at) - L::set(mean));
  });
  const V shift = L::set(total / count), scale_c = L::set(-projection / count * r * r * r);
  L::each(n, [&](auto at) QSWEEP_LANES {
    const V c = L::load(x, at) - L::set(mean), g = L::load(w, at) * L::load(dy, at);
    L::store(L::fma(g - shift, L::set(r), c * scale_c), dx, at);
  });
}

QSWEEP_KERNEL void LayerNorm(int64_t begin, int64_t end, Matrix<const float> x, const float* w,
                             const float* bias, float eps, Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r) layer_norm_row(x.cols, x.row(r), w, bias, eps, y.row(r));
}

QSWEEP_KERNEL void LayerNormDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                                  MatrixView dx, const float* w, float eps, MatrixView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      layer_norm_delta_row<T>(x.cols, x.row(b.parent + r), dx.as<T>().row(b.in[0] + r), w, eps,
                              dy.as<T>().row(b.out + r));
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void LayerNormVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                                const float* w, float eps, MatrixView dy, MatrixView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      layer_norm_vjp_row<T>(x.cols, x.row(b.parent + r), w, eps, dy.as<T>().row(b.in[0] + r),
                            dx.as<T>().row(b.out + r));
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
