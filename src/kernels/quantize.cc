#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/block_rows.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// Of elements that are no NaN; 0 for none.
float absmax_of(int64_t n, const float* x) {
  return std::max(L::max(n, [&](auto at) QSWEEP_LANES { return L::abs(L::load(x, at)); }), 0.0f);
}

constexpr SmallFloat small_float(Grid grid) {
  return grid == Grid::e4m3 ? kE4M3 : grid == Grid::e3m2 ? kE3M2 : kE2M1;
}

// The nearest value of the grid between low and high, ties to the even code.
template <Grid kGrid>
HWY_INLINE L::V round_to_grid(L::V x, L::V low, L::V high) {
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
void find_scales(const GroupQuantizer& q, int64_t n, float* groups) {
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
    case ScaleRule::two_level: {
      const float tensor_scale = q.tensor_absmax / (q.high * kE4M3.max);
      const float step = q.high * tensor_scale;
      if (step == 0) {
        std::fill_n(groups, n, 0.0f);
        return;
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

  GroupCodec(const GroupQuantizer& q, float s)
      : scale(L::set(s)), inverse(L::set(1 / s)), low(L::set(q.low)), high(L::set(q.high)) {}

  HWY_INLINE L::V code(L::V v) const {
    if constexpr (kRule == ScaleRule::half_span) return round_to_grid<kGrid>(v * inverse, low, high);
    if constexpr (kRule == ScaleRule::inverse) return round_to_grid<kGrid>(v * scale, low, high);
    return round_to_grid<kGrid>(v / scale, low, high);
  }
  HWY_INLINE L::V value(L::V code) const {
    if constexpr (kRule != ScaleRule::inverse) return code * scale;
    if constexpr (kGrid == Grid::integers) return code / scale;
    return code * inverse;
  }
};

// What a scale of 0 gives: zeros, but for a NaN.
void zeros(int64_t n, const float* x, float* y) {
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at) * L::zero(), y, at); });
}

template <Grid kGrid, ScaleRule kRule>
void fake_quantize_group(const GroupQuantizer& q, int64_t n, const float* x, float scale, float* y) {
  if (scale == 0) return zeros(n, x, y);
  const GroupCodec<kGrid, kRule> codec(q, scale);
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(codec.value(codec.code(L::load(x, at))), y, at); });
}

template <Grid kGrid, ScaleRule kRule>
void fake_quantize_all_groups(const GroupQuantizer& q, Matrix<const float> x, Matrix<float> y) {
  const int64_t groups = (x.cols + q.group - 1) / q.group;
  std::vector<float> scale(static_cast<size_t>(groups));
  for (int64_t r = 0; r < x.rows; ++r) {
    const auto for_groups = [&](auto body) QSWEEP_LANES {
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * q.group, end = g + 1 == groups ? x.cols : first + q.group;
        body(scale[static_cast<size_t>(g)], first, end - first);
      }
    };
    for_groups([&](float& absmax, int64_t first, int64_t n)
                   QSWEEP_LANES { absmax = q.one_scale ? q.tensor_absmax : absmax_of(n, x.row(r) + first); });
    find_scales(q, groups, scale.data());
    for_groups([&](float s, int64_t first, int64_t n) QSWEEP_LANES {
      fake_quantize_group<kGrid, kRule>(q, n, x.row(r) + first, s, y.row(r) + first);
    });
  }
}

template <Grid kGrid>
void fake_quantize_grid(const GroupQuantizer& q, Matrix<const float> x, Matrix<float> y) {
  switch (q.rule) {
    case ScaleRule::half_span:
      return fake_quantize_all_groups<kGrid, ScaleRule::half_span>(q, x, y);
    case ScaleRule::inverse:
      return fake_quantize_all_groups<kGrid, ScaleRule::inverse>(q, x, y);
    case ScaleRule::absmax:
    case ScaleRule::power_of_two:
    case ScaleRule::two_level:  // applied alike
      return fake_quantize_all_groups<kGrid, ScaleRule::absmax>(q, x, y);
  }
}

void FakeQuantizeGroups(const GroupQuantizer& q, Matrix<const float> x, Matrix<float> y) {
  switch (q.grid) {
    case Grid::integers:
      return fake_quantize_grid<Grid::integers>(q, x, y);
    case Grid::e4m3:
      return fake_quantize_grid<Grid::e4m3>(q, x, y);
    case Grid::e3m2:
      return fake_quantize_grid<Grid::e3m2>(q, x, y);
    case Grid::e2m1:
      return fake_quantize_grid<Grid::e2m1>(q, x, y);
  }
}

template <ScaleRule kRule>
void quantize_all_rows(const GroupQuantizer& q, Matrix<const float> x, Matrix<int8_t> codes, float* scale,
                       int32_t* sums) {
  for (int64_t r = 0; r < x.rows; ++r) {
    scale[r] = q.one_scale ? q.tensor_absmax : absmax_of(x.cols, x.row(r));
    find_scales(q, 1, &scale[r]);
    float sum = 0;  // exact below 2^24
    if (scale[r] == 0) {
      std::fill_n(codes.row(r), x.cols, int8_t{0});
    } else {
      const GroupCodec<Grid::integers, kRule> codec(q, scale[r]);
      sum = L::sum(x.cols, [&](auto at) QSWEEP_LANES {
        const auto code = codec.code(L::load(x.row(r), at));
        L::store(code, codes.row(r), at);
        return code;
      });
      if (kRule == ScaleRule::inverse) scale[r] = 1 / scale[r];
    }
    if (sums != nullptr) sums[r] = static_cast<int32_t>(sum);
  }
}

void QuantizeRows(const GroupQuantizer& q, Matrix<const float> x, Matrix<int8_t> codes, float* scale,
                  int32_t* sums) {
  switch (q.rule) {
    case ScaleRule::half_span:
      return quantize_all_rows<ScaleRule::half_span>(q, x, codes, scale, sums);
    case ScaleRule::inverse:
      return quantize_all_rows<ScaleRule::inverse>(q, x, codes, scale, sums);
    case ScaleRule::absmax:
    case ScaleRule::power_of_two:
    case ScaleRule::two_level:  // applied alike
      return quantize_all_rows<ScaleRule::absmax>(q, x, codes, scale, sums);
  }
}

// body(the code of the lanes at `at` in row r).
template <class Body>
HWY_INLINE void each_affine_code(const AffineQuantizer& q, Matrix<const float> x, Body&& body) {
  const auto scale = L::set(q.scale), inverse = L::set(1 / q.scale);
  const auto zero = L::set(q.zero_point), high = L::set(q.high);
  for (int64_t r = 0; r < x.rows; ++r) {
    L::each(x.cols, [&](auto at) QSWEEP_LANES {
      const auto v = L::load(x.row(r), at);
      const auto steps = L::round(q.by_inverse ? v * inverse : v / scale);
      body(L::clamp(steps + zero, L::zero(), high), r, at);
    });
  }
}

void QuantizeAffine(const AffineQuantizer& q, Matrix<const float> x, Matrix<uint8_t> codes) {
  if (q.scale == 0) {
    for (int64_t r = 0; r < x.rows; ++r)
      std::fill_n(codes.row(r), x.cols, static_cast<uint8_t>(q.zero_point));
    return;
  }
  each_affine_code(q, x,
                   [&](auto code, int64_t r, auto at) QSWEEP_LANES { L::store(code, codes.row(r), at); });
}

void Dequantize(int64_t begin, int64_t end, const IntegerProducts& from, Matrix<const float> minus,
                Matrix<float> y) {
  using D = Lanes64;
  const auto zero_point = D::set(from.zero_point);
  for (int64_t r = begin; r < end; ++r) {
    const auto row_scale = D::set(from.row_scale[static_cast<size_t>(r)]);
    D::each(y.cols, [&](auto at) QSWEEP_LANES {
      auto sum = D::load(from.products.row(r), at);
      if (from.zero_point != 0) sum = sum - zero_point * D::load(from.column_sum.data(), at);
      auto value = sum * (row_scale * D::load(from.column_scale.data(), at));
      if (from.bias != nullptr) value = value + D::load(from.bias, at);
      if (minus.data != nullptr) value = value - D::load(minus.row(r), at);
      D::store(value, y.row(r), at);
    });
  }
}

void FakeQuantizeAffine(const AffineQuantizer& q, Matrix<const float> x, Matrix<float> y) {
  if (q.scale == 0) {
    for (int64_t r = 0; r < x.rows; ++r) zeros(x.cols, x.row(r), y.row(r));
    return;
  }
  const auto scale = L::set(q.scale), zero = L::set(q.zero_point);
  each_affine_code(q, x, [&](auto code, int64_t r, auto at) QSWEEP_LANES {
    L::store((code - zero) * scale, y.row(r), at);
  });
}

void RowAbsmax(Matrix<const float> x, float* absmax) {
  for (int64_t r = 0; r < x.rows; ++r) absmax[r] = absmax_of(x.cols, x.row(r));
}

void RowMinMax(Matrix<const float> x, float* min, float* max) {
  for (int64_t r = 0; r < x.rows; ++r) {
    max[r] = L::max(x.cols, [&](auto at) QSWEEP_LANES { return L::load(x.row(r), at); });
    min[r] = -L::max(x.cols, [&](auto at) QSWEEP_LANES { return L::zero() - L::load(x.row(r), at); });
  }
}

template <class T>
void squared_norm_rows(int64_t begin, int64_t end, Matrix<const T> x, double* squared_norm) {
  for (int64_t r = begin; r < end; ++r) {
    squared_norm[r] = Lanes64::sum(x.cols, [&](auto at) QSWEEP_LANES {
      const auto v = Lanes64::load(x.row(r), at);
      return v * v;
    });
  }
}

void RowSquaredNorm(int64_t begin, int64_t end, DeltaView x, double* squared_norm) {
  if (x.dtype == DType::bf16) {
    squared_norm_rows<bf16>(begin, end, x.as<bf16>(), squared_norm);
  } else {
    squared_norm_rows<float>(begin, end, x.as<float>(), squared_norm);
  }
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qsweep::kernels {
namespace {
HWY_EXPORT(FakeQuantizeGroups);
HWY_EXPORT(FakeQuantizeAffine);
HWY_EXPORT(QuantizeRows);
HWY_EXPORT(QuantizeAffine);
HWY_EXPORT(Dequantize);
HWY_EXPORT(RowAbsmax);
HWY_EXPORT(RowMinMax);
HWY_EXPORT(RowSquaredNorm);
}  // namespace

void fake_quantize_groups(Threads threads, const GroupQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y) {
  if (x.empty()) return;  // a row without elements has no groups
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(FakeQuantizeGroups)(quantizer, x.rows_at(begin, n), y.rows_at(begin, n));
  });
}

void fake_quantize_affine(Threads threads, const AffineQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(FakeQuantizeAffine)(quantizer, x.rows_at(begin, n), y.rows_at(begin, n));
  });
}

void quantize_rows(Threads threads, const GroupQuantizer& quantizer, Matrix<const float> x,
                   Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums) {
  QSWEEP_CHECK(quantizer.grid == Grid::integers, "codes of small floats");
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(QuantizeRows)
    (quantizer, x.rows_at(begin, n), codes.rows_at(begin, n), scale.data() + begin,
     sums.empty() ? nullptr : sums.data() + begin);
  });
}

void quantize_affine(Threads threads, const AffineQuantizer& quantizer, Matrix<const float> x,
                     Matrix<uint8_t> codes) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(QuantizeAffine)(quantizer, x.rows_at(begin, n), codes.rows_at(begin, n));
  });
}

void dequantize(Threads threads, const IntegerProducts& from, Matrix<const float> minus, Matrix<float> y) {
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Dequantize)(begin, end, from, minus, y);
  });
}

void row_absmax(Threads threads, Matrix<const float> x, std::span<float> absmax) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowAbsmax)(x.rows_at(begin, end - begin), absmax.data() + begin);
  });
}

void row_min_max(Threads threads, Matrix<const float> x, std::span<float> min, std::span<float> max) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowMinMax)(x.rows_at(begin, end - begin), min.data() + begin, max.data() + begin);
  });
}

void row_squared_norm(Threads threads, DeltaView x, std::span<double> squared_norm) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowSquaredNorm)(begin, end, x, squared_norm.data());
  });
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
