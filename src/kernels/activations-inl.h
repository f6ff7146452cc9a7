// The bodies of the activations. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#include "kernels/activations.h"
#include "kernels/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

using V = L::V;

// The arguments g of the logistic function s in activations x s(g(x)), with g(a + d) - g(a), which does not
// cancel, and the derivative.
struct Silu {
  static QSWEEP_KERNEL V g(V x) { return x; }
  static QSWEEP_KERNEL V change(V, V d) { return d; }
  static QSWEEP_KERNEL V slope(V) { return L::set(1); }
};

struct QuickGelu {
  static constexpr float kFactor = 1.702f;
  static QSWEEP_KERNEL V g(V x) { return x * L::set(kFactor); }
  static QSWEEP_KERNEL V change(V, V d) { return d * L::set(kFactor); }
  static QSWEEP_KERNEL V slope(V) { return L::set(kFactor); }
};

// g(a + d) - g(a) = k d (1 + c (3 a^2 + 3 a d + d^2)), whose last sum is never negative.
struct GeluTanh {
  static constexpr float kFactor = 1.5957691216057308f;  // 2 sqrt(2 / pi)
  static constexpr float kCube = 0.044715f;
  static QSWEEP_KERNEL V g(V x) { return x * L::set(kFactor) * L::fma(x * x, L::set(kCube), L::set(1)); }
  static QSWEEP_KERNEL V change(V a, V d) {
    const V squares = L::fma(a * L::set(3), a + d, d * d);
    return d * L::set(kFactor) * L::fma(squares, L::set(kCube), L::set(1));
  }
  static QSWEEP_KERNEL V slope(V x) { return L::set(kFactor) * L::fma(x * x, L::set(3 * kCube), L::set(1)); }
};

// f(x) = x s(g(x))
template <class G>
struct Logistic {
  static QSWEEP_KERNEL V value(V x) { return x * L::sigmoid(G::g(x)); }

  // f(a + d) - f(a) without cancellation: with g = g(a), h its change, for small h and u = e^h - 1
  // d s(g+h) + a s(g) s(-g) u / (1 + s(g) u), where s(g+h) = s(g) (1 + u) / (1 + s(g) u). Else for h >= 0:
  // d s(g+h) + a s(g+h) s(-g) (1 - e^-h); for h < 0: d s(g+h) + a s(g) s(-g-h) (e^h - 1); e^-|h| never
  // overflows. Where g and h are large and opposite, g + h is not g(a+d) any more.
  static QSWEEP_KERNEL V change(V a, V d) {
    const V one = L::set(1), g = G::g(a), h = G::change(a, d);
    const auto [s, rest] = L::sigmoids(g);
    if (L::all(L::abs(h) < L::set(L::kSmallExponent))) {
      const V u = L::expm1_small(h), inverse = one / L::fma(s, u, one), left = s * inverse;
      return L::fma(d * left, one + u, a * rest * left * u);
    }
    const V e = L::expm1(L::zero() - L::abs(h));
    const auto [changed, changed_rest] = L::sigmoids(G::g(a + d));
    const auto grows = h >= L::zero();
    const V product = L::select(grows, changed * rest, s * changed_rest);
    return L::fma(a * product, L::select(grows, L::zero() - e, e), d * changed);
  }

  // f'(x) = s(g) (1 + x g' s(-g))
  static QSWEEP_KERNEL V slope(V x) {
    const auto [s, rest] = L::sigmoids(G::g(x));
    return s * L::fma(x * G::slope(x), rest, L::set(1));
  }
};

// f(x) = x Phi(x)
struct Gelu {
  static constexpr float kInverseRootTwoPi = 0.39894228040143268f;

  static QSWEEP_KERNEL V value(V x) { return x * L::normal_cdf(x); }

  // d Phi(a+d) + a (Phi(a+d) - Phi(a)). For |d| < 1/2 the last difference is d times the mean of the normal
  // density over [a, a+d], by five-point Gauss-Legendre quadrature.
  static QSWEEP_KERNEL V change(V a, V d) {
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

  // Phi(x) + x phi(x), phi the normal density
  static QSWEEP_KERNEL V slope(V x) {
    const V density = L::exp(x * x * L::set(-0.5f)) * L::set(kInverseRootTwoPi);
    return L::fma(x, density, L::normal_cdf(x));
  }
};

// run(a pointer to one of the structs above).
template <class Run>
QSWEEP_KERNEL void with_function(Activation f, Run&& run) {
  switch (f) {
    case Activation::silu:
      return run(static_cast<Logistic<Silu>*>(nullptr));
    case Activation::gelu:
      return run(static_cast<Gelu*>(nullptr));
    case Activation::gelu_tanh:
      return run(static_cast<Logistic<GeluTanh>*>(nullptr));
    case Activation::quick_gelu:
      return run(static_cast<Logistic<QuickGelu>*>(nullptr));
  }
}

// What a gated form makes of gate and up before they are multiplied; of the changes, and of the gradients
// with respect to what it makes. A NaN stays one.
struct AsTheyAre {
  QSWEEP_KERNEL V gate(V x) const { return x; }
  QSWEEP_KERNEL V gate_change(V, V d) const { return d; }
  QSWEEP_KERNEL V gate_vjp(V, V g) const { return g; }
  QSWEEP_KERNEL V up(V x) const { return x; }
  QSWEEP_KERNEL V up_change(V, V d) const { return d; }
  QSWEEP_KERNEL V up_vjp(V, V g) const { return g; }
};

// Of a number x that becomes y, the change is (x - y) + d where x + d is not cut off, else limit - y.
struct Clamped {
  float limit, offset;

  QSWEEP_KERNEL V top() const { return L::set(limit); }
  QSWEEP_KERNEL V bottom() const { return L::set(-limit); }
  QSWEEP_KERNEL V gate(V x) const { return L::select(x > top(), top(), x); }
  QSWEEP_KERNEL V gate_change(V x, V d) const {
    const V before = gate(x);
    return L::select(x + d > top(), top() - before, (x - before) + d);
  }
  QSWEEP_KERNEL V gate_vjp(V x, V g) const { return L::select(x > top(), L::zero(), g); }
  QSWEEP_KERNEL V between(V x) const { return L::select(bottom() > x, bottom(), gate(x)); }
  QSWEEP_KERNEL V up(V x) const { return between(x) + L::set(offset); }
  QSWEEP_KERNEL V up_change(V x, V d) const {
    const V before = between(x), changed = x + d;
    return L::select(L::abs(changed) > top(), between(changed) - before, (x - before) + d);
  }
  QSWEEP_KERNEL V up_vjp(V x, V g) const { return L::select(L::abs(x) > top(), L::zero(), g); }
};

// run(a pointer to an activation, what is done before).
template <class Run>
QSWEEP_KERNEL void with_form(const GatedForm& form, Run&& run) {
  with_function(form.f, [&]<class F>(F* f) QSWEEP_LANES {
    form.clamped() ? run(f, Clamped{form.limit, form.offset}) : run(f, AsTheyAre{});
  });
}

// d(f(g) u) = d f(g) (u + du) + f(g) du
template <class F, class Before, class T>
QSWEEP_KERNEL void gated_delta_row(const Before& before, int64_t n, const float* gate, const float* up,
                                   const T* dgate, const T* dup, T* dy) {
  const auto gate_of = [&](auto at) QSWEEP_LANES { return before.gate(L::load(gate, at)); };
  const auto up_of = [&](auto at) QSWEEP_LANES { return before.up(L::load(up, at)); };
  const auto activation_change = [&](auto at) QSWEEP_LANES {
    return F::change(gate_of(at), before.gate_change(L::load(gate, at), L::load(dgate, at)));
  };
  const auto up_change = [&](auto at)
                             QSWEEP_LANES { return before.up_change(L::load(up, at), L::load(dup, at)); };
  if (dup == nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(activation_change(at) * up_of(at), dy, at); });
  } else if (dgate == nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(F::value(gate_of(at)) * up_change(at), dy, at); });
  } else {
    L::each(n, [&](auto at) QSWEEP_LANES {
      const V du = up_change(at);
      L::store(L::fma(activation_change(at), up_of(at) + du, F::value(gate_of(at)) * du), dy, at);
    });
  }
}

QSWEEP_KERNEL void Gated(int64_t begin, int64_t end, GatedForm form, Matrix<const float> gate,
                         Matrix<const float> up, Matrix<float> y) {
  with_form(form, [&]<class F>(F*, const auto& before) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      L::each(gate.cols, [&](auto at) QSWEEP_LANES {
        const V g = before.gate(L::load(gate.row(r), at)), u = before.up(L::load(up.row(r), at));
        L::store(F::value(g) * u, y.row(r), at);
      });
  });
}

QSWEEP_KERNEL void GatedDelta(const RowBlock& b, int64_t first, int64_t count, GatedForm form,
                              Matrix<const float> gate, Matrix<const float> up, MatrixView dgate,
                              MatrixView dup, MatrixView dy) {
  with_form(form, [&]<class F, class Before>(F*, const Before& before) QSWEEP_LANES {
    const auto run = [&]<class T>(T*) QSWEEP_LANES {
      for (int64_t r = first; r < first + count; ++r)
        gated_delta_row<F, Before, T>(before, gate.cols, gate.row(b.parent + r), up.row(b.parent + r),
                                      row_or_null<T>(dgate, b.in[0], r), row_or_null<T>(dup, b.in[1], r),
                                      dy.as<T>().row(b.out + r));
    };
    dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
  });
}

QSWEEP_KERNEL void GatedVjp(const RowBlock& b, int64_t first, int64_t count, GatedForm form,
                            Matrix<const float> gate, Matrix<const float> up, MatrixView dy, MatrixView dgate,
                            MatrixView dup) {
  with_form(form, [&]<class F>(F*, const auto& before) QSWEEP_LANES {
    const auto run = [&]<class T>(T*) QSWEEP_LANES {
      for (int64_t r = first; r < first + count; ++r) {
        const float *gates = gate.row(b.parent + r), *ups = up.row(b.parent + r);
        const T* g = dy.as<T>().row(b.in[0] + r);
        T *out_gate = dgate.as<T>().row(b.out + r), *out_up = dup.as<T>().row(b.out + r);
        L::each(gate.cols, [&](auto at) QSWEEP_LANES {
          const V a = L::load(gates, at), u = L::load(ups, at), d = L::load(g, at), cut = before.gate(a);
          L::store(before.gate_vjp(a, d * before.up(u) * F::slope(cut)), out_gate, at);
          L::store(before.up_vjp(u, d * F::value(cut)), out_up, at);
        });
      }
    };
    dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
  });
}

QSWEEP_KERNEL void Activate(int64_t begin, int64_t end, Activation f, Matrix<const float> x,
                            Matrix<float> y) {
  with_function(f, [&]<class F>(F*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      L::each(x.cols, [&](auto at) QSWEEP_LANES { L::store(F::value(L::load(x.row(r), at)), y.row(r), at); });
  });
}

QSWEEP_KERNEL void ActivationDelta(const RowBlock& b, int64_t first, int64_t count, Activation f,
                                   Matrix<const float> x, MatrixView dx, MatrixView dy) {
  with_function(f, [&]<class F>(F*) QSWEEP_LANES {
    const auto run = [&]<class T>(T*) QSWEEP_LANES {
      for (int64_t r = first; r < first + count; ++r) {
        const float* a = x.row(b.parent + r);
        const T* d = dx.as<T>().row(b.in[0] + r);
        T* out = dy.as<T>().row(b.out + r);
        L::each(x.cols,
                [&](auto at) QSWEEP_LANES { L::store(F::change(L::load(a, at), L::load(d, at)), out, at); });
      }
    };
    dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
  });
}

QSWEEP_KERNEL void ActivationVjp(const RowBlock& b, int64_t first, int64_t count, Activation f,
                                 Matrix<const float> x, MatrixView dy, MatrixView dx) {
  with_function(f, [&]<class F>(F*) QSWEEP_LANES {
    const auto run = [&]<class T>(T*) QSWEEP_LANES {
      for (int64_t r = first; r < first + count; ++r) {
        const float* a = x.row(b.parent + r);
        const T* g = dy.as<T>().row(b.in[0] + r);
        T* out = dx.as<T>().row(b.out + r);
        L::each(x.cols,
                [&](auto at) QSWEEP_LANES { L::store(L::load(g, at) * F::slope(L::load(a, at)), out, at); });
      }
    };
    dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
  });
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
