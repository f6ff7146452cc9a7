// Scaled dot-product attention with grouped heads, within segments of rows (a sequence, or windows of one).
// The keys that a query sees are always consecutive: of its whole segment, or up to itself (causal), of these
// perhaps the last few (a sliding window), and with them the span of rows that it belongs to, if any (an
// image's tokens in a text see each other both ways: Gemma 3).
//
// q [rows, n_heads * head_dim], k and v [rows, n_kv_heads * head_dim], o like q; head h uses key/value head
// h / (n_heads / n_kv_heads). S = scale q k^T, P = softmax(S) over the visible keys, o = P v.
//
// With sinks (Xiao et al. 2024; gpt-oss), the softmax's sum has a further term e^sink, a number per head: a
// key that every query sees, without a value.
//
// delta, with K' = K + dK and V' = V + dV, never subtracting two softmaxes:
//   dS = scale (dQ K'^T + Q dK^T); c = dS - dS[argmax S]; g = P expm1(c); dlse = log1p(sum g);
//   dP = P expm1(c - dlse); dO = dP V' + P dV
// (and e^(S - lse + c) - P in place of P expm1(c) where |c| >= 1). K' and V' are taken less the mean row of K
// and of V, which changes neither dP nor dO but leaves less to round. A sink's c is -dS[argmax S]; where it
// is the largest itself, c = dS of the keys. A row of P then adds up to less than 1, so K' and V' stay as
// they are.
//
// vjp, with g(X) the cotangent of X: g(P) = g(O) V^T; g(S) = P (g(P) - rowsum(P g(P))); g(Q) = scale g(S) K;
// g(K) = scale g(S)^T Q and g(V) = P^T g(O), both summed over the heads of the group. V and K less their mean
// rows again, and g(P) relative to its value at the largest probability.
#pragma once

#include <span>

#include "ops/context.h"
#include "ops/segment.h"

namespace qsweep::ops::attention {

struct Spec {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;
  bool causal = false;
  int64_t window = 0;  // of causal attention: a query sees itself and window - 1 keys before; 0: all before
  std::span<const float> sinks = {};  // per head, in the device's memory; empty: none
};

using ops::Segment;

// Which rows attend to which. In the order of their rows, none in two of a kind.
struct Layout {
  std::span<const Segment> segments;  // attend to each other only
  std::span<const Segment> spans;     // parts of causal segments that see each other in both directions
};

template <class View>
struct Qkv {
  View q, k, v;
};

void forward(const Context& context, const Spec& spec, const Layout& layout,
             const Qkv<Matrix<const float>>& x, Matrix<float> o);

// blocks: in = {dq, dk, dv}. Blocks with the same parent row are the variants of one sample; every block's
// parent rows are a union of segments. Pairs whose rows are evenly spaced are multiplied together, in one
// product per tile.
void delta(const Context& context, const Spec& spec, const Layout& layout,
           std::span<const kernels::RowBlock> blocks, const Qkv<Matrix<const float>>& x,
           const Qkv<MatrixView>& dx, MatrixView d_o);

// Memory that forward or delta takes for its tiles. No blocks: forward.
int64_t scratch_bytes(const Context& context, const Spec& spec, const Layout& layout,
                      std::span<const kernels::RowBlock> blocks, DType delta_dtype);

// Cotangents of q, k and v, all rows of all probes, from those of o.
void vjp(const Context& context, const Spec& spec, const Layout& layout, const Qkv<Matrix<const float>>& x,
         MatrixView d_o, int64_t probes, const Qkv<MatrixView>& dx);

// Memory that vjp takes for its tiles.
int64_t vjp_scratch_bytes(const Context& context, const Spec& spec, const Layout& layout, int64_t probes,
                          DType dtype);

}  // namespace qsweep::ops::attention
