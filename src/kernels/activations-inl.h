// The bodies of the activations. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#include "kernels/lanes.h"
#include "kernels/rows.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

using V = L::V;

QSWEEP_KERNEL V silu(V a) { return a * L::sigmoid(a); }

// silu(a + d) - silu(a) without cancellation, s the sigmoid. For small d, with u = e^d - 1:
// d s(a+d) + a s(a) s(-a) u / (1 + s(a) u), where s(a+d) = s(a) (1 + u) / (1 + s(a) u). Else for d >= 0:
// d s(a+d) + a s(a+d) s(-a) (1 - e^-d); for d < 0: d s(a+d) + a s(a) s(-a-d) (e^d - 1); e^-|d| never
// overflows.
QSWEEP_KERNEL V silu_change(V a, V d) {
  const V one = L::set(1);
  const auto [s, rest] = L::sigmoids(a);
  if (L::all(L::abs(d) < L::set(L::kSmallExponent))) {
    const V u = L::expm1_small(d), inverse = one / L::fma(s, u, one), left = s * inverse;
    return L::fma(d * left, one + u, a * rest * left * u);
  }
  const V e = L::expm1(L::zero() - L::abs(d));
  const auto [changed, changed_rest] = L::sigmoids(a + d);
  const auto grows = d >= L::zero();
  const V product = L::select(grows, changed * rest, s * changed_rest);
  return L::fma(a * product, L::select(grows, L::zero() - e, e), d * changed);
}

// The derivative of silu: s(a) (1 + a s(-a)).
QSWEEP_KERNEL V silu_slope(V a) {
  const auto [s, rest] = L::sigmoids(a);
  return s * L::fma(a, rest, L::set(1));
}

constexpr float kInverseRootTwoPi = 0.39894228040143268f;

// The derivative of x Phi(x): Phi(x) + x phi(x), phi the normal density.
QSWEEP_KERNEL V gelu_slope(V x) {
  const V density = L::exp(x * x * L::set(-0.5f)) * L::set(kInverseRootTwoPi);
  return L::fma(x, density, L::normal_cdf(x));
}

// The change of x Phi(x): d Phi(a+d) + a (Phi(a+d) - Phi(a)). For |d| < 1/2 the last difference is d times
// the mean of the normal density over [a, a+d], by five-point Gauss-Legendre quadrature.
QSWEEP_KERNEL V gelu_change(V a, V d) {
  constexpr float nodes[] = {0.04691007703066800f, 0.23076534494715845f, 0.5f, 0.76923465505284155f,
                             0.95308992296933200f};
  constexpr float weights[] = {0.11846344252809454f, 0.23931433524968324f, 0.28444444444444444f,
                               0.23931433524968324f, 0.11846344252809454f};
  V mean = L::zero();
  for (int i = 0; i < 5; ++i) {
    const V t = L::fma(d, L::set(nodes[i]), a);
    mean = L::fma(L::exp(t * t * L::set(-0.5f)), L::set(weights[i] * kInverseRootTwoPi), mean);
  }
  const V phi_new = L::normal_cdf(a + d);
  const V growth = L::select(L::abs(d) < L::set(0.5f), d * mean, phi_new - L::normal_cdf(a));
  return L::fma(a, growth, d * phi_new);
}

// d(silu(g) u) = d silu(g) (u + du) + silu(g) du
template <class T>
QSWEEP_KERNEL void swiglu_delta_row(int64_t n, const float* gate, const float* up, const T* dgate,
                                    const T* dup, T* dy) {
  if (dup == nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES {
      L::store(silu_change(L::load(gate, at), L::load(dgate, at)) * L::load(up, at), dy, at);
    });
  } else if (dgate == nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(silu(L::load(gate, at)) * L::load(dup, at), dy, at); });
  } else {
    L::each(n, [&](auto at) QSWEEP_LANES {
      const V g = L::load(gate, at), du = L::load(dup, at);
      L::store(L::fma(silu_change(g, L::load(dgate, at)), L::load(up, at) + du, silu(g) * du), dy, at);
    });
  }
}

template <class T>
QSWEEP_KERNEL void swiglu_delta_block(const RowBlock& b, int64_t first, int64_t count,
                                      Matrix<const float> gate, Matrix<const float> up, MatrixView dgate,
                                      MatrixView dup, MatrixView dy) {
  for (int64_t r = first; r < first + count; ++r)
    swiglu_delta_row<T>(gate.cols, gate.row(b.parent + r), up.row(b.parent + r),
                        row_or_null<T>(dgate, b.in[0], r), row_or_null<T>(dup, b.in[1], r),
                        dy.as<T>().row(b.out + r));
}

template <class T>
QSWEEP_KERNEL void gelu_delta_block(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                                    MatrixView dx, MatrixView dy) {
  for (int64_t r = first; r < first + count; ++r) {
    const float* a = x.row(b.parent + r);
    const T* d = dx.as<T>().row(b.in[0] + r);
    T* out = dy.as<T>().row(b.out + r);
    L::each(x.cols,
            [&](auto at) QSWEEP_LANES { L::store(gelu_change(L::load(a, at), L::load(d, at)), out, at); });
  }
}

QSWEEP_KERNEL void Swiglu(int64_t begin, int64_t end, Matrix<const float> gate, Matrix<const float> up,
                          Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r)
    L::each(gate.cols, [&](auto at) QSWEEP_LANES {
      L::store(silu(L::load(gate.row(r), at)) * L::load(up.row(r), at), y.row(r), at);
    });
}

QSWEEP_KERNEL void Gelu(int64_t begin, int64_t end, Matrix<const float> x, Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r)
    L::each(x.cols, [&](auto at) QSWEEP_LANES {
      const V v = L::load(x.row(r), at);
      L::store(v * L::normal_cdf(v), y.row(r), at);
    });
}

QSWEEP_KERNEL void SwigluDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> gate,
                               Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy) {
  if (dy.dtype == DType::bf16) {
    swiglu_delta_block<bf16>(b, first, count, gate, up, dgate, dup, dy);
  } else {
    swiglu_delta_block<float>(b, first, count, gate, up, dgate, dup, dy);
  }
}

QSWEEP_KERNEL void GeluDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                             MatrixView dx, MatrixView dy) {
  if (dy.dtype == DType::bf16) {
    gelu_delta_block<bf16>(b, first, count, x, dx, dy);
  } else {
    gelu_delta_block<float>(b, first, count, x, dx, dy);
  }
}

QSWEEP_KERNEL void SwigluVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> gate,
                             Matrix<const float> up, MatrixView dy, MatrixView dgate, MatrixView dup) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const float *gates = gate.row(b.parent + r), *ups = up.row(b.parent + r);
      const T* g = dy.as<T>().row(b.in[0] + r);
      T *out_gate = dgate.as<T>().row(b.out + r), *out_up = dup.as<T>().row(b.out + r);
      L::each(gate.cols, [&](auto at) QSWEEP_LANES {
        const V a = L::load(gates, at), d = L::load(g, at);
        L::store(d * L::load(ups, at) * silu_slope(a), out_gate, at);
        L::store(d * silu(a), out_up, at);
      });
    }
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void GeluVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                           MatrixView dy, MatrixView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const float* a = x.row(b.parent + r);
      const T* g = dy.as<T>().row(b.in[0] + r);
      T* out = dx.as<T>().row(b.out + r);
      L::each(x.cols,
              [&](auto at) QSWEEP_LANES { L::store(L::load(g, at) * gelu_slope(L::load(a, at)), out, at); });
    }
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
