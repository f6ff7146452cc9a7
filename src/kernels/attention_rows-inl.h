// The bodies of the softmax of attention logits. Compiled once per instruction set and for CUDA, in the words
// of lanes.h.
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/rows.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// Zeros in the columns that a query does not see.
template <class T>
QSWEEP_KERNEL void clear_unseen(KeyRange seen, int64_t keys, T* row) {
  if (seen.from > 0) L::fill(seen.from, T{}, row);
  if (seen.to < keys) L::fill(keys - seen.to, T{}, row + seen.to);
}

// Softmax over the logits of the keys that the query sees, and the sink; rows begin at the first of them,
// `from`.
QSWEEP_KERNEL void softmax_row(int64_t visible, int64_t from, float scale, float sink, float* s, float* p,
                               float* lse, int32_t* argmax) {
  const auto factor = L::set(scale);
  const float top = L::max(visible, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(s, at) * factor;
    L::store(v, s, at);
    return v;
  });
  const int64_t found =
      L::first(visible, [&](auto at) QSWEEP_LANES { return L::load(s, at) == L::set(top); });
  const float largest = sink > top ? sink : top;
  const auto shift = L::set(largest);
  const float of_keys = L::sum(visible, [&](auto at) QSWEEP_LANES {
    const auto e = L::exp(L::load(s, at) - shift);
    L::store(e, p, at);
    return e;
  });
  const float total = of_keys + std::exp(sink - largest);
  const auto inverse = L::set(1.0f / total);
  L::each(visible, [&](auto at) QSWEEP_LANES { L::store(L::load(p, at) * inverse, p, at); });
  L::once([&]() QSWEEP_LANES {
    *lse = largest + std::log(total);
    *argmax = static_cast<int32_t>(from + (found == visible ? 0 : found));
  });
}

// The change of a probability whose logit, relative to a common shift, changes by c: p expm1(c) while c is
// small, else e^(s - lse + c) - p, which also holds where p has underflowed.
QSWEEP_KERNEL L::V probability_change(L::V s, L::V p, L::V lse, L::V c) {
  const auto small = L::abs(c) < L::set(1.0f);
  const auto near = p * L::expm1(c);
  if (L::all(small)) return near;
  return L::select(small, near, L::exp(s - lse + c) - p);
}

// Of the sink's probability.
QSWEEP_KERNEL float sink_change(float sink, float lse, float c) {
  const float p = std::exp(sink - lse);
  return std::fabs(c) < 1 ? p * std::expm1(c) : std::exp(sink - lse + c) - p;
}

// Beyond this growth of the softmax's sum the change of a row is taken as the difference of two softmaxes:
// the two differ so much that nothing cancels, while exponentials relative to the old sum would overflow.
constexpr float kMaxGrowth = 1000;

// P' - P with P' the softmax of s + c, c = ds scale - shift.
template <class T>
QSWEEP_KERNEL void softmax_difference_row(int64_t visible, float scale, float shift, float top, float sink,
                                          const float* s, const float* p, const float* ds, T* dp) {
  const auto factor = L::set(scale), common = L::set(shift), old_top = L::set(top);
  const auto changed = [&](auto at) QSWEEP_LANES {
    return (L::load(s, at) - old_top) + (L::load(ds, at) * factor - common);
  };
  const float of_keys = L::max(visible, changed), of_sink = sink - top - shift;
  const float largest = of_sink > of_keys ? of_sink : of_keys;
  const auto new_top = L::set(largest);
  const float total = L::sum(visible, [&](auto at) QSWEEP_LANES { return L::exp(changed(at) - new_top); });
  const auto inverse = L::set(1.0f / (total + std::exp(of_sink - largest)));
  L::each(visible, [&](auto at) QSWEEP_LANES {
    L::store(L::exp(changed(at) - new_top) * inverse - L::load(p, at), dp, at);
  });
}

// The shift by the change at the row's largest logit takes out a common change of all logits before it can
// cancel; that of a sink is 0. Rows begin at the first key that the query sees, and so does the count to
// argmax.
template <class T>
QSWEEP_KERNEL void softmax_delta_row(int64_t visible, float scale, float sink, const float* s, const float* p,
                                     float lse, int64_t argmax, const float* ds, T* dp) {
  const float common = sink > s[argmax] ? 0 : ds[argmax] * scale;
  const auto factor = L::set(scale), log_sum = L::set(lse), shift = L::set(common);
  const float of_keys = L::sum(visible, [&](auto at) QSWEEP_LANES {
    const auto c = L::load(ds, at) * factor - shift;
    return probability_change(L::load(s, at), L::load(p, at), log_sum, c);
  });
  const float change = of_keys + sink_change(sink, lse, -common);
  if (!(change <= kMaxGrowth))
    return softmax_difference_row(visible, scale, common, s[argmax], sink, s, p, ds, dp);
  const auto dlse = L::set(std::log1p(change));
  L::each(visible, [&](auto at) QSWEEP_LANES {
    const auto e = L::load(ds, at) * factor - shift - dlse;
    L::store(probability_change(L::load(s, at), L::load(p, at), log_sum, e), dp, at);
  });
}

// ds = scale p (dp - sum p dp). Relative to dp at the row's largest probability: where that is close to 1,
// the sum is close to its dp, and their difference would be lost. The sink's dp is 0.
template <class T>
QSWEEP_KERNEL void softmax_vjp_row(int64_t visible, float scale, float of_sink, const float* p,
                                   int64_t argmax, const float* dp, T* ds) {
  const float common = of_sink > p[argmax] ? 0 : dp[argmax];
  const auto shift = L::set(common), factor = L::set(scale);
  const float of_keys =
      L::sum(visible, [&](auto at) QSWEEP_LANES { return L::load(p, at) * (L::load(dp, at) - shift); });
  const auto mean = L::set(of_keys - of_sink * common);
  L::each(visible, [&](auto at) QSWEEP_LANES {
    L::store(L::load(p, at) * ((L::load(dp, at) - shift) - mean) * factor, ds, at);
  });
}

QSWEEP_KERNEL void Softmax(int64_t begin, int64_t end, AttentionTile tile, Matrix<float> s, Matrix<float> p,
                           float* lse, int32_t* argmax) {
  for (int64_t r = begin; r < end; ++r) {
    const KeyRange seen = tile.seen(r % tile.queries);
    clear_unseen(seen, tile.keys, p.row(r));
    softmax_row(seen.to - seen.from, seen.from, tile.scale, tile.sink(r), s.row(r) + seen.from,
                p.row(r) + seen.from, lse + r, argmax + r);
  }
}

QSWEEP_KERNEL void SoftmaxDelta(int64_t begin, int64_t end, AttentionTile tile, Matrix<const float> s,
                                Matrix<const float> p, const float* lse, const int32_t* argmax,
                                Matrix<const float> ds, MatrixView dp) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t parent = r % (tile.heads * tile.queries);
      const KeyRange seen = tile.seen(parent % tile.queries);
      T* const out = dp.as<T>().row(r);
      clear_unseen(seen, tile.keys, out);
      softmax_delta_row<T>(seen.to - seen.from, tile.scale, tile.sink(parent), s.row(parent) + seen.from,
                           p.row(parent) + seen.from, lse[parent], argmax[parent] - seen.from,
                           ds.row(r) + seen.from, out + seen.from);
    }
  };
  dp.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void SoftmaxVjp(int64_t begin, int64_t end, AttentionTile tile, Matrix<const float> p,
                              const float* lse, const int32_t* argmax, Matrix<const float> dp,
                              MatrixView ds) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t parent = r % (tile.heads * tile.queries);
      const KeyRange seen = tile.seen(parent % tile.queries);
      T* const out = ds.as<T>().row(r);
      clear_unseen(seen, tile.keys, out);
      softmax_vjp_row<T>(seen.to - seen.from, tile.scale, std::exp(tile.sink(parent) - lse[parent]),
                         p.row(parent) + seen.from, argmax[parent] - seen.from, dp.row(r) + seen.from,
                         out + seen.from);
    }
  };
  ds.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
