// The gated delta rule (ops/delta_net.h), scans over sequences: one head after the other, token by token,
// with lanes over the columns of its state.
//
// A scan works in one of `slots` equal parts of `scratch`; slot s does scans s, s + slots, s + 2 slots, ... .
#pragma once

#include <cstdint>
#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

struct DeltaRule {
  int64_t key_heads = 0;    // of queries and of keys
  int64_t value_heads = 0;  // a multiple; head h reads queries and keys of head h / (value_heads / key_heads)
  int64_t key_dim = 0;      // of one head
  int64_t value_dim = 0;
  const float* a_log = nullptr;  // [value_heads], in the device's memory
  const float* dt_bias = nullptr;
  float eps = 0;

  constexpr int64_t group() const { return value_heads / key_heads; }
  constexpr int64_t query_column(int64_t key_head) const { return key_head * key_dim; }
  constexpr int64_t key_column(int64_t key_head) const { return (key_heads + key_head) * key_dim; }
  constexpr int64_t value_column(int64_t head) const { return 2 * key_heads * key_dim + head * value_dim; }
  // A row of a state: padded, so that whole lanes may be written and rows do not share a cache's sets.
  static constexpr int64_t stride(int64_t columns) { return (columns + 15) / 16 * 16 + 16; }
};

// qkv [rows, key_heads key_dim | key_heads key_dim | value_heads value_dim], a and b [rows, value_heads].
struct DeltaRuleInputs {
  Matrix<const float> qkv, a, b;
};
struct DeltaRuleViews {
  MatrixView qkv, a, b;
};

// The first rows of one variant's sequence: of its changes of qkv, a and b, and of its output.
struct DeltaRulePair {
  std::array<int64_t, 3> in{kAbsent, kAbsent, kAbsent};
  int64_t out = 0;
};
inline constexpr int64_t kDeltaRulePairs = 4;

// Rows [first, first + rows) of the parent, a whole sequence, with up to kDeltaRulePairs variants of it.
struct DeltaRuleScan {
  int64_t first = 0;
  int64_t rows = 0;
  int64_t first_pair = 0;
  int64_t pairs = 0;
};

struct DeltaRuleSlots {
  float* scratch = nullptr;
  int64_t elems = 0;  // of one slot
  int64_t count = 0;
};

// A chunk's tokens are prepared together.
inline constexpr int64_t kDeltaRuleChunk = 16;
// vjp keeps every so many-th state, and those between of one part at a time.
inline constexpr int64_t kDeltaRuleKept = 32;

// Elements of a slot.
constexpr int64_t delta_rule_elems(const DeltaRule& rule, int64_t pairs) {
  const int64_t state = rule.key_dim * DeltaRule::stride(rule.value_dim);
  return state * (1 + pairs) + kDeltaRuleChunk * (2 * rule.key_dim + 2 + pairs * (5 * rule.key_dim + 5));
}
// `rows`: of the longest sequence; `columns`: of a state that are scanned at once.
constexpr int64_t delta_rule_vjp_elems(const DeltaRule& rule, int64_t rows, int64_t columns) {
  const int64_t state = rule.key_dim * DeltaRule::stride(columns);
  const int64_t kept = (rows + kDeltaRuleKept - 1) / kDeltaRuleKept;
  return rows * (4 * rule.key_dim + 2 + 3 * rule.value_dim) + state * (1 + kept + kDeltaRuleKept) +
         rule.value_dim * DeltaRule::stride(rule.key_dim);
}

void delta_rule(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                std::span<const DeltaRuleScan> scans, const DeltaRuleInputs& x, Matrix<float> o);

void delta_rule_delta(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                      std::span<const DeltaRuleScan> scans, std::span<const DeltaRulePair> pairs,
                      const DeltaRuleInputs& x, const DeltaRuleViews& dx, MatrixView d_o);

// Every probe's sequences; `columns` as above.
void delta_rule_vjp(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                    std::span<const DeltaRuleScan> scans, const DeltaRuleInputs& x, MatrixView d_o,
                    int64_t probes, int64_t columns, const DeltaRuleViews& dx);

}  // namespace qsweep::kernels
