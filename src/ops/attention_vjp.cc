#include <algorithm>

#include "base/trace.h"
#include "kernels/elementwise.h"
#include "ops/attention_tile.h"

namespace qsweep::ops::attention {
namespace {

using kernels::Buffer;
using kernels::Device;
using kernels::GemmOperand;
using kernels::GemmPurpose;

int64_t vjp_tile_bytes(const Context& context, const Spec& spec, const Visible& visible, int64_t queries,
                       int64_t probes, DType dtype) {
  const int64_t keys = visible.most_keys(queries);
  const int64_t logits = spec.n_heads * queries * logits_stride(context, keys);
  const int64_t kv = 2 * visible.rows() * spec.n_kv_heads * spec.head_dim;
  const int64_t rounded = dtype == DType::f32 ? 0 : size_bytes(dtype);  // copies in the products' dtype
  const int64_t reference = logits * (4 + 4 + rounded) +
                            spec.n_heads * queries * (spec.head_dim * rounded + 8) + kv * (4 + rounded);
  const int64_t per_probe =
      logits * (4 + rounded) + kv * 4 + spec.n_heads * queries * spec.head_dim * (size_bytes(dtype) + 4);
  return reference + probes * per_probe;
}

Tiling choose_vjp_tiling(const Context& context, const Spec& spec, const Visible& visible, int64_t probes,
                         DType dtype) {
  return fit_tiling(context, visible, probes, [&](int64_t queries, int64_t probes_at_once) {
    return vjp_tile_bytes(context, spec, visible, queries, probes_at_once, dtype);
  });
}

// A matrix in the dtype of the products: itself, or a rounded copy.
struct Rounded {
  Buffer copy;
  MatrixView view;

  Rounded(Device device, Matrix<const float> m, DType dtype) : Rounded(device, m, dtype, m.cols) {}
  // stride: of the copy.
  Rounded(Device device, Matrix<const float> m, DType dtype, int64_t stride) : view(view_of(m)) {
    if (dtype == DType::f32) return;
    copy = Buffer(device, dtype, m.rows, m.cols, stride);
    view = copy.view();
    kernels::convert(device, m, view);
  }
};

struct VjpCall {
  const Context& context;
  const Spec& spec;
  const Qkv<Matrix<const float>>& x;
  MatrixView d_o;
  const Qkv<MatrixView>& dx;

  int64_t rows() const { return x.q.rows; }  // from one probe to the next
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
  Buffer dk, dv;    // f32 [probes * rows of the segment, n_kv_heads * head_dim]
  MatrixView k, v;  // the segment's, less their means, in the products' dtype
};

// The tile's rows of d_o, one probe's after the other's: products, above all those that have to widen their
// operands first, are better off without the rows between.
Buffer packed(const VjpCall& call, const KeySums& sums, int64_t first_query, int64_t queries) {
  Buffer rows(call.context.device(), call.d_o.dtype, sums.probes * queries, call.d_o.cols);
  std::vector<kernels::RowBlock> blocks;
  for (int64_t p = 0; p < sums.probes; ++p)
    blocks.push_back(
        {.rows = queries,
         .parent = 0,
         .in = {(sums.first_probe + p) * call.rows() + first_query, kernels::kAbsent, kernels::kAbsent},
         .out = p * queries});
  kernels::add_delta(call.context.device(), blocks, call.d_o, {}, rows.view());
  return rows;
}

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
void vjp_tile(const VjpCall& call, const Reference& reference, int64_t first, int64_t queries, KeySums& sums,
              bool accumulate) {
  const Spec& spec = call.spec;
  const Device device = call.context.device();
  const DType dtype = call.d_o.dtype;
  const int64_t probes = sums.probes;
  const ReferenceTile r = reference.tile(first, queries);
  const int64_t keys = r.tile.keys, first_key = r.tile.first_key, first_query = r.first_query;

  const Buffer d_o_rows = packed(call, sums, first_query, queries);
  const auto queries_of = [&](const Buffer& rows) {
    return heads(spec, rows.view(), true, 0, queries, probes, queries, false);
  };
  const auto keys_of = [&](MatrixView m, bool transpose) {
    return heads(spec, m, false, first_key, keys, 1, 0, transpose);
  };
  const Buffer dp = logits_buffer(call.context, DType::f32, probes * spec.n_heads * queries, keys);
  call.multiply(queries_of(d_o_rows), keys_of(sums.v, true), logits(spec, dp.view(), queries, probes));
  Buffer narrow;
  if (dtype != DType::f32) narrow = logits_buffer(call.context, dtype, dp.view().rows, keys);
  const MatrixView ds_rows = dtype == DType::f32 ? dp.view() : narrow.view();
  softmax_vjp(device, r.tile, r.p.matrix<float>(), r.lse.elements<float>(), r.argmax.elements<int32_t>(),
              dp.matrix<float>(), ds_rows);
  const GemmOperand ds = logits(spec, ds_rows, queries, probes);
  const Buffer dq(device, DType::f32, probes * queries, call.x.q.cols);
  call.multiply(ds, keys_of(sums.k, false), queries_of(dq));
  for (int64_t p = 0; p < probes; ++p)
    kernels::convert(device, dq.matrix<float>().rows_at(p * queries, queries),
                     call.dx.q.rows_at((sums.first_probe + p) * call.rows() + first_query, queries));

  const Rounded q(device, call.x.q.rows_at(first_query, queries), dtype);
  const Rounded p(device, r.p.matrix<float>(), dtype, r.p.view().stride);
  const auto sum_of = [&](const Buffer& all) {
    return heads(spec, all.view(), false, first_key, keys, probes, reference.visible().rows(), false);
  };
  add_over_groups(call, ds, heads(spec, q.view, true, 0, queries, 1, 0, false), sum_of(sums.dk), accumulate);
  add_over_groups(call, logits(spec, p.view, queries, 1), queries_of(d_o_rows), sum_of(sums.dv), accumulate);
}

// The cotangents of one segment for some probes.
void vjp_segment(const VjpCall& call, const Reference& reference, int64_t tile_queries, KeySums sums) {
  const Visible& visible = reference.visible();
  const Segment& segment = visible.segment();
  const Device device = call.context.device();
  // The last queries first: where they alone see every key, they begin every sum.
  const int64_t last = (segment.rows - 1) / tile_queries * tile_queries;
  const KeyRange seen = visible.of(last, segment.rows - last);
  const bool begins_sums = seen.to - seen.from == segment.rows;
  for (Buffer* sum : {&sums.dk, &sums.dv}) {
    *sum = Buffer(device, DType::f32, sums.probes * segment.rows, call.x.k.cols);
    if (!begins_sums) kernels::clear(device, sum->data(), sum->size_bytes());
  }
  for (int64_t first = last; first >= 0; first -= tile_queries)
    vjp_tile(call, reference, first, std::min(tile_queries, segment.rows - first), sums,
             !begins_sums || first != last);
  for (int64_t probe = 0; probe < sums.probes; ++probe)
    for (const auto& [sum, out] : {std::pair{&sums.dk, call.dx.k}, std::pair{&sums.dv, call.dx.v}})
      kernels::convert(device, sum->matrix<float>().rows_at(probe * segment.rows, segment.rows),
                       out.rows_at((sums.first_probe + probe) * call.rows() + segment.first, segment.rows));
}

}  // namespace

void vjp(const Context& context, const Spec& spec, const Layout& layout, const Qkv<Matrix<const float>>& x,
         MatrixView d_o, int64_t probes, const Qkv<MatrixView>& dx) {
  const trace::Span span("attention");
  QSWEEP_CHECK(d_o.rows == probes * x.q.rows && dx.q.rows == d_o.rows && dx.k.rows == probes * x.k.rows &&
                   dx.v.rows == dx.k.rows,
               "{} probes of {} rows: [{}], [{}], [{}], [{}]", probes, x.q.rows, d_o.rows, dx.q.rows,
               dx.k.rows, dx.v.rows);
  const VjpCall call{context, spec, x, d_o, dx};
  for (const Segment& segment : layout.segments) {
    if (segment.rows == 0) continue;
    const Visible visible(spec, layout, segment);
    const Tiling tiling = choose_vjp_tiling(context, spec, visible, probes, d_o.dtype);
    const Reference reference(context, spec, visible, x.q, x.k);
    const Buffer k_centered = centered_rows(context, spec, x.k, segment),
                 v_centered = centered_rows(context, spec, x.v, segment);
    const Rounded k_keys(context.device(), k_centered.matrix<float>(), d_o.dtype);
    const Rounded v_keys(context.device(), v_centered.matrix<float>(), d_o.dtype);
    for (int64_t first = 0; first < probes; first += tiling.pairs)
      vjp_segment(call, reference, tiling.queries,
                  {.first_probe = first,
                   .probes = std::min(tiling.pairs, probes - first),
                   .dk = {},
                   .dv = {},
                   .k = k_keys.view,
                   .v = v_keys.view});
  }
}

int64_t vjp_scratch_bytes(const Context& context, const Spec& spec, const Layout& layout, int64_t probes,
                          DType dtype) {
  int64_t bytes = 0;
  for (const Segment& s : layout.segments)
    bytes = std::max(bytes, choose_vjp_tiling(context, spec, {spec, layout, s}, probes, dtype).bytes);
  return bytes;
}

}  // namespace qsweep::ops::attention
