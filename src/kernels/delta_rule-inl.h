// The bodies of the gated delta rule's scans: a head's outputs, and their changes. Compiled once per
// instruction set and for CUDA, in the words of lanes.h.
//
// Tokens are taken in chunks: first what does not depend on the state is computed for all of a chunk's
// tokens, then every group of lanes walks over the chunk with its columns of the states, which stay in the
// cache.
#include "kernels/delta_rule_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

// Of one head in one sequence: what the tokens of a chunk ask of a state, and the state.
struct HeadScan {
  const DeltaRule& rule;
  const DeltaRuleInputs& x;
  int64_t head, key_head, stride;
  GateRule gates;
  float *state, *q, *k, *decay, *beta;

  QSWEEP_KERNEL HeadScan(const DeltaRule& r, const DeltaRuleInputs& inputs, int64_t h, Slot& slot)
      : rule(r),
        x(inputs),
        head(h),
        key_head(h / r.group()),
        stride(DeltaRule::stride(r.value_dim)),
        gates(r, h),
        state(slot.take(r.key_dim * stride)),
        q(slot.take(kDeltaRuleChunk * r.key_dim)),
        k(slot.take(kDeltaRuleChunk * r.key_dim)),
        decay(slot.take(kDeltaRuleChunk)),
        beta(slot.take(kDeltaRuleChunk)) {
    L::fill(r.key_dim * stride, 0.0f, state);
  }

  QSWEEP_KERNEL const float* query(int64_t row) const { return x.qkv.row(row) + rule.query_column(key_head); }
  QSWEEP_KERNEL const float* key(int64_t row) const { return x.qkv.row(row) + rule.key_column(key_head); }
  QSWEEP_KERNEL const float* value(int64_t row) const { return x.qkv.row(row) + rule.value_column(head); }

  // Of `count` tokens from `row` on.
  QSWEEP_KERNEL void prepare(int64_t row, int64_t count) const {
    const int64_t n = rule.key_dim;
    L::each_part(count, n, [&](auto part, int64_t t) QSWEEP_LANES {
      normalize(part, n, query(row + t), rule.eps, query_scale(rule), q + t * n);
      normalize(part, n, key(row + t), rule.eps, 1, k + t * n);
      const Gates g = gates.of(x.a.row(row + t)[head], x.b.row(row + t)[head]);
      part.once([&]() QSWEEP_LANES {
        decay[t] = static_cast<float>(g.decay);
        beta[t] = static_cast<float>(g.beta);
      });
    });
  }

  // v - (decay S)^T k, for the columns at `at` of a token's value; S is what the token before left.
  template <class At>
  QSWEEP_KERNEL V error(int64_t t, const float* v, At at) const {
    const float* const key_of = k + t * rule.key_dim;
    const OneSum read = over_rows<OneSum>(rule.key_dim, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      sum.of = L::fma(L::set(key_of[i]), L::load(state + i * stride, whole(at)), sum.of);
    });
    return L::load(v, at) - L::set(decay[t]) * read.of;
  }

  // S = decay S + k update^T; returns S^T q.
  template <class At>
  QSWEEP_KERNEL V step(int64_t t, V update, At at) const {
    const float *const key_of = k + t * rule.key_dim, *const query_of = q + t * rule.key_dim;
    const V keep = L::set(decay[t]);
    const OneSum out = over_rows<OneSum>(rule.key_dim, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      float* const row = state + i * stride;
      const V s = L::fma(L::set(key_of[i]), update, keep * L::load(row, whole(at)));
      L::store(s, row, whole(at));
      sum.of = L::fma(L::set(query_of[i]), s, sum.of);
    });
    return out.of;
  }
};

QSWEEP_KERNEL void scan_head(const DeltaRule& rule, const DeltaRuleScan& scan, int64_t head,
                             const DeltaRuleInputs& x, Slot slot, Matrix<float> o) {
  const HeadScan parent(rule, x, head, slot);
  for (int64_t begin = 0; begin < scan.rows; begin += kDeltaRuleChunk) {
    const int64_t count = begin + kDeltaRuleChunk < scan.rows ? kDeltaRuleChunk : scan.rows - begin;
    const int64_t row = scan.first + begin;
    parent.prepare(row, count);
    L::each(rule.value_dim, [&](auto at) QSWEEP_LANES {
      for (int64_t t = 0; t < count; ++t) {
        const V update = L::set(parent.beta[t]) * parent.error(t, parent.value(row + t), at);
        L::store(parent.step(t, update, at), o.row(row + t) + head * rule.value_dim, at);
      }
    });
  }
}

// What a variant's state change is read by.
struct ChangeSums {
  V of_change, of_state, out;
  QSWEEP_KERNEL ChangeSums() : of_change(L::zero()), of_state(L::zero()), out(L::zero()) {}
  QSWEEP_KERNEL ChangeSums(V a, V b, V c) : of_change(a), of_state(b), out(c) {}
  QSWEEP_KERNEL ChangeSums operator+(const ChangeSums& other) const {
    return {of_change + other.of_change, of_state + other.of_state, out + other.out};
  }
};

// The same of one variant: D, its state less the parent's.
template <class T>
struct PairScan {
  const HeadScan& parent;
  DeltaRulePair pair;
  DeltaRuleViews dx;
  float *change, *q, *dq, *k, *dk, *read;  // q and k are the new ones; read = d_decay k + decay dk
  struct Numbers {
    float decay, d_decay, beta, d_beta, dq_k;  // the last is dq . k, of the parent's k
  } * numbers;

  QSWEEP_KERNEL PairScan(const HeadScan& p, const DeltaRulePair& of, const DeltaRuleViews& views, Slot& slot)
      : parent(p),
        pair(of),
        dx(views),
        change(slot.take(p.rule.key_dim * p.stride)),
        q(slot.take(kDeltaRuleChunk * p.rule.key_dim)),
        dq(slot.take(kDeltaRuleChunk * p.rule.key_dim)),
        k(slot.take(kDeltaRuleChunk * p.rule.key_dim)),
        dk(slot.take(kDeltaRuleChunk * p.rule.key_dim)),
        read(slot.take(kDeltaRuleChunk * p.rule.key_dim)),
        numbers(reinterpret_cast<Numbers*>(slot.take(kDeltaRuleChunk * int64_t{sizeof(Numbers) / 4}))) {}

  // Null where the variant's qkv do not change. Tokens are counted in the sequence.
  QSWEEP_KERNEL const T* values(int64_t token, int64_t column) const {
    const T* const row = row_or_null<const T>(dx.qkv, pair.in[0], token);
    return row == nullptr ? nullptr : row + column;
  }
  QSWEEP_KERNEL double gate(MatrixView d, int64_t first, int64_t token) const {
    const T* const row = row_or_null<const T>(d, first, token);
    return row == nullptr ? 0 : static_cast<double>(to_float(row[parent.head]));
  }

  // Of `count` tokens from `token` on, `row` of the parent, which is prepared.
  QSWEEP_KERNEL void prepare(int64_t row, int64_t token, int64_t count) const {
    const DeltaRule& rule = parent.rule;
    const int64_t n = rule.key_dim;
    L::each_part(count, n, [&](auto part, int64_t t) QSWEEP_LANES {
      const int64_t at_t = t * n;
      normalize_changed(part, n, parent.query(row + t), values(token + t, rule.query_column(parent.key_head)),
                        rule.eps, query_scale(rule), q + at_t, dq + at_t);
      normalize_changed(part, n, parent.key(row + t), values(token + t, rule.key_column(parent.key_head)),
                        rule.eps, 1, k + at_t, dk + at_t);
      const GateChange g =
          parent.gates.change(parent.x.a.row(row + t)[parent.head], parent.x.b.row(row + t)[parent.head],
                              gate(dx.a, pair.in[1], token + t), gate(dx.b, pair.in[2], token + t));
      const Numbers all{static_cast<float>(g.decay), static_cast<float>(g.d_decay),
                        static_cast<float>(g.beta), static_cast<float>(g.d_beta),
                        part.sum(n, [&](auto at) QSWEEP_LANES {
                          return L::load(dq + at_t, at) * L::load(parent.k + at_t, at);
                        })};
      part.each(n, [&](auto at) QSWEEP_LANES {
        L::store(L::fma(L::set(all.d_decay), L::load(k + at_t, at),
                        L::set(parent.decay[t]) * L::load(dk + at_t, at)),
                 read + at_t, at);
      });
      part.once([&]() QSWEEP_LANES { numbers[t] = all; });
    });
  }

  // D = decay' D + d_decay S + dk update^T + k' d_update^T; returns the change of the output. S is the
  // parent's state before the token, `error` and `update` the parent's for it.
  template <class At>
  QSWEEP_KERNEL V step(int64_t t, int64_t token, V error, V update, At at) const {
    const int64_t n = parent.rule.key_dim, stride = parent.stride;
    const float *const q_of = q + t * n, *const dq_of = dq + t * n, *const k_of = k + t * n,
                       *const dk_of = dk + t * n, *const read_of = read + t * n;
    const Numbers g = numbers[t];
    const ChangeSums sums = over_rows<ChangeSums>(n, [&](int64_t i, ChangeSums& sum) QSWEEP_LANES {
      const V s = L::load(parent.state + i * stride, whole(at));
      sum.of_change = L::fma(L::set(k_of[i]), L::load(change + i * stride, whole(at)), sum.of_change);
      sum.of_state = L::fma(L::set(read_of[i]), s, sum.of_state);
      sum.out = L::fma(L::set(dq_of[i]), s, sum.out);
    });
    const V keep = L::set(g.decay), more = L::set(g.d_decay);
    const T* const dv = values(token + t, parent.rule.value_column(parent.head));
    const V d_value = dv == nullptr ? L::zero() : L::load(dv, at);
    const V d_error = d_value - L::fma(keep, sums.of_change, sums.of_state);
    const V d_update = L::fma(L::set(g.d_beta), error, L::set(g.beta) * d_error);
    const OneSum out = over_rows<OneSum>(n, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      float* const row = change + i * stride;
      const V s = L::load(parent.state + i * stride, whole(at));
      const V kept = L::fma(keep, L::load(row, whole(at)), more * s);
      const V d = L::fma(L::set(k_of[i]), d_update, L::fma(L::set(dk_of[i]), update, kept));
      L::store(d, row, whole(at));
      sum.of = L::fma(L::set(q_of[i]), d, sum.of);
    });
    return out.of + L::fma(L::set(parent.decay[t]), sums.out, L::set(g.dq_k) * update);
  }
};

template <class T>
QSWEEP_KERNEL void scan_changes(const DeltaRule& rule, const DeltaRuleScan& scan, int64_t head,
                                const DeltaRuleInputs& x, const DeltaRulePair* pairs,
                                const DeltaRuleViews& dx, Slot slot, MatrixView d_o) {
  const HeadScan parent(rule, x, head, slot);
  const auto pair = [&](int64_t p) QSWEEP_LANES {
    Slot of_pair{slot.next + p * (rule.key_dim * parent.stride + kDeltaRuleChunk * (5 * rule.key_dim + 5))};
    return PairScan<T>(parent, pairs[scan.first_pair + p], dx, of_pair);
  };
  for (int64_t p = 0; p < scan.pairs; ++p) L::fill(rule.key_dim * parent.stride, 0.0f, pair(p).change);
  for (int64_t begin = 0; begin < scan.rows; begin += kDeltaRuleChunk) {
    const int64_t count = begin + kDeltaRuleChunk < scan.rows ? kDeltaRuleChunk : scan.rows - begin;
    const int64_t row = scan.first + begin;
    parent.prepare(row, count);
    for (int64_t p = 0; p < scan.pairs; ++p) pair(p).prepare(row, begin, count);
    L::each(rule.value_dim, [&](auto at) QSWEEP_LANES {
      for (int64_t t = 0; t < count; ++t) {
        const V error = parent.error(t, parent.value(row + t), at), update = L::set(parent.beta[t]) * error;
        for (int64_t p = 0; p < scan.pairs; ++p) {
          const PairScan<T> variant = pair(p);
          T* const out = d_o.as<T>().row(variant.pair.out + begin + t) + head * rule.value_dim;
          L::store(variant.step(t, begin, error, update, at), out, at);
        }
        parent.step(t, update, at);
      }
    });
  }
}

// body(a slot's scan, its head, its memory) for every scan of every head of slots [begin, end).
template <class Body>
QSWEEP_KERNEL void each_scan(int64_t begin, int64_t end, const DeltaRuleSlots& slots, int64_t scans,
                             int64_t heads, Body&& body) {
  for (int64_t s = begin; s < end; ++s)
    for (int64_t i = s; i < scans * heads; i += slots.count)
      body(i / heads, i % heads, Slot{slots.scratch + s * slots.elems});
}

QSWEEP_KERNEL void ScanDeltaRule(int64_t begin, int64_t end, DeltaRule rule, DeltaRuleSlots slots,
                                 const DeltaRuleScan* scans, int64_t n, DeltaRuleInputs x, Matrix<float> o) {
  each_scan(begin, end, slots, n, rule.value_heads, [&](int64_t i, int64_t head, Slot slot) QSWEEP_LANES {
    scan_head(rule, scans[i], head, x, slot, o);
  });
}

QSWEEP_KERNEL void ScanDeltaRuleChanges(int64_t begin, int64_t end, DeltaRule rule, DeltaRuleSlots slots,
                                        const DeltaRuleScan* scans, int64_t n, const DeltaRulePair* pairs,
                                        DeltaRuleInputs x, DeltaRuleViews dx, MatrixView d_o) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    each_scan(begin, end, slots, n, rule.value_heads, [&](int64_t i, int64_t head, Slot slot) QSWEEP_LANES {
      scan_changes<T>(rule, scans[i], head, x, pairs, dx, slot, d_o);
    });
  };
  d_o.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
