#include "ops/delta_net.h"

#include <algorithm>
#include <map>

#include "base/trace.h"
#include "kernels/buffer.h"
#include "kernels/delta_rule.h"

namespace qsweep::ops::delta_net {
namespace {

using kernels::Buffer;
using kernels::DeltaRule;
using kernels::DeltaRulePair;
using kernels::DeltaRuleScan;
using kernels::kAbsent;
using kernels::kDeltaRulePairs;
using kernels::OnDevice;
using kernels::RowBlock;

DeltaRule rule_of(const Spec& spec) {
  QSWEEP_CHECK(spec.n_key_heads > 0 && spec.n_value_heads % spec.n_key_heads == 0,
               "{} value heads of {} key heads", spec.n_value_heads, spec.n_key_heads);
  return {.key_heads = spec.n_key_heads,
          .value_heads = spec.n_value_heads,
          .key_dim = spec.key_dim,
          .value_dim = spec.value_dim,
          .eps = spec.eps};
}

DeltaRule rule_of(const Spec& spec, const Weights& weights) {
  QSWEEP_CHECK(
      std::ssize(weights.a_log) == spec.n_value_heads && std::ssize(weights.dt_bias) == spec.n_value_heads,
      "{} and {} weights of {} heads", weights.a_log.size(), weights.dt_bias.size(), spec.n_value_heads);
  DeltaRule rule = rule_of(spec);
  rule.a_log = weights.a_log.data();
  rule.dt_bias = weights.dt_bias.data();
  return rule;
}

void check(const Spec& spec, const Inputs<Matrix<const float>>& x, int64_t out_cols) {
  const int64_t values = spec.n_value_heads * spec.value_dim;
  QSWEEP_CHECK(x.qkv.cols == 2 * spec.n_key_heads * spec.key_dim + values && x.a.cols == spec.n_value_heads &&
                   x.b.cols == spec.n_value_heads && out_cols == values && x.a.rows == x.qkv.rows &&
                   x.b.rows == x.qkv.rows,
               "qkv [{}, {}], a [{}, {}], b [{}, {}], {} columns out", x.qkv.rows, x.qkv.cols, x.a.rows,
               x.a.cols, x.b.rows, x.b.cols, out_cols);
}

// What is scanned, sequence by sequence.
struct Scans {
  std::vector<DeltaRuleScan> scans;
  std::vector<DeltaRulePair> pairs;
  int64_t most_pairs = 0, most_rows = 0;

  void add(const DeltaRuleScan& scan) {
    if (scan.rows == 0) return;
    scans.push_back(scan);
    most_pairs = std::max(most_pairs, scan.pairs);
    most_rows = std::max(most_rows, scan.rows);
  }
};

Scans scans_of(std::span<const Segment> segments) {
  Scans all;
  for (const Segment& s : segments) all.add({.first = s.first, .rows = s.rows});
  return all;
}

// The rows of a block that a segment within it has.
DeltaRulePair pair_of(const RowBlock& block, const Segment& segment) {
  DeltaRulePair pair{.in = block.in, .out = block.out + segment.first - block.parent};
  for (int64_t& in : pair.in)
    if (in != kAbsent) in += segment.first - block.parent;
  return pair;
}

// The variants of a sample, of which each scan takes a few, in every segment within their rows.
void add_sample(std::span<const Segment> segments, std::span<const RowBlock> blocks, Scans& all) {
  const int64_t first = blocks.front().parent, end = first + blocks.front().rows;
  for (const Segment& s : segments) {
    if (s.first < first || s.first >= end) continue;
    for (size_t b = 0; b < blocks.size(); b += kDeltaRulePairs) {
      const auto few = blocks.subspan(b, std::min<size_t>(kDeltaRulePairs, blocks.size() - b));
      all.add(
          {.first = s.first, .rows = s.rows, .first_pair = std::ssize(all.pairs), .pairs = std::ssize(few)});
      for (const RowBlock& block : few) all.pairs.push_back(pair_of(block, s));
    }
  }
}

Scans scans_of(std::span<const Segment> segments, std::span<const RowBlock> blocks) {
  std::map<int64_t, std::vector<RowBlock>> samples;
  for (const RowBlock& b : blocks) samples[b.parent].push_back(b);
  Scans all;
  for (const auto& [parent, variants] : samples) add_sample(segments, variants, all);
  return all;
}

// One slot per thread; on a GPU as many as there are scans, within the memory for tiles.
kernels::DeltaRuleSlots slots_for(const Context& context, int64_t scans, int64_t elems) {
  const int64_t wanted = context.device().gpu == nullptr ? context.threads().count : scans;
  const int64_t fitting = std::max<int64_t>(1, context.tile_bytes / (elems * 4));
  return {.scratch = nullptr, .elems = elems, .count = std::min({wanted, scans, fitting})};
}

kernels::DeltaRuleSlots slots_of(const Context& context, const Spec& spec, const Scans& all) {
  return slots_for(context, std::ssize(all.scans) * spec.n_value_heads,
                   delta_rule_elems(rule_of(spec), all.most_pairs));
}

// Columns of a state that vjp scans at once: on a CPU few, whose kept states stay in the cache.
int64_t vjp_columns(const Context& context, const Spec& spec) {
  constexpr int64_t few = 32;
  return context.device().gpu == nullptr ? std::min(few, spec.value_dim) : spec.value_dim;
}

kernels::DeltaRuleSlots vjp_slots_of(const Context& context, const Spec& spec, const Scans& all,
                                     int64_t probes) {
  return slots_for(context, std::ssize(all.scans) * probes * spec.n_key_heads,
                   delta_rule_vjp_elems(rule_of(spec), all.most_rows, vjp_columns(context, spec)));
}

int64_t bytes_of(const kernels::DeltaRuleSlots& slots) { return slots.count * slots.elems * 4; }

Buffer memory_of(const Context& context, kernels::DeltaRuleSlots& slots) {
  Buffer memory(context.device(), DType::f32, slots.count, slots.elems);
  slots.scratch = memory.matrix<float>().data;
  return memory;
}

}  // namespace

void forward(const Context& context, const Spec& spec, std::span<const Segment> segments,
             const Inputs<Matrix<const float>>& x, const Weights& weights, Matrix<float> o) {
  const trace::Span span("attention");
  check(spec, x, o.cols);
  const Scans all = scans_of(segments);
  kernels::DeltaRuleSlots slots = slots_of(context, spec, all);
  const Buffer memory = memory_of(context, slots);
  const OnDevice<DeltaRuleScan> scans(context.device(), all.scans);
  kernels::delta_rule(context.device(), rule_of(spec, weights), slots, scans.elements(), {x.qkv, x.a, x.b},
                      o);
}

void delta(const Context& context, const Spec& spec, std::span<const Segment> segments,
           std::span<const RowBlock> blocks, const Inputs<Matrix<const float>>& x, const Weights& weights,
           const Inputs<MatrixView>& dx, MatrixView d_o) {
  const trace::Span span("attention");
  check(spec, x, d_o.cols);
  const Scans all = scans_of(segments, blocks);
  kernels::DeltaRuleSlots slots = slots_of(context, spec, all);
  const Buffer memory = memory_of(context, slots);
  const OnDevice<DeltaRuleScan> scans(context.device(), all.scans);
  const OnDevice<DeltaRulePair> pairs(context.device(), all.pairs);
  kernels::delta_rule_delta(context.device(), rule_of(spec, weights), slots, scans.elements(),
                            pairs.elements(), {x.qkv, x.a, x.b}, {dx.qkv, dx.a, dx.b}, d_o);
}

int64_t scratch_bytes(const Context& context, const Spec& spec, std::span<const Segment> segments,
                      std::span<const RowBlock> blocks) {
  return bytes_of(slots_of(context, spec, blocks.empty() ? scans_of(segments) : scans_of(segments, blocks)));
}

void vjp(const Context& context, const Spec& spec, std::span<const Segment> segments,
         const Inputs<Matrix<const float>>& x, const Weights& weights, MatrixView d_o, int64_t probes,
         const Inputs<MatrixView>& dx) {
  const trace::Span span("attention");
  check(spec, x, d_o.cols);
  const Scans all = scans_of(segments);
  kernels::DeltaRuleSlots slots = vjp_slots_of(context, spec, all, probes);
  const Buffer memory = memory_of(context, slots);
  const OnDevice<DeltaRuleScan> scans(context.device(), all.scans);
  kernels::delta_rule_vjp(context.device(), rule_of(spec, weights), slots, scans.elements(),
                          {x.qkv, x.a, x.b}, d_o, probes, vjp_columns(context, spec), {dx.qkv, dx.a, dx.b});
}

int64_t vjp_scratch_bytes(const Context& context, const Spec& spec, std::span<const Segment> segments,
                          int64_t probes) {
  return bytes_of(vjp_slots_of(context, spec, scans_of(segments), probes));
}

}  // namespace qsweep::ops::delta_net
