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

void fake_quantize_row(int64_t n, const float* x, float scale, float low, float high, float* y) {
  if (scale == 0) {
    std::fill_n(y, n, 0.0f);
    return;
  }
  const auto s = L::set(scale), lo = L::set(low), hi = L::set(high);
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto q = L::clamp(L::round(L::load(x, at) / s), lo, hi);
    L::store(q * s, y, at);
  });
}

void fake_quantize_affine_row(int64_t n, const float* x, float scale, float zero_point, float high,
                              float* y) {
  if (scale == 0) {
    std::fill_n(y, n, 0.0f);
    return;
  }
  const auto s = L::set(scale), zero = L::set(zero_point), hi = L::set(high);
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto q = L::clamp(L::round(L::load(x, at) / s) + zero, L::zero(), hi);
    L::store((q - zero) * s, y, at);
  });
}

void FakeQuantizeRows(Matrix<const float> x, const float* scale, float low, float high, Matrix<float> y) {
  for (int64_t r = 0; r < x.rows; ++r) fake_quantize_row(x.cols, x.row(r), scale[r], low, high, y.row(r));
}

void FakeQuantizeAffine(Matrix<const float> x, float scale, float zero_point, float high, Matrix<float> y) {
  for (int64_t r = 0; r < x.rows; ++r)
    fake_quantize_affine_row(x.cols, x.row(r), scale, zero_point, high, y.row(r));
}

void RowAbsmax(Matrix<const float> x, float* absmax) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const float top = L::max(x.cols, [&](auto at) QSWEEP_LANES { return L::abs(L::load(x.row(r), at)); });
    absmax[r] = std::max(top, 0.0f);
  }
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
HWY_EXPORT(FakeQuantizeRows);
HWY_EXPORT(FakeQuantizeAffine);
HWY_EXPORT(RowAbsmax);
HWY_EXPORT(RowMinMax);
HWY_EXPORT(RowSquaredNorm);
}  // namespace

void fake_quantize_rows(Threads threads, Matrix<const float> x, std::span<const float> scale, float low,
                        float high, Matrix<float> y) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(FakeQuantizeRows)
    (x.rows_at(begin, n), scale.data() + begin, low, high, y.rows_at(begin, n));
  });
}

void fake_quantize_affine(Threads threads, Matrix<const float> x, float scale, float zero_point, float high,
                          Matrix<float> y) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(FakeQuantizeAffine)
    (x.rows_at(begin, n), scale, zero_point, high, y.rows_at(begin, n));
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
