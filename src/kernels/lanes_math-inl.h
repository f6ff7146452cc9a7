// exp and what is made of it, once for all devices. Included at the end of a device's lanes, in whose `Words`
// it is written.
HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {

// T: float, or double for the score sums.
template <class T>
struct LanesOf : Words<T> {
  using W = Words<T>;
  using typename W::V;
  using W::abs, W::all, W::clamp, W::floor, W::fma, W::pow2, W::round, W::select, W::set, W::zero;

  // e^x: relative error below 2 ulp (f32); 0 below the range, +inf above it.
  static QSWEEP_INLINE V exp(V x) {
    const V y = in_range(x);
    const V n = power_of_two(y);
    const V p = expm1_reduced(remainder(y, n));
    return scale(p + set(1), n);
  }

  // e^x - 1 without cancellation: relative error below 3 ulp.
  static QSWEEP_INLINE V expm1(V x) {
    const V y = select(x < set(T{-80}), set(T{-80}), in_range(x));  // e^-80 - 1 is -1, 2^-n finite
    const V n = power_of_two(y);
    const V p = expm1_reduced(remainder(y, n));
    // 2^n (p + (1 - 2^-n)): 2^n itself may overflow where the result does not.
    return scale(p + (set(1) - scale(set(1), zero() - n)), n);
  }

  // The same for |x| < kSmallExponent, for less.
  static constexpr T kSmallExponent = T{0.34};
  static QSWEEP_INLINE V expm1_small(V x) { return expm1_reduced(x); }

  // e^x - 1 - x without cancellation.
  static QSWEEP_INLINE V expm1_minus_x(V x) {
    const auto small = abs(x) < set(kSmallExponent);
    const V series = x * x * expm1_tail(x);
    if (all(small)) return series;
    return select(small, series, expm1(x) - x);
  }

  // The same for |x| <= 2^-6, for less.
  static QSWEEP_INLINE V expm1_minus_x_tiny(V x) {
    constexpr int terms = std::is_same_v<T, float> ? 3 : 5;
    return x * x * expm1_series<terms>(x);
  }

  // 1 / (1 + e^-x), and with it 1 / (1 + e^x): both accurate in both tails.
  struct Sigmoids {
    V of, of_minus;
  };
  static QSWEEP_INLINE Sigmoids sigmoids(V x) {
    const V e = exp(zero() - abs(x));
    const V large = set(1) / (set(1) + e), small = e * large;
    const auto negative = x < zero();
    return {select(negative, small, large), select(negative, large, small)};
  }
  static QSWEEP_INLINE V sigmoid(V x) { return sigmoids(x).of; }

 private:
  // Clamped to where e^x is 0 or infinite.
  static QSWEEP_INLINE V in_range(V x) {
    constexpr T low = std::is_same_v<T, float> ? T{-104} : T{-746};
    constexpr T high = std::is_same_v<T, float> ? T{89} : T{710};
    return clamp(x, set(low), set(high));
  }
  // n with x = n ln 2 + r, |r| <= ln 2 / 2.
  static QSWEEP_INLINE V power_of_two(V x) { return round(x * set(static_cast<T>(1.4426950408889634074))); }
  static QSWEEP_INLINE V remainder(V x, V n) {
    if constexpr (std::is_same_v<T, float>) {
      const V r = fma(n, set(-0.693359375f), x);
      return fma(n, set(2.12194440e-4f), r);
    } else {
      const V r = fma(n, set(-6.93147180369123816490e-01), x);
      return fma(n, set(-1.90821492927058770002e-10), r);
    }
  }
  // (e^r - 1 - r) / r^2 for |r| <= 0.35: the Taylor series to the last bit.
  static QSWEEP_INLINE V expm1_tail(V r) {
    constexpr int terms = std::is_same_v<T, float> ? 6 : 12;
    return expm1_series<terms>(r);
  }
  template <int terms>
  static QSWEEP_INLINE V expm1_series(V r) {
    constexpr double factorials[] = {2,      6,       24,       120,       720,        5040,       40320,
                                     362880, 3628800, 39916800, 479001600, 6227020800, 87178291200};
    V p = set(static_cast<T>(1 / factorials[terms]));
    for (int k = terms - 1; k >= 0; --k) p = fma(p, r, set(static_cast<T>(1 / factorials[k])));
    return p;
  }
  static QSWEEP_INLINE V expm1_reduced(V r) { return fma(r * r, expm1_tail(r), r); }
  // x 2^n, in two steps so that subnormal results and 2^128 are reached.
  static QSWEEP_INLINE V scale(V x, V n) {
    const V half = floor(n * set(T{0.5}));
    return x * pow2(half) * pow2(n - half);
  }
};

using Lanes = LanesOf<float>;
using Lanes64 = LanesOf<double>;

}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
