#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/block_rows.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

float inverse_rms(int64_t n, const float* x, float eps) {
  const float squares = L::sum(n, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(x, at);
    return v * v;
  });
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
}

void rms_norm_row(int64_t n, const float* x, const float* w, float eps, float* y) {
  const auto r = L::set(inverse_rms(n, x, eps));
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(w, at) * (L::load(x, at) * r), y, at); });
}

// With r and r' the scales before and after: dr = -dm r^2 r'^2 / (r + r'), dm = mean(dx (2x + dx)), so that
// nothing cancels; dy = w (dx r' + x dr).
template <class T>
void rms_norm_delta_row(int64_t n, const float* x, const T* dx, const float* w, float eps, T* dy) {
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
void rms_norm_vjp_row(int64_t n, const float* x, const float* w, float eps, const T* dy, T* dx) {
  const float projection =
      L::sum(n, [&](auto at) QSWEEP_LANES { return L::load(w, at) * L::load(dy, at) * L::load(x, at); });
  const float r = inverse_rms(n, x, eps);
  const auto scale_g = L::set(r), scale_x = L::set(-projection / static_cast<float>(n) * r * r * r);
  L::each(n, [&](auto at) QSWEEP_LANES {
    L::store(L::fma(L::load(x, at), scale_x, L::load(w, at) * L::load(dy, at) * scale_g), dx, at);
  });
}

template <class T>
void rms_norm_delta_block(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x,
                          DeltaView dx, const float* w, float eps, DeltaView dy) {
  for (int64_t r = first; r < first + count; ++r)
    rms_norm_delta_row<T>(x.cols, x.row(b.parent + r), dx.as<T>().row(b.in[0] + r), w, eps,
                          dy.as<T>().row(b.out + r));
}

void RmsNorm(Matrix<const float> x, const float* w, float eps, Matrix<float> y) {
  for (int64_t r = 0; r < x.rows; ++r) rms_norm_row(x.cols, x.row(r), w, eps, y.row(r));
}

void RmsNormDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x, DeltaView dx,
                  const float* w, float eps, DeltaView dy) {
  if (dx.dtype == DType::bf16) {
    rms_norm_delta_block<bf16>(b, first, count, x, dx, w, eps, dy);
  } else {
    rms_norm_delta_block<float>(b, first, count, x, dx, w, eps, dy);
  }
}

void RmsNormVjp(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> x, const float* w,
                float eps, DeltaView dy, DeltaView dx) {
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

#if HWY_ONCE
namespace qsweep::kernels {
namespace {
HWY_EXPORT(RmsNorm);
HWY_EXPORT(RmsNormDelta);
HWY_EXPORT(RmsNormVjp);
}  // namespace

void rms_norm(Threads threads, Matrix<const float> x, std::span<const float> w, float eps, Matrix<float> y) {
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RmsNorm)
    (x.rows_at(begin, end - begin), w.data(), eps, y.rows_at(begin, end - begin));
  });
}

void rms_norm_delta(Threads threads, std::span<const RowBlock> blocks, Matrix<const float> x, DeltaView dx,
                    std::span<const float> w, float eps, DeltaView dy) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(RmsNormDelta)(b, first, count, x, dx, w.data(), eps, dy);
  });
}

void rms_norm_vjp(Threads threads, std::span<const RowBlock> blocks, Matrix<const float> x,
                  std::span<const float> w, float eps, DeltaView dy, DeltaView dx) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(RmsNormVjp)(b, first, count, x, w.data(), eps, dy, dx);
  });
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
