// Gated delta rule (Yang, Kautz, Hatamizadeh 2024; the linear attention of Qwen3-Next and Qwen3.5) over the
// rows of each segment, in its recurrent form. A value head's state S [key_dim, value_dim] begins with zeros;
// row t of a segment has
//   m = (decay S)^T k, update = beta (v - m), S = decay S + k update^T, o = S^T q
//   q = key_dim^(-1/2) x_q / |x_q|, k = x_k / |x_k|, |x| = (sum x^2 + eps)^(1/2)
//   decay = exp(-exp(a_log) softplus(a + dt_bias)), beta = s(b), s the logistic function
// with x_q and x_k of key head h / (n_value_heads / n_key_heads) for value head h.
//
// qkv [rows, n_key_heads key_dim | n_key_heads key_dim | n_value_heads value_dim]: x_q, x_k and v, as the
// convolution before leaves them; a and b [rows, n_value_heads]; o [rows, n_value_heads value_dim]. Lengths
// and gates are part of the op: they are numbers per token and head, which need no matrices of their own, and
// the change of a key of length 1 is not rounded to bf16 before it is used.
//
// delta, with D = S' - S carried beside S, e = v - m, primes for the variant:
//   dm = decay' D^T k' + S^T (d_decay k' + decay dk)             S and D of the token before
//   d_update = d_beta e + beta' (dv - dm)
//   D = decay' D + d_decay S + dk update^T + k' d_update^T
//   do = D^T q' + S^T dq                                         S and D of this token
// d_decay = decay expm1(dg), dg = -exp(a_log) log1p(s(x) expm1(da)), x = a + dt_bias, where da >= 0, else
// both from the other end; d_beta as in activation.h, dq and dk as in rms_norm.h.
//
// vjp, with g(X) the cotangent of X and R that of S: the rows in reverse, from R = 0,
//   R += q g(o)^T, g(q) = S g(o), g(update) = R^T k, g(v) = beta g(update), g(beta) = e . g(update),
//   g(k) = R update - decay S g(v), R -= k g(v)^T, g(log decay) = sum of R * (decay S), R *= decay.
#pragma once

#include <span>

#include "ops/context.h"
#include "ops/segment.h"

namespace qsweep::ops::delta_net {

struct Spec {
  int64_t n_key_heads = 0;  // of queries too
  int64_t n_value_heads = 0;
  int64_t key_dim = 0;  // of one head
  int64_t value_dim = 0;
  float eps = 1e-6f;
};

// Per value head.
struct Weights {
  std::span<const float> a_log, dt_bias;
};

template <class View>
struct Inputs {
  View qkv, a, b;
};

void forward(const Context& context, const Spec& spec, std::span<const Segment> segments,
             const Inputs<Matrix<const float>>& x, const Weights& weights, Matrix<float> o);

// blocks: in = {dqkv, da, db}. Blocks with the same parent row are the variants of one sample; every block's
// parent rows are a union of segments. Up to four variants share the scan of their parent.
void delta(const Context& context, const Spec& spec, std::span<const Segment> segments,
           std::span<const kernels::RowBlock> blocks, const Inputs<Matrix<const float>>& x,
           const Weights& weights, const Inputs<MatrixView>& dx, MatrixView d_o);

// Memory that forward or delta takes for states. No blocks: forward.
int64_t scratch_bytes(const Context& context, const Spec& spec, std::span<const Segment> segments,
                      std::span<const kernels::RowBlock> blocks);

// Cotangents of qkv, a and b, all rows of all probes, from those of o. Rows must all be in segments.
void vjp(const Context& context, const Spec& spec, std::span<const Segment> segments,
         const Inputs<Matrix<const float>>& x, const Weights& weights, MatrixView d_o, int64_t probes,
         const Inputs<MatrixView>& dx);

// Memory that vjp takes.
int64_t vjp_scratch_bytes(const Context& context, const Spec& spec, std::span<const Segment> segments,
                          int64_t probes);

}  // namespace qsweep::ops::delta_net
