#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_rows.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/block_rows.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// Softmax over the first `visible` of `keys` logits; the rest gets probability 0.
void softmax_row(int64_t visible, int64_t keys, float scale, float* s, float* p, float& lse,
                 int32_t& argmax) {
  const auto factor = L::set(scale);
  const float top = L::max(visible, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(s, at) * factor;
    L::store(v, s, at);
    return v;
  });
  const float* found = std::find(s, s + visible, top);
  argmax = static_cast<int32_t>(found == s + visible ? 0 : found - s);
  const auto shift = L::set(top);
  const float total = L::sum(visible, [&](auto at) QSWEEP_LANES {
    const auto e = L::exp(L::load(s, at) - shift);
    L::store(e, p, at);
    return e;
  });
  const auto inverse = L::set(1.0f / total);
  L::each(visible, [&](auto at) QSWEEP_LANES { L::store(L::load(p, at) * inverse, p, at); });
  std::fill(p + visible, p + keys, 0.0f);
  lse = top + std::log(total);
}

// The change of a probability whose logit, relative to a common shift, changes by c: p expm1(c) while c is
// small, else e^(s - lse + c) - p, which also holds where p has underflowed.
L::V probability_change(L::V s, L::V p, L::V lse, L::V c) {
  const auto small = L::abs(c) < L::set(1.0f);
  const auto near = p * L::expm1(c);
  if (L::all(small)) return near;
  return L::select(small, near, L::exp(s - lse + c) - p);
}

// Beyond this growth of the softmax's sum the change of a row is taken as the difference of two softmaxes:
// the two differ so much that nothing cancels, while exponentials relative to the old sum would overflow.
constexpr float kMaxGrowth = 1000;

// P' - P with P' the softmax of s + c, c = ds scale - shift.
template <class T>
void softmax_difference_row(int64_t visible, float scale, float shift, float top, const float* s,
                            const float* p, const float* ds, T* dp) {
  const auto factor = L::set(scale), common = L::set(shift), old_top = L::set(top);
  const auto changed = [&](auto at) QSWEEP_LANES {
    return (L::load(s, at) - old_top) + (L::load(ds, at) * factor - common);
  };
  const auto new_top = L::set(L::max(visible, changed));
  const float total = L::sum(visible, [&](auto at) QSWEEP_LANES { return L::exp(changed(at) - new_top); });
  const auto inverse = L::set(1.0f / total);
  L::each(visible, [&](auto at) QSWEEP_LANES {
    L::store(L::exp(changed(at) - new_top) * inverse - L::load(p, at), dp, at);
  });
}

// The shift by the change at the row's largest logit takes out a common change of all logits before it can
// cancel.
template <class T>
void softmax_delta_row(int64_t visible, int64_t keys, float scale, const float* s, const float* p, float lse,
                       int32_t argmax, const float* ds, T* dp) {
  std::fill(dp + visible, dp + keys, T{});
  const float common = ds[argmax] * scale;
  const auto factor = L::set(scale), log_sum = L::set(lse), shift = L::set(common);
  const float change = L::sum(visible, [&](auto at) QSWEEP_LANES {
    const auto c = L::load(ds, at) * factor - shift;
    return probability_change(L::load(s, at), L::load(p, at), log_sum, c);
  });
  if (!(change <= kMaxGrowth)) return softmax_difference_row(visible, scale, common, s[argmax], s, p, ds, dp);
  const auto dlse = L::set(std::log1p(change));
  L::each(visible, [&](auto at) QSWEEP_LANES {
    const auto e = L::load(ds, at) * factor - shift - dlse;
    L::store(probability_change(L::load(s, at), L::load(p, at), log_sum, e), dp, at);
  });
}

// ds = scale p (dp - sum p dp). Relative to dp at the row's largest probability: where that is close to 1,
// the sum is close to its dp, and their difference would be lost.
template <class T>
void softmax_vjp_row(int64_t visible, int64_t keys, float scale, const float* p, int32_t argmax,
                     const float* dp, T* ds) {
  std::fill(ds + visible, ds + keys, T{});
  const auto shift = L::set(dp[argmax]), factor = L::set(scale);
  const auto mean = L::set(
      L::sum(visible, [&](auto at) QSWEEP_LANES { return L::load(p, at) * (L::load(dp, at) - shift); }));
  L::each(visible, [&](auto at) QSWEEP_LANES {
    L::store(L::load(p, at) * ((L::load(dp, at) - shift) - mean) * factor, ds, at);
  });
}

void Softmax(const AttentionTile& tile, int64_t begin, int64_t end, Matrix<float> s, Matrix<float> p,
             float* lse, int32_t* argmax) {
  for (int64_t r = begin; r < end; ++r)
    softmax_row(tile.visible(r % tile.queries), tile.keys, tile.scale, s.row(r), p.row(r), lse[r], argmax[r]);
}

void SoftmaxDelta(const AttentionTile& tile, int64_t begin, int64_t end, Matrix<const float> s,
                  Matrix<const float> p, const float* lse, const int32_t* argmax, Matrix<const float> ds,
                  DeltaView dp) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t parent = r % (tile.heads * tile.queries);
      softmax_delta_row<T>(tile.visible(parent % tile.queries), tile.keys, tile.scale, s.row(parent),
                           p.row(parent), lse[parent], argmax[parent], ds.row(r), dp.as<T>().row(r));
    }
  };
  dp.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void SoftmaxVjp(const AttentionTile& tile, int64_t begin, int64_t end, Matrix<const float> p,
                const int32_t* argmax, Matrix<const float> dp, DeltaView ds) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t parent = r % (tile.heads * tile.queries);
      softmax_vjp_row<T>(tile.visible(parent % tile.queries), tile.keys, tile.scale, p.row(parent),
                         argmax[parent], dp.row(r), ds.as<T>().row(r));
    }
  };
  ds.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qsweep::kernels {
namespace {
HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxDelta);
HWY_EXPORT(SoftmaxVjp);
}  // namespace

void softmax(Threads threads, const AttentionTile& tile, Matrix<float> s, Matrix<float> p,
             std::span<float> lse, std::span<int32_t> argmax) {
  parallel_for(threads, tile.heads * tile.queries, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Softmax)(tile, begin, end, s, p, lse.data(), argmax.data());
  });
}

void softmax_delta(Threads threads, const AttentionTile& tile, Matrix<const float> s, Matrix<const float> p,
                   std::span<const float> lse, std::span<const int32_t> argmax, Matrix<const float> ds,
                   DeltaView dp) {
  parallel_for(threads, ds.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxDelta)(tile, begin, end, s, p, lse.data(), argmax.data(), ds, dp);
  });
}

void softmax_vjp(Threads threads, const AttentionTile& tile, Matrix<const float> p,
                 std::span<const int32_t> argmax, Matrix<const float> dp, DeltaView ds) {
  parallel_for(threads, dp.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxVjp)(tile, begin, end, p, argmax.data(), dp, ds);
  });
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
