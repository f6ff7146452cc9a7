#include "ops/attention_tile.h"

#include <algorithm>

namespace qsweep::ops::attention {

using kernels::Buffer;
using kernels::GemmOperand;

namespace {

constexpr int64_t kMinTileQueries = 64;
constexpr int64_t kMinWindowQueries = 256;

}  // namespace

Visible::Visible(const Spec& spec, const Layout& layout, const Segment& segment)
    : segment_(segment), causal_(spec.causal), window_(spec.window) {
  QSWEEP_CHECK(causal_ || (window_ == 0 && layout.spans.empty()), "a window or spans without a causal mask");
  const auto before = [](const Segment& span, int64_t row) { return span.first < row; };
  auto span = std::lower_bound(layout.spans.begin(), layout.spans.end(), segment.first, before);
  for (int64_t free = 0; span != layout.spans.end() && span->first < segment.first + segment.rows; ++span) {
    const KeyRange keys{span->first - segment.first, span->first - segment.first + span->rows};
    QSWEEP_CHECK(keys.from >= free && keys.to > keys.from && keys.to <= segment.rows,
                 "rows {} to {} as a span in a segment of {}", keys.from, keys.to, segment.rows);
    spans_.push_back(keys);
    free = keys.to;
  }
}

KeyRange Visible::of(int64_t first_query, int64_t queries) const {
  if (!causal_) return {0, segment_.rows};
  KeyRange seen{window_ == 0 ? 0 : std::max<int64_t>(0, first_query - window_ + 1), first_query + queries};
  const auto ends_later = [](int64_t row, const KeyRange& span) { return row < span.to; };
  for (auto span = std::upper_bound(spans_.begin(), spans_.end(), first_query, ends_later);
       span != spans_.end() && span->from < first_query + queries; ++span)
    seen = {std::min(seen.from, span->from), std::max(seen.to, span->to)};
  return seen;
}

int64_t Visible::most_keys(int64_t tile_queries) const {
  int64_t most = 0;
  for (int64_t first = 0; first < rows(); first += tile_queries) {
    const KeyRange seen = of(first, std::min(tile_queries, rows() - first));
    most = std::max(most, seen.to - seen.from);
  }
  return most;
}

int64_t Visible::most_queries() const {
  return window_ == 0 ? rows() : std::min(rows(), std::max(window_, kMinWindowQueries));
}

std::vector<KeyRange> Visible::per_query() const {
  std::vector<KeyRange> all;
  if (!causal_) return all;
  all.reserve(static_cast<size_t>(rows()));
  for (int64_t query = 0; query < rows(); ++query) all.push_back(of(query, 1));
  return all;
}

int64_t Visible::bytes() const { return causal_ ? rows() * int64_t{sizeof(KeyRange)} : 0; }

Tiling fit_tiling(const Context& context, const Visible& visible, int64_t pairs,
                  const std::function<int64_t(int64_t queries, int64_t pairs)>& bytes_of) {
  Tiling t{visible.most_queries(), pairs, 0};
  const auto too_large = [&] {
    t.bytes = bytes_of(t.queries, t.pairs);
    return t.bytes > context.tile_bytes;
  };
  while (too_large() && t.queries > kMinTileQueries)
    t.queries = std::max((t.queries + 1) / 2, kMinTileQueries);
  while (too_large() && t.pairs > 1) t.pairs = (t.pairs + 1) / 2;
  while (too_large() && t.queries > 1) t.queries = (t.queries + 1) / 2;
  t.bytes += visible.bytes();
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

ReferenceTile Reference::tile(int64_t first_query, int64_t queries) const {
  const KeyRange seen = visible_.of(first_query, queries);
  const int64_t keys = seen.to - seen.from, rows = spec_.n_heads * queries;
  const std::span<const KeyRange> per_query = for_kernels_.elements();
  ReferenceTile r;
  r.tile = {.heads = spec_.n_heads,
            .queries = queries,
            .keys = keys,
            .scale = spec_.scale,
            .visible = per_query.empty() ? nullptr : per_query.data() + first_query,
            .first_key = seen.from,
            .sinks = spec_.sinks.empty() ? nullptr : spec_.sinks.data()};
  r.first_query = visible_.segment().first + first_query;
  r.first_key = visible_.segment().first + seen.from;
  r.s = logits_buffer(context_, DType::f32, rows, keys);
  r.p = logits_buffer(context_, DType::f32, rows, keys);
  r.lse = Buffer(context_.device(), DType::f32, 1, rows);
  r.argmax = Buffer(context_.device(), DType::i32, 1, rows);
  context_.gemm.multiply(heads(spec_, view_of(q_), true, r.first_query, queries, 1, 0, false),
                         heads(spec_, view_of(k_), false, r.first_key, keys, 1, 0, true),
                         logits(spec_, r.s.view(), queries, 1));
  softmax(context_.device(), r.tile, r.s.matrix<float>(), r.p.matrix<float>(), r.lse.elements<float>(),
          r.argmax.elements<int32_t>());
  return r;
}

Buffer centered_rows(const Context& context, const Spec& spec, Matrix<const float> x,
                     const Segment& segment) {
  Buffer centered(context.device(), DType::f32, segment.rows, x.cols);
  if (!spec.sinks.empty()) {
    convert(context.device(), x.rows_at(segment.first, segment.rows), centered.view());
    return centered;
  }
  const Buffer sums(context.device(), DType::f64, kernels::kMeanPieces, x.cols);
  kernels::subtract_mean(context.device(), x.rows_at(segment.first, segment.rows), sums.matrix<double>(),
                         centered.matrix<float>());
  return centered;
}

}  // namespace qsweep::ops::attention
