#include "ops/attention.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/trace.h"
#include "ops/attention_tile.h"

namespace qsweep::ops::attention {
namespace {

using kernels::AttentionTile;
using kernels::Buffer;
using kernels::Device;
using kernels::GemmOperand;
using kernels::GemmPurpose;
using kernels::kAbsent;
using kernels::RowBlock;

// Pairs of one sample with evenly spaced rows and the same inputs present.
struct PairRun {
  int64_t pairs = 0;
  int64_t parent = 0;
  int64_t rows = 0;
  std::array<int64_t, 3> in{};  // first row of the first pair in dq, dk, dv
  int64_t out = 0;
  std::array<int64_t, 4> step{};  // rows from one pair to the next in dq, dk, dv, d_o

  bool has(int input) const { return in[static_cast<size_t>(input)] != kAbsent; }
  PairRun part(int64_t first, int64_t count) const {
    PairRun p = *this;
    p.pairs = count;
    for (size_t i = 0; i < 3; ++i)
      if (in[i] != kAbsent) p.in[i] += first * step[i];
    p.out += first * step[3];
    return p;
  }
};

// The step from the run's last pair to `b`, if b continues the run.
bool continues(const PairRun& run, const RowBlock& b, std::array<int64_t, 4>& step) {
  if (b.parent != run.parent || b.rows != run.rows) return false;
  for (size_t i = 0; i < 3; ++i) {
    if ((b.in[i] == kAbsent) != (run.in[i] == kAbsent)) return false;
    step[i] = b.in[i] == kAbsent ? 0 : b.in[i] - run.in[i] - (run.pairs - 1) * run.step[i];
  }
  step[3] = b.out - run.out - (run.pairs - 1) * run.step[3];
  // A product's strides are positive.
  for (size_t i = 0; i < 4; ++i)
    if (step[i] <= 0 && (i == 3 || b.in[i] != kAbsent)) return false;
  return run.pairs == 1 || step == run.step;
}

// Runs by sample, samples in order of their rows.
std::map<int64_t, std::vector<PairRun>> pair_runs(std::span<const RowBlock> blocks) {
  std::map<int64_t, std::vector<PairRun>> runs;
  for (const RowBlock& b : blocks) {
    auto& of_sample = runs[b.parent];
    std::array<int64_t, 4> step{};
    if (!of_sample.empty() && continues(of_sample.back(), b, step)) {
      of_sample.back().step = step;
      ++of_sample.back().pairs;
    } else {
      of_sample.push_back({1, b.parent, b.rows, b.in, b.out, {}});
    }
  }
  return runs;
}

int64_t tile_bytes(const Context& context, const Spec& spec, const Visible& visible, int64_t queries,
                   int64_t pairs, DType dtype) {
  const int64_t keys = visible.most_keys(queries);
  const int64_t logits = spec.n_heads * queries * logits_stride(context, keys),
                delta_bytes = size_bytes(dtype);
  const int64_t reference =
      logits * (4 + 4 + delta_bytes) + spec.n_heads * queries * spec.head_dim * delta_bytes;
  const int64_t per_pair = logits * (dtype == DType::f32 ? 4 : 4 + delta_bytes) +
                           2 * keys * spec.n_kv_heads * spec.head_dim * delta_bytes +
                           queries * spec.n_heads * spec.head_dim * 4;
  const int64_t centered = 2 * visible.rows() * spec.n_kv_heads * spec.head_dim * 4;
  return reference + centered + pairs * per_pair + spec.n_heads * queries * 8;
}

Tiling choose_tiling(const Context& context, const Spec& spec, const Visible& visible, int64_t pairs,
                     DType dtype) {
  return fit_tiling(context, visible, pairs, [&](int64_t queries, int64_t pairs_at_once) {
    return tile_bytes(context, spec, visible, queries, pairs_at_once, dtype);
  });
}

// Everything of one delta call that does not change from tile to tile.
struct DeltaCall {
  const Context& context;
  const Spec& spec;
  const Layout& layout;
  const Qkv<Matrix<const float>>& x;
  std::array<MatrixView, 3> d;  // dq, dk, dv
  MatrixView d_o;

  GemmOperand delta_heads(int input, const PairRun& run, int64_t first, int64_t rows, bool transposed) const {
    const auto i = static_cast<size_t>(input);
    return heads(spec, d[i], input == 0, run.in[i] + first, rows, run.pairs, run.step[i], transposed);
  }
  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c, bool accumulate) const {
    context.gemm.multiply(a, b, c, {.accumulate = accumulate, .purpose = GemmPurpose::deltas});
  }
};

// parent (centred) + delta for the keys of a tile, [pairs * keys, n_kv_heads * head_dim]; input 1 is k, 2 is
// v.
Buffer changed_keys(const DeltaCall& call, int input, const PairRun& run, const ReferenceTile& r) {
  const auto i = static_cast<size_t>(input);
  const Matrix<const float> parent = r.centered[i - 1];
  Buffer sum(call.context.device(), call.d_o.dtype, run.pairs * r.tile.keys, parent.cols);
  std::vector<RowBlock> blocks;
  const int64_t offset = r.first_key - run.parent;
  for (int64_t pair = 0; pair < run.pairs; ++pair)
    blocks.push_back(
        {.rows = r.tile.keys,
         .parent = r.tile.first_key,
         .in = {run.has(input) ? run.in[i] + pair * run.step[i] + offset : kAbsent, kAbsent, kAbsent},
         .out = pair * r.tile.keys});
  add_to_parent(call.context.device(), blocks, parent, call.d[i], sum.view());
  return sum;
}

// dS of one tile for the pairs of a run, [pairs * heads * queries, keys].
Buffer logits_change(const DeltaCall& call, const PairRun& run, const ReferenceTile& r, MatrixView q_tile) {
  const AttentionTile& tile = r.tile;
  Buffer ds = logits_buffer(call.context, DType::f32, run.pairs * tile.heads * tile.queries, tile.keys);
  const GemmOperand out = logits(call.spec, ds.view(), tile.queries, run.pairs);
  if (run.has(0)) {
    const Buffer k_new = changed_keys(call, 1, run, r);
    call.multiply(call.delta_heads(0, run, r.first_query - run.parent, tile.queries, false),
                  heads(call.spec, k_new.view(), false, 0, tile.keys, run.pairs, tile.keys, true), out,
                  false);
  }
  if (run.has(1))
    call.multiply(heads(call.spec, q_tile, true, 0, tile.queries, 1, 0, false),
                  call.delta_heads(1, run, r.first_key - run.parent, tile.keys, true), out, run.has(0));
  return ds;
}

// dO of one tile for the pairs of a run. p_tile and q_tile: the reference's, in the deltas' dtype.
void delta_tile(const DeltaCall& call, const PairRun& run, const ReferenceTile& r, MatrixView q_tile,
                MatrixView p_tile) {
  const AttentionTile& tile = r.tile;
  const Spec& spec = call.spec;
  const DType dtype = call.d_o.dtype;
  // Two products add up in f32 before they are rounded to the deltas' dtype.
  const Device device = call.context.device();
  const Buffer sum(device, DType::f32, run.pairs * tile.queries, call.d_o.cols);
  const GemmOperand out = heads(spec, sum.view(), true, 0, tile.queries, run.pairs, tile.queries, false);
  const bool logits_move = run.has(0) || run.has(1);
  if (logits_move) {
    const Buffer ds = logits_change(call, run, r, q_tile);
    Buffer narrow;
    if (dtype != DType::f32) narrow = logits_buffer(call.context, dtype, ds.view().rows, tile.keys);
    const MatrixView dp = dtype == DType::f32 ? ds.view() : narrow.view();
    softmax_delta(device, tile, r.s.matrix<float>(), r.p.matrix<float>(), r.lse.elements<float>(),
                  r.argmax.elements<int32_t>(), ds.matrix<float>(), dp);
    const Buffer v_new = changed_keys(call, 2, run, r);
    call.multiply(logits(spec, dp, tile.queries, run.pairs),
                  heads(spec, v_new.view(), false, 0, tile.keys, run.pairs, tile.keys, false), out, false);
  }
  if (run.has(2))
    call.multiply(logits(spec, p_tile, tile.queries, 1),
                  call.delta_heads(2, run, r.first_key - run.parent, tile.keys, false), out, logits_move);
  for (int64_t pair = 0; pair < run.pairs; ++pair)
    convert(device, sum.matrix<float>().rows_at(pair * tile.queries, tile.queries),
            call.d_o.rows_at(run.out + pair * run.step[3] + r.first_query - run.parent, tile.queries));
}

// Every tile of one sample's segments.
void delta_sample(const DeltaCall& call, std::span<const Segment> segments, std::span<const PairRun> runs) {
  int64_t most_pairs = 0;
  for (const PairRun& run : runs) most_pairs = std::max(most_pairs, run.pairs);
  const DType dtype = call.d_o.dtype;
  for (const Segment& segment : segments) {
    const Visible visible(call.spec, call.layout, segment);
    const Tiling tiling = choose_tiling(call.context, call.spec, visible, most_pairs, dtype);
    const Reference reference(call.context, call.spec, visible, call.x.q, call.x.k);
    const Buffer k = centered_rows(call.context, call.spec, call.x.k, segment),
                 v = centered_rows(call.context, call.spec, call.x.v, segment);
    for (int64_t first = 0; first < segment.rows; first += tiling.queries) {
      const int64_t queries = std::min(tiling.queries, segment.rows - first);
      ReferenceTile r = reference.tile(first, queries);
      r.centered[0] = k.matrix<float>();
      r.centered[1] = v.matrix<float>();
      const Device device = call.context.device();
      const Buffer q_tile(device, dtype, queries, call.x.q.cols);
      const Buffer p_tile = logits_buffer(call.context, dtype, r.p.view().rows, r.tile.keys);
      convert(device, call.x.q.rows_at(r.first_query, queries), q_tile.view());
      convert(device, r.p.matrix<float>(), p_tile.view());
      for (const PairRun& run : runs)
        for (int64_t pair = 0; pair < run.pairs; pair += tiling.pairs)
          delta_tile(call, run.part(pair, std::min(tiling.pairs, run.pairs - pair)), r, q_tile.view(),
                     p_tile.view());
    }
  }
}

// The segments that make up rows [first, first + rows).
std::span<const Segment> segments_within(std::span<const Segment> segments, int64_t first, int64_t rows) {
  const auto before = [](const Segment& s, int64_t row) { return s.first < row; };
  const auto begin = std::lower_bound(segments.begin(), segments.end(), first, before);
  const auto end = std::lower_bound(begin, segments.end(), first + rows, before);
  return {begin, end};
}

}  // namespace

void forward(const Context& context, const Spec& spec, const Layout& layout,
             const Qkv<Matrix<const float>>& x, Matrix<float> o) {
  const trace::Span span("attention");
  for (const Segment& segment : layout.segments) {
    const Visible visible(spec, layout, segment);
    const Tiling tiling = choose_tiling(context, spec, visible, 0, DType::f32);
    const Reference reference(context, spec, visible, x.q, x.k);
    for (int64_t first = 0; first < segment.rows; first += tiling.queries) {
      const int64_t queries = std::min(tiling.queries, segment.rows - first);
      const ReferenceTile r = reference.tile(first, queries);
      context.gemm.multiply(logits(spec, r.p.view(), queries, 1),
                            heads(spec, view_of(x.v), false, r.first_key, r.tile.keys, 1, 0, false),
                            heads(spec, view_of(o), true, r.first_query, queries, 1, 0, false));
    }
  }
}

void delta(const Context& context, const Spec& spec, const Layout& layout, std::span<const RowBlock> blocks,
           const Qkv<Matrix<const float>>& x, const Qkv<MatrixView>& dx, MatrixView d_o) {
  const trace::Span span("attention");
  const DeltaCall call{context, spec, layout, x, {dx.q, dx.k, dx.v}, d_o};
  for (const auto& [parent, runs] : pair_runs(blocks))
    delta_sample(call, segments_within(layout.segments, parent, runs.front().rows), runs);
}

int64_t scratch_bytes(const Context& context, const Spec& spec, const Layout& layout,
                      std::span<const RowBlock> blocks, DType delta_dtype) {
  int64_t bytes = 0;
  const auto include = [&](const Segment& segment, int64_t pairs, DType dtype) {
    bytes = std::max(bytes, choose_tiling(context, spec, {spec, layout, segment}, pairs, dtype).bytes);
  };
  for (const Segment& s : layout.segments) include(s, 0, DType::f32);
  for (const auto& [parent, runs] : pair_runs(blocks)) {
    int64_t pairs = 0;
    for (const PairRun& run : runs) pairs = std::max(pairs, run.pairs);
    for (const Segment& s : segments_within(layout.segments, parent, runs.front().rows))
      include(s, pairs, delta_dtype);
  }
  return bytes;
}

}  // namespace qsweep::ops::attention
