#include <algorithm>

#include "ops/attention_tile.h"

namespace qsweep::ops::attention {
namespace {

using kernels::DeltaView;
using kernels::GemmOperand;
using kernels::GemmPurpose;
using kernels::view_of;

int64_t tile_bytes(const Spec& spec, int64_t keys, int64_t queries, int64_t probes, DType dtype) {
  const int64_t logits = spec.n_heads * queries * keys, kv = 2 * keys * spec.n_kv_heads * spec.head_dim;
  const int64_t rounded = dtype == DType::f32 ? 0 : size_bytes(dtype);  // copies in the products' dtype
  const int64_t reference = logits * (4 + 4 + rounded) +
                            spec.n_heads * queries * (spec.head_dim * rounded + 8) + kv * (4 + rounded);
  return reference + probes * (logits * (4 + rounded) + kv * 4);
}

Tiling choose_tiling(const Context& context, const Spec& spec, int64_t keys, int64_t probes, DType dtype) {
  return fit_tiling(context.tile_bytes, keys, probes, [&](int64_t queries, int64_t probes_at_once) {
    return tile_bytes(spec, keys, queries, probes_at_once, dtype);
  });
}

// A matrix in the dtype of the products: itself, or a rounded copy.
struct Rounded {
  Tensor copy;
  DeltaView view;

  Rounded(Threads threads, Matrix<const float> m, DType dtype) : view(view_of(m)) {
    if (dtype == DType::f32) return;
    copy = Tensor(dtype, {m.rows, m.cols});
    view = attention::view(copy);
    kernels::convert(threads, m, view);
  }
};

struct VjpCall {
  const Context& context;
  const Spec& spec;
  Matrix<const float> q, k, v;
  DeltaView d_o, dq, dk, dv;

  int64_t rows() const { return q.rows; }  // from one probe to the next
  int64_t group() const { return spec.n_heads / spec.n_kv_heads; }
  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                bool accumulate = false) const {
    context.gemm.multiply(a, b, c, {.accumulate = accumulate, .purpose = GemmPurpose::cotangents});
  }
};

// Some probes' cotangents of one segment's k and v, which add up over the tiles of queries.
struct KeySums {
  int64_t first_probe = 0;
  int64_t probes = 0;
  Tensor dk, dv;  // f32 [probes * rows of the segment, n_kv_heads * head_dim]
  DeltaView k, v;  // the segment's, less their means, in the products' dtype

  DeltaView probe_rows(DeltaView all, int64_t rows) const {
    return all.rows_at(first_probe * rows, probes * rows);
  }
};

// One head of every group: the third size (heads per kv head) is taken out.
GemmOperand member(const VjpCall& call, GemmOperand x, int64_t head) {
  if (call.group() == 1) return x;
  x.data = static_cast<std::byte*>(x.data) + head * x.strides[2] * size_bytes(x.dtype);
  x.sizes.erase(x.sizes.begin() + 2);
  x.strides.erase(x.strides.begin() + 2);
  return x;
}

GemmOperand transposed(GemmOperand x) {
  std::swap(x.sizes.end()[-1], x.sizes.end()[-2]);
  std::swap(x.strides.end()[-1], x.strides.end()[-2]);
  return x;
}

// sum = a^T b, or += , where the heads of a group share one key/value head and so add up.
void add_over_groups(const VjpCall& call, const GemmOperand& a, const GemmOperand& b, const GemmOperand& sum,
                     bool accumulate) {
  for (int64_t head = 0; head < call.group(); ++head)
    call.multiply(transposed(member(call, a, head)), member(call, b, head), member(call, sum, 0),
                  accumulate || head > 0);
}

// The rows of dq that belong to one tile of queries, and what the tile adds to dk and dv.
void vjp_tile(const VjpCall& call, const Segment& segment, int64_t first, int64_t queries, KeySums& sums,
              bool accumulate) {
  const Spec& spec = call.spec;
  const Threads threads = call.context.threads();
  const DType dtype = call.d_o.dtype;
  const int64_t probes = sums.probes;
  ReferenceTile r = reference_tile(call.context, spec, segment, first, queries, call.q, call.k);
  const int64_t keys = r.tile.keys, first_query = r.first_query();

  const GemmOperand d_o = heads(spec, sums.probe_rows(call.d_o, call.rows()), true, first_query, queries,
                                probes, call.rows(), false);
  const auto keys_of = [&](DeltaView m, bool transpose) {
    return heads(spec, m, false, 0, keys, 1, 0, transpose);
  };
  Tensor dp(DType::f32, {probes * spec.n_heads * queries, keys});
  call.multiply(d_o, keys_of(sums.v, true), logits(spec, view(dp), queries, probes));
  Tensor narrow;
  if (dtype != DType::f32) narrow = Tensor(dtype, dp.shape());
  const DeltaView ds_rows = dtype == DType::f32 ? view(dp) : view(narrow);
  softmax_vjp(threads, r.tile, r.p.matrix<float>(), r.argmax, dp.matrix<float>(), ds_rows);
  const GemmOperand ds = logits(spec, ds_rows, queries, probes);
  call.multiply(ds, keys_of(sums.k, false),
                heads(spec, sums.probe_rows(call.dq, call.rows()), true, first_query, queries, probes,
                      call.rows(), false));

  const Rounded q(threads, call.q.rows_at(first_query, queries), dtype);
  const Rounded p(threads, r.p.matrix<float>(), dtype);
  const auto sum_of = [&](Tensor& all) {
    return heads(spec, view(all), false, 0, keys, probes, segment.rows, false);
  };
  add_over_groups(call, ds, heads(spec, q.view, true, 0, queries, 1, 0, false), sum_of(sums.dk), accumulate);
  add_over_groups(call, logits(spec, p.view, queries, 1), d_o, sum_of(sums.dv), accumulate);
}

// The cotangents of one segment for some probes.
void vjp_segment(const VjpCall& call, const Segment& segment, int64_t tile_queries, KeySums sums) {
  const Shape shape{sums.probes * segment.rows, call.k.cols};
  sums.dk = Tensor(DType::f32, shape);
  sums.dv = Tensor(DType::f32, shape);
  // The last queries first: they alone see every key, and so begin every sum.
  const int64_t last = (segment.rows - 1) / tile_queries * tile_queries;
  for (int64_t first = last; first >= 0; first -= tile_queries)
    vjp_tile(call, segment, first, std::min(tile_queries, segment.rows - first), sums, first != last);
  for (int64_t probe = 0; probe < sums.probes; ++probe)
    for (const auto& [sum, out] : {std::pair{&sums.dk, call.dk}, std::pair{&sums.dv, call.dv}})
      kernels::convert(call.context.threads(),
                       sum->matrix<float>().rows_at(probe * segment.rows, segment.rows),
                       out.rows_at((sums.first_probe + probe) * call.rows() + segment.first, segment.rows));
}

}  // namespace

void vjp(const Context& context, const Spec& spec, std::span<const Segment> segments, Matrix<const float> q,
         Matrix<const float> k, Matrix<const float> v, DeltaView d_o, int64_t probes, DeltaView dq,
         DeltaView dk, DeltaView dv) {
  QSWEEP_CHECK(d_o.rows == probes * q.rows && dq.rows == d_o.rows && dk.rows == probes * k.rows &&
                   dv.rows == dk.rows,
               "{} probes of {} rows: [{}], [{}], [{}], [{}]", probes, q.rows, d_o.rows, dq.rows, dk.rows,
               dv.rows);
  const VjpCall call{context, spec, q, k, v, d_o, dq, dk, dv};
  for (const Segment& segment : segments) {
    if (segment.rows == 0) continue;
    const Tiling tiling = choose_tiling(context, spec, segment.rows, probes, d_o.dtype);
    const Tensor k_centered = centered_rows(k, segment), v_centered = centered_rows(v, segment);
    const Rounded k_keys(context.threads(), k_centered.matrix<float>(), d_o.dtype);
    const Rounded v_keys(context.threads(), v_centered.matrix<float>(), d_o.dtype);
    for (int64_t first = 0; first < probes; first += tiling.pairs)
      vjp_segment(call, segment, tiling.queries,
                  {.first_probe = first,
                   .probes = std::min(tiling.pairs, probes - first),
                   .dk = {},
                   .dv = {},
                   .k = k_keys.view,
                   .v = v_keys.view});
  }
}

int64_t vjp_scratch_bytes(const Context& context, const Spec& spec, std::span<const Segment> segments,
                          int64_t probes, DType dtype) {
  int64_t bytes = 0;
  for (const Segment& s : segments)
    bytes = std::max(bytes, choose_tiling(context, spec, s.rows, probes, dtype).bytes);
  return bytes;
}

}  // namespace qsweep::ops::attention
