// The bodies of the quantizers. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/lanes.h"
#include "kernels/quantize.h"
#include "kernels/rows.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// Of elements that are no NaN; 0 for none.
template <class Part>
QSWEEP_KERNEL float absmax_of(Part part, int64_t n, const float* x) {
  return std::max(part.max(n, [&](auto at) QSWEEP_LANES { return L::abs(L::load(x, at)); }), 0.0f);
}

QSWEEP_KERNEL float tensor_absmax(const GroupQuantizer& q) {
  return q.tensor == nullptr ? 0 : std::max(-q.tensor->min, q.tensor->max);
}

constexpr SmallFloat small_float(Grid grid) {
  return grid == Grid::e4m3 ? kE4M3 : grid == Grid::e3m2 ? kE3M2 : kE2M1;
}

// The nearest value of the grid between low and high, ties to the even code.
template <Grid kGrid>
QSWEEP_INLINE L::V round_to_grid(L::V x, L::V low, L::V high) {
  if constexpr (kGrid == Grid::integers) return L::clamp(L::round(x), low, high);
  constexpr SmallFloat format = small_float(kGrid);
  const auto inside = L::clamp(x, low, high);
  // Below the smallest normal number the steps stay as they are.
  const auto binade = L::larger(L::binade(inside), L::set(std::ldexp(1.0f, format.min_exponent)));
  // Near 1.5 2^(e + 23 - mantissa bits) the f32 numbers lie one step of the binade 2^e apart.
  const auto shift = binade * L::set(std::ldexp(1.5f, 23 - format.mantissa_bits));
  return (inside + shift) - shift;
}

// In: the groups' largest absolute values. Out: their scales (for the rule `inverse` its m), 0 where the
// group gives zeros.
QSWEEP_KERNEL void find_scales(const GroupQuantizer& q, int64_t n, float* groups) {
  const auto high = L::set(q.high);
  const auto each_group = [&](auto scale) QSWEEP_LANES {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(scale(L::load(groups, at)), groups, at); });
  };
  switch (q.rule) {
    case ScaleRule::absmax:
      return each_group([&](auto absmax) QSWEEP_LANES { return absmax / high; });
    case ScaleRule::power_of_two: {
      const auto down = L::set(std::ldexp(1.0f, -std::ilogb(q.high))), least = L::set(std::ldexp(1.0f, -127));
      return each_group([&](auto absmax) QSWEEP_LANES { return L::larger(L::binade(absmax) * down, least); });
    }
    case ScaleRule::power_of_two_up: {
      const int exponent = std::ilogb(q.high);
      const auto down = L::set(std::ldexp(1.0f, -exponent)), least = L::set(std::ldexp(1.0f, -127));
      const auto mantissa = L::set(std::ldexp(q.high, -exponent));
      return each_group([&](auto absmax) QSWEEP_LANES {
        const auto binade = L::binade(absmax), scale = binade * down;
        return L::larger(L::select(absmax > binade * mantissa, scale + scale, scale), least);
      });
    }
    case ScaleRule::two_level: {
      const float tensor_scale = tensor_absmax(q) / (q.high * kE4M3.max);
      const float step = q.high * tensor_scale;
      if (step == 0) {
        return L::fill(n, 0.0f, groups);
      }
      return each_group([&](auto absmax) QSWEEP_LANES {
        return round_to_grid<Grid::e4m3>(absmax / L::set(step), L::zero(), L::set(kE4M3.max)) *
               L::set(tensor_scale);
      });
    }
    case ScaleRule::half_span: {
      const auto half = L::set((q.high - q.low) / 2), least = L::set(std::numeric_limits<float>::epsilon());
      return each_group([&](auto absmax) QSWEEP_LANES { return L::larger(absmax / half, least); });
    }
    case ScaleRule::inverse: {
      const auto least = L::set(std::ldexp(1.0f, -24)), one = L::set(1.0f);
      if (q.grid == Grid::integers)
        return each_group([&](auto absmax)
                              QSWEEP_LANES { return L::select(absmax > least, high / absmax, L::zero()); });
      return each_group([&](auto absmax)
                            QSWEEP_LANES { return one / L::select(absmax > least, absmax, one) * high; });
    }
  }
}

// One group: the code of a value, and the value of a code.
template <Grid kGrid, ScaleRule kRule>
struct GroupCodec {
  L::V scale, inverse, low, high;

  QSWEEP_INLINE GroupCodec(const GroupQuantizer& q, float s)
      : scale(L::set(s)), inverse(L::set(1 / s)), low(L::set(q.low)), high(L::set(q.high)) {}

  QSWEEP_INLINE L::V code(L::V v) const {
    if constexpr (kRule == ScaleRule::half_span) return round_to_grid<kGrid>(v * inverse, low, high);
    if constexpr (kRule == ScaleRule::inverse) return round_to_grid<kGrid>(v * scale, low, high);
    return round_to_grid<kGrid>(v / scale, low, high);
  }
  QSWEEP_INLINE L::V value(L::V code) const {
    if constexpr (kRule != ScaleRule::inverse) return code * scale;
    if constexpr (kGrid == Grid::integers) return code / scale;
    return code * inverse;
  }
};

// What a scale of 0 gives: zeros, but for a NaN.
template <class Part>
QSWEEP_KERNEL void zeros(Part part, int64_t n, const float* x, float* y) {
  part.each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at) * L::zero(), y, at); });
}

template <Grid kGrid, ScaleRule kRule, class Part>
QSWEEP_KERNEL void fake_quantize_group(Part part, const GroupQuantizer& q, int64_t n, const float* x,
                                       float scale, float* y) {
  if (scale == 0) return zeros(part, n, x, y);
  const GroupCodec<kGrid, kRule> codec(q, scale);
  part.each(n, [&](auto at) QSWEEP_LANES { L::store(codec.value(codec.code(L::load(x, at))), y, at); });
}

template <Grid kGrid, ScaleRule kRule>
QSWEEP_KERNEL void fake_quantize_all_groups(int64_t begin, int64_t end, const GroupQuantizer& q,
                                            Matrix<const float> x, Matrix<float> y) {
  const int64_t groups = groups_of(x.cols, q.group);
  L::Scratch scratch(groups);
  float* const scales = scratch.data();
  for (int64_t r = begin; r < end; ++r) {
    const auto for_groups = [&](auto body) QSWEEP_LANES {
      L::each_part(groups, q.group, [&](auto part, int64_t g) QSWEEP_LANES {
        const int64_t first = g * q.group;
        body(part, scales[g], first, std::min(q.group, x.cols - first));
      });
    };
    for_groups([&](auto part, float& absmax, int64_t first, int64_t n) QSWEEP_LANES {
      const float found = q.one_scale ? tensor_absmax(q) : absmax_of(part, n, x.row(r) + first);
      part.once([&]() QSWEEP_LANES { absmax = found; });
    });
    find_scales(q, groups, scales);
    for_groups([&](auto part, float s, int64_t first, int64_t n) QSWEEP_LANES {
      fake_quantize_group<kGrid, kRule>(part, q, n, x.row(r) + first, s, y.row(r) + first);
    });
  }
}

template <Grid kGrid>
QSWEEP_KERNEL void fake_quantize_grid(int64_t begin, int64_t end, const GroupQuantizer& q,
                                      Matrix<const float> x, Matrix<float> y) {
  switch (q.rule) {
    case ScaleRule::half_span:
      return fake_quantize_all_groups<kGrid, ScaleRule::half_span>(begin, end, q, x, y);
    case ScaleRule::inverse:
      return fake_quantize_all_groups<kGrid, ScaleRule::inverse>(begin, end, q, x, y);
    case ScaleRule::absmax:
    case ScaleRule::power_of_two:
    case ScaleRule::power_of_two_up:
    case ScaleRule::two_level:  // applied alike
      return fake_quantize_all_groups<kGrid, ScaleRule::absmax>(begin, end, q, x, y);
  }
}

QSWEEP_KERNEL void FakeQuantizeGroups(int64_t begin, int64_t end, GroupQuantizer q, Matrix<const float> x,
                                      Matrix<float> y) {
  switch (q.grid) {
    case Grid::integers:
      return fake_quantize_grid<Grid::integers>(begin, end, q, x, y);
    case Grid::e4m3:
      return fake_quantize_grid<Grid::e4m3>(begin, end, q, x, y);
    case Grid::e3m2:
      return fake_quantize_grid<Grid::e3m2>(begin, end, q, x, y);
    case Grid::e2m1:
      return fake_quantize_grid<Grid::e2m1>(begin, end, q, x, y);
  }
}

template <ScaleRule kRule>
QSWEEP_KERNEL void quantize_all_rows(int64_t begin, int64_t end, const GroupQuantizer& q,
                                     Matrix<const float> x, Matrix<int8_t> codes, float* scale,
                                     int32_t* sums) {
  for (int64_t r = begin; r < end; ++r) {
    const float absmax = q.one_scale ? tensor_absmax(q) : absmax_of(L(), x.cols, x.row(r));
    L::once([&]() QSWEEP_LANES { scale[r] = absmax; });
    find_scales(q, 1, &scale[r]);
    const float found = scale[r];
    float sum = 0;  // exact below 2^24
    if (found == 0) {
      L::fill(x.cols, int8_t{0}, codes.row(r));
    } else {
      const GroupCodec<Grid::integers, kRule> codec(q, found);
      sum = L::sum(x.cols, [&](auto at) QSWEEP_LANES {
        const auto code = codec.code(L::load(x.row(r), at));
        L::store(code, codes.row(r), at);
        return code;
      });
    }
    L::once([&]() QSWEEP_LANES {
      if (kRule == ScaleRule::inverse && found != 0) scale[r] = 1 / found;
      if (sums != nullptr) sums[r] = static_cast<int32_t>(sum);
    });
  }
}

QSWEEP_KERNEL void QuantizeRows(int64_t begin, int64_t end, GroupQuantizer q, Matrix<const float> x,
                                Matrix<int8_t> codes, float* scale, int32_t* sums) {
  switch (q.rule) {
    case ScaleRule::half_span:
      return quantize_all_rows<ScaleRule::half_span>(begin, end, q, x, codes, scale, sums);
    case ScaleRule::inverse:
      return quantize_all_rows<ScaleRule::inverse>(begin, end, q, x, codes, scale, sums);
    case ScaleRule::absmax:
    case ScaleRule::power_of_two:
    case ScaleRule::power_of_two_up:
    case ScaleRule::two_level:  // applied alike
      return quantize_all_rows<ScaleRule::absmax>(begin, end, q, x, codes, scale, sums);
  }
}

constexpr float kAffineTop = 255;

struct AffineScale {
  float scale = 0, zero_point = 0;
};
QSWEEP_KERNEL AffineScale affine_scale(const AffineQuantizer& q) {
  const float top = kAffineTop;
  const float low = std::min(q.range->min, 0.0f), high = std::max(q.range->max, 0.0f);
  float scale = (high - low) / top;
  if (q.half_span) scale = std::max(scale, std::numeric_limits<float>::epsilon());
  if (scale == 0) return {};
  return {scale, std::clamp(std::nearbyint(-low / scale), 0.0f, top)};
}

// What is added to a code for its dtype.
QSWEEP_KERNEL float affine_shift(DType codes) { return codes == DType::i8 ? -128.0f : 0.0f; }

// body(the code of the lanes at `at` in row r).
template <class Body>
QSWEEP_INLINE void each_affine_code(int64_t begin, int64_t end, const AffineQuantizer& q, AffineScale found,
                                    Matrix<const float> x, Body&& body) {
  const auto scale = L::set(found.scale), inverse = L::set(1 / found.scale);
  const auto zero = L::set(found.zero_point), top = L::set(kAffineTop);
  for (int64_t r = begin; r < end; ++r) {
    L::each(x.cols, [&](auto at) QSWEEP_LANES {
      const auto v = L::load(x.row(r), at);
      const auto steps = L::round(q.half_span ? v * inverse : v / scale);
      body(L::clamp(steps + zero, L::zero(), top), r, at);
    });
  }
}

template <class T>
QSWEEP_KERNEL void quantize_affine_rows(int64_t begin, int64_t end, const AffineQuantizer& q,
                                        Matrix<const float> x, float shift, Matrix<T> codes) {
  const AffineScale found = affine_scale(q);
  if (found.scale == 0) {
    for (int64_t r = begin; r < end; ++r) L::fill(x.cols, static_cast<T>(shift), codes.row(r));
    return;
  }
  each_affine_code(begin, end, q, found, x, [&](auto code, int64_t r, auto at) QSWEEP_LANES {
    L::store(code + L::set(shift), codes.row(r), at);
  });
}

QSWEEP_KERNEL void QuantizeAffine(int64_t begin, int64_t end, AffineQuantizer q, Matrix<const float> x,
                                  MatrixView codes) {
  const float shift = affine_shift(codes.dtype);
  if (codes.dtype == DType::i8) {
    quantize_affine_rows(begin, end, q, x, shift, codes.as<int8_t>());
  } else {
    quantize_affine_rows(begin, end, q, x, shift, codes.as<uint8_t>());
  }
}

QSWEEP_KERNEL void Dequantize(int64_t begin, int64_t end, IntegerProducts from, Matrix<const float> minus,
                              Matrix<float> y) {
  using D = Lanes64;
  const bool per_row = from.row_scale != nullptr;
  const AffineScale found = per_row ? AffineScale{} : affine_scale(from.affine);
  const float zero = per_row ? 0 : found.zero_point + affine_shift(from.affine_codes);
  const auto zero_point = D::set(zero);
  for (int64_t r = begin; r < end; ++r) {
    const auto row_scale = D::set(per_row ? from.row_scale[r] : found.scale);
    D::each(y.cols, [&](auto at) QSWEEP_LANES {
      auto sum = D::load(from.products.row(r), at);
      if (zero != 0) sum = sum - zero_point * D::load(from.column_sum, at);
      auto value = sum * (row_scale * D::load(from.column_scale, at));
      if (from.bias != nullptr) value = value + D::load(from.bias, at);
      if (minus.data != nullptr) value = value - D::load(minus.row(r), at);
      D::store(value, y.row(r), at);
    });
  }
}

QSWEEP_KERNEL void FakeQuantizeAffine(int64_t begin, int64_t end, AffineQuantizer q, Matrix<const float> x,
                                      Matrix<float> y) {
  const AffineScale found = affine_scale(q);
  if (found.scale == 0) {
    for (int64_t r = begin; r < end; ++r) zeros(L(), x.cols, x.row(r), y.row(r));
    return;
  }
  const auto scale = L::set(found.scale), zero = L::set(found.zero_point);
  each_affine_code(begin, end, q, found, x, [&](auto code, int64_t r, auto at) QSWEEP_LANES {
    L::store((code - zero) * scale, y.row(r), at);
  });
}

QSWEEP_KERNEL void RowAbsmax(int64_t begin, int64_t end, Matrix<const float> x, float* absmax) {
  for (int64_t r = begin; r < end; ++r) {
    const float found = absmax_of(L(), x.cols, x.row(r));
    L::once([&]() QSWEEP_LANES { absmax[r] = found; });
  }
}

QSWEEP_KERNEL void RowMinMax(int64_t begin, int64_t end, Matrix<const float> x, float* min, float* max) {
  for (int64_t r = begin; r < end; ++r) {
    const float highest = L::max(x.cols, [&](auto at) QSWEEP_LANES { return L::load(x.row(r), at); });
    const float lowest =
        -L::max(x.cols, [&](auto at) QSWEEP_LANES { return L::zero() - L::load(x.row(r), at); });
    L::once([&]() QSWEEP_LANES {
      max[r] = highest;
      min[r] = lowest;
    });
  }
}

QSWEEP_KERNEL void JoinRanges(int64_t begin, int64_t end, const float* min, const float* max, int64_t n,
                              float* joined_min, float* joined_max) {
  for (int64_t r = begin; r < end; ++r) {
    const float highest = L::max(n, [&](auto at) QSWEEP_LANES { return L::load(max, at); });
    const float lowest = -L::max(n, [&](auto at) QSWEEP_LANES { return L::zero() - L::load(min, at); });
    L::once([&]() QSWEEP_LANES {
      joined_min[r] = lowest;
      joined_max[r] = highest;
    });
  }
}

QSWEEP_KERNEL void RowSum(int64_t begin, int64_t end, Matrix<const double> x, double* sums) {
  for (int64_t r = begin; r < end; ++r) {
    const double sum =
        Lanes64::sum(x.cols, [&](auto at) QSWEEP_LANES { return Lanes64::load(x.row(r), at); });
    L::once([&]() QSWEEP_LANES { sums[r] = sum; });
  }
}

template <class T>
QSWEEP_KERNEL void squared_norm_rows(int64_t begin, int64_t end, Matrix<const T> x, double* squared_norm) {
  for (int64_t r = begin; r < end; ++r) {
    const double sum = Lanes64::sum(x.cols, [&](auto at) QSWEEP_LANES {
      const auto v = Lanes64::load(x.row(r), at);
      return v * v;
    });
    L::once([&]() QSWEEP_LANES { squared_norm[r] = sum; });
  }
}

QSWEEP_KERNEL void RowSquaredNorm(int64_t begin, int64_t end, MatrixView x, double* squared_norm) {
  if (x.dtype == DType::bf16) {
    squared_norm_rows<bf16>(begin, end, x.as<bf16>(), squared_norm);
  } else {
    squared_norm_rows<float>(begin, end, x.as<float>(), squared_norm);
  }
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
