// What the scans of the gated delta rule are made of: gates, queries and keys of length 1, sums over the rows
// of a state, each with its change. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#if defined(QSWEEP_KERNELS_DELTA_RULE_PARTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QSWEEP_KERNELS_DELTA_RULE_PARTS_INL_H_
#undef QSWEEP_KERNELS_DELTA_RULE_PARTS_INL_H_
#else
#define QSWEEP_KERNELS_DELTA_RULE_PARTS_INL_H_
#endif

#include <cmath>

#include "kernels/delta_rule.h"
#include "kernels/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

using V = L::V;

// --- gates: few numbers per token and head, which all lanes compute

QSWEEP_KERNEL inline double logistic(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

// s(x + d) - s(x)
QSWEEP_KERNEL inline double logistic_change(double x, double d) {
  return d >= 0 ? logistic(x + d) * logistic(-x) * -std::expm1(-d)
                : logistic(x) * logistic(-x - d) * std::expm1(d);
}

// log(1 + e^x)
QSWEEP_KERNEL inline double softplus(double x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}

// softplus(x + d) - softplus(x) = log(1 + s(x) (e^d - 1)), taken from the smaller of both, so that the
// logarithm is of no number below 1.
QSWEEP_KERNEL inline double softplus_change(double x, double d) {
  if (std::fabs(d) > 1) return softplus(x + d) - softplus(x);
  return d >= 0 ? std::log1p(logistic(x) * std::expm1(d)) : -std::log1p(logistic(x + d) * std::expm1(-d));
}

struct Gates {
  double decay, beta;
};
struct GateChange {
  double decay, d_decay;  // the new one, and what it is more
  double beta, d_beta;
};

struct GateRule {
  double rate, dt_bias;  // decay = e^(-rate softplus(a + dt_bias))

  QSWEEP_KERNEL GateRule(const DeltaRule& rule, int64_t head)
      : rate(std::exp(static_cast<double>(rule.a_log[head]))),
        dt_bias(static_cast<double>(rule.dt_bias[head])) {}

  QSWEEP_KERNEL Gates of(float a, float b) const {
    return {std::exp(-rate * softplus(static_cast<double>(a) + dt_bias)), logistic(static_cast<double>(b))};
  }
  QSWEEP_KERNEL GateChange change(float a, float b, double da, double db) const {
    const double x = static_cast<double>(a) + dt_bias, at = static_cast<double>(b);
    const double log_decay = -rate * softplus(x), more = -rate * softplus_change(x, da);
    const double decay = std::exp(log_decay + more);
    return {decay, more < 0 ? std::exp(log_decay) * std::expm1(more) : decay * -std::expm1(-more),
            logistic(at + db), logistic_change(at, db)};
  }
  // The cotangent of a for that of the decay's logarithm.
  QSWEEP_KERNEL double slope(float a) const { return -rate * logistic(static_cast<double>(a) + dt_bias); }
};

template <class T>
QSWEEP_KERNEL inline T narrowed(double x) {
  if constexpr (std::is_same_v<T, float>)
    return static_cast<float>(x);
  else
    return to_bf16(static_cast<float>(x));
}

// --- queries and keys: y = scale x / |x|, |x| = (sum x^2 + eps)^(1/2), n elements

template <class Part>
QSWEEP_KERNEL float inverse_length(Part part, int64_t n, const float* x, float eps) {
  const float squares = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at);
    return v * v;
  });
  return 1.0f / std::sqrt(squares + eps);
}

template <class Part>
QSWEEP_KERNEL void normalize(Part part, int64_t n, const float* x, float eps, float scale, float* y) {
  const V r = L::set(scale * inverse_length(part, n, x, eps));
  part.each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at) * r, y, at); });
}

// y' and dy = y' - y for x' = x + d, as in an RMS norm; no d: no change.
template <class Part, class T>
QSWEEP_KERNEL void normalize_changed(Part part, int64_t n, const float* x, const T* d, float eps, float scale,
                                     float* y_new, float* dy) {
  if (d == nullptr) {
    normalize(part, n, x, eps, scale, y_new);
    return part.fill(n, 0.0f, dy);
  }
  const float change = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at), more = L::load(d, at);
    return more * (v + v + more);
  });
  const float squares_new = part.sum(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at) + L::load(d, at);
    return v * v;
  });
  const float r = inverse_length(part, n, x, eps), r_new = 1.0f / std::sqrt(squares_new + eps);
  const V scale_new = L::set(scale * r_new);
  const V scale_x = L::set(-change * (r * r_new) * (r * r_new) / (r + r_new) * scale);
  part.each(n, [&](auto at) QSWEEP_LANES {
    const V v = L::load(x, at), more = L::load(d, at);
    L::store((v + more) * scale_new, y_new, at);
    L::store(L::fma(more, scale_new, v * scale_x), dy, at);
  });
}

// dx = scale (r g - x r^3 sum(g x))
template <class Part, class T>
QSWEEP_KERNEL void normalize_vjp(Part part, int64_t n, const float* x, const float* g, float eps, float scale,
                                 T* dx) {
  const float projection = part.sum(n, [&](auto at) QSWEEP_LANES { return L::load(g, at) * L::load(x, at); });
  const float r = inverse_length(part, n, x, eps);
  const V scale_g = L::set(scale * r), scale_x = L::set(-projection * scale * r * r * r);
  part.each(n, [&](auto at) QSWEEP_LANES {
    L::store(L::fma(L::load(x, at), scale_x, L::load(g, at) * scale_g), dx, at);
  });
}

// Of a query: keys are scaled by 1.
QSWEEP_KERNEL inline float query_scale(const DeltaRule& rule) {
  return 1.0f / std::sqrt(static_cast<float>(rule.key_dim));
}

// --- sums over the n rows of a state

// body(i, sums) for every i, with the sums of even and of odd rows apart: each is a chain of additions that
// wait for each other.
template <class Sums, class Body>
QSWEEP_KERNEL Sums over_rows(int64_t n, Body&& body) {
  Sums even, odd;
  int64_t i = 0;
  for (; i + 2 <= n; i += 2) {
    body(i, even);
    body(i + 1, odd);
  }
  if (i < n) body(i, even);
  return even + odd;
}

struct OneSum {
  V of;
  QSWEEP_KERNEL OneSum() : of(L::zero()) {}
  QSWEEP_KERNEL explicit OneSum(V v) : of(v) {}
  QSWEEP_KERNEL OneSum operator+(const OneSum& other) const { return OneSum(of + other.of); }
};

// The lanes of `at` in a state's row, which has room for whole ones.
template <class At>
QSWEEP_KERNEL AllLanes whole(At at) {
  return AllLanes{at.offset};
}

// From memory to where it is used.
struct Slot {
  float* next;
  QSWEEP_KERNEL float* take(int64_t n) {
    float* const taken = next;
    next += n;
    return taken;
  }
};

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
