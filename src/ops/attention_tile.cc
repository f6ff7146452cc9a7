#include "ops/attention_tile.h"

#include <algorithm>

namespace qsweep::ops::attention {

using kernels::Buffer;
using kernels::GemmOperand;

namespace {

constexpr int64_t kMinTileQueries = 64;

}  // namespace

Tiling fit_tiling(int64_t tile_bytes, int64_t keys, int64_t pairs,
                  const std::function<int64_t(int64_t queries, int64_t pairs)>& bytes_of) {
  Tiling t{keys, pairs, 0};
  const auto too_large = [&] {
    t.bytes = bytes_of(t.queries, t.pairs);
    return t.bytes > tile_bytes;
  };
  while (too_large() && t.queries > kMinTileQueries)
    t.queries = std::max((t.queries + 1) / 2, kMinTileQueries);
  while (too_large() && t.pairs > 1) t.pairs = (t.pairs + 1) / 2;
  while (too_large() && t.queries > 1) t.queries = (t.queries + 1) / 2;
  return t;
}

GemmOperand heads(const Spec& spec, MatrixView m, bool grouped, int64_t first_row, int64_t rows,
                  int64_t pairs, int64_t pair_rows, bool transposed) {
  const int64_t group = spec.n_heads / spec.n_kv_heads, d = spec.head_dim;
  // A lone pair's stride is never used, but oneDNN's fast products refuse one that is out of order.
  const int64_t pair_stride = (pairs == 1 ? rows : pair_rows) * m.stride;
  GemmOperand x{m.rows_at(first_row, rows).data,
                m.dtype,
                {pairs, spec.n_kv_heads},
                {pair_stride, grouped ? group * d : d}};
  if (group > 1) {
    x.sizes.push_back(grouped ? group : 1);
    x.strides.push_back(d);
  }
  x.sizes.insert(x.sizes.end(), {transposed ? d : rows, transposed ? rows : d});
  x.strides.insert(x.strides.end(), {transposed ? 1 : m.stride, transposed ? m.stride : 1});
  return x;
}

GemmOperand logits(const Spec& spec, MatrixView m, int64_t queries, int64_t pairs) {
  const int64_t group = spec.n_heads / spec.n_kv_heads, head = queries * m.stride;
  GemmOperand x{m.data, m.dtype, {pairs, spec.n_kv_heads}, {spec.n_heads * head, group * head}};
  if (group > 1) {
    x.sizes.push_back(group);
    x.strides.push_back(head);
  }
  x.sizes.insert(x.sizes.end(), {queries, m.cols});
  x.strides.insert(x.strides.end(), {m.stride, 1});
  return x;
}

int64_t logits_stride(const Context& context, int64_t keys) {
  constexpr int64_t kElements = 8;
  return context.device().gpu == nullptr ? keys : (keys + kElements - 1) / kElements * kElements;
}

Buffer logits_buffer(const Context& context, DType dtype, int64_t rows, int64_t keys) {
  return {context.device(), dtype, rows, keys, logits_stride(context, keys)};
}

ReferenceTile reference_tile(const Context& context, const Spec& spec, const Segment& segment,
                             int64_t first_query, int64_t queries, Matrix<const float> q,
                             Matrix<const float> k) {
  ReferenceTile r;
  const int64_t keys = spec.causal ? first_query + queries : segment.rows;
  r.tile = {spec.n_heads, queries, keys, spec.causal, first_query, spec.scale};
  r.segment_first = segment.first;
  const int64_t rows = spec.n_heads * queries;
  r.s = logits_buffer(context, DType::f32, rows, keys);
  r.p = logits_buffer(context, DType::f32, rows, keys);
  r.lse = Buffer(context.device(), DType::f32, 1, rows);
  r.argmax = Buffer(context.device(), DType::i32, 1, rows);
  context.gemm.multiply(heads(spec, view_of(q), true, r.first_query(), queries, 1, 0, false),
                        heads(spec, view_of(k), false, segment.first, keys, 1, 0, true),
                        logits(spec, r.s.view(), queries, 1));
  softmax(context.device(), r.tile, r.s.matrix<float>(), r.p.matrix<float>(), r.lse.elements<float>(),
          r.argmax.elements<int32_t>());
  return r;
}

Buffer centered_rows(const Context& context, Matrix<const float> x, const Segment& segment) {
  Buffer centered(context.device(), DType::f32, segment.rows, x.cols);
  const Buffer sums(context.device(), DType::f64, kernels::kMeanPieces, x.cols);
  kernels::subtract_mean(context.device(), x.rows_at(segment.first, segment.rows), sums.matrix<double>(),
                         centered.matrix<float>());
  return centered;
}

}  // namespace qsweep::ops::attention
