// The bodies of the gated delta rule's cotangents, for one probe, one sequence and the heads that share keys.
// Compiled once per instruction set and for CUDA, in the words of lanes.h.
//
// With R the cotangent of a state, sums over a state's rows, R^T k, are needed by the walk back itself; sums
// over its columns, such as S g(o), are not. So the walk is done with lanes over columns first, some columns
// at a time, which finds the cotangents of the updates; then both states are walked once more with lanes over
// rows.
#include "kernels/delta_rule-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

// Of the heads of one key head in a sequence of `rows` tokens; all views begin with its first.
template <class T>
struct HeadsBack {
  const DeltaRule& rule;
  int64_t rows, key_head, columns;
  DeltaRuleInputs x;
  Matrix<const T> d_o;
  Matrix<T> d_qkv, d_a, d_b;
  float *q, *k, *dq, *dk;  // [rows, key_dim], of length 1; dq and dk are of all heads
  float *decay, *beta;     // of one head, as all that follows
  float* error;            // [rows, value_dim]: v - (decay S)^T k
  float* d_update;         // the cotangent of beta error
  float* d_log_decay;      // what every column adds to the cotangent of the decay's logarithm
  float* kept;             // states before every kDeltaRuleKept-th token, [key_dim, stride(columns)] each
  float* decayed;          // decay S of the tokens of one such part
  float* back;             // R
  float* turned;           // a state or R, [value_dim, stride(key_dim)]

  QSWEEP_KERNEL HeadsBack(const DeltaRule& r, int64_t n, int64_t key, int64_t columns_at_once, Slot slot)
      : rule(r), rows(n), key_head(key), columns(columns_at_once) {
    const int64_t of_keys = n * r.key_dim, of_values = n * r.value_dim;
    q = slot.take(of_keys), k = slot.take(of_keys), dq = slot.take(of_keys), dk = slot.take(of_keys);
    decay = slot.take(n), beta = slot.take(n);
    error = slot.take(of_values), d_update = slot.take(of_values), d_log_decay = slot.take(of_values);
    kept = slot.take((n + kDeltaRuleKept - 1) / kDeltaRuleKept * state_elems());
    decayed = slot.take(kDeltaRuleKept * state_elems());
    back = slot.take(state_elems());
    turned = slot.take(r.value_dim * DeltaRule::stride(r.key_dim));
  }

  QSWEEP_KERNEL int64_t stride() const { return DeltaRule::stride(columns); }
  QSWEEP_KERNEL int64_t state_elems() const { return rule.key_dim * stride(); }
  QSWEEP_KERNEL const T* d_out(int64_t t, int64_t head) const { return d_o.row(t) + head * rule.value_dim; }

  QSWEEP_KERNEL void prepare() const {
    const int64_t n = rule.key_dim;
    L::each_part(rows, n, [&](auto part, int64_t t) QSWEEP_LANES {
      normalize(part, n, x.qkv.row(t) + rule.query_column(key_head), rule.eps, query_scale(rule), q + t * n);
      normalize(part, n, x.qkv.row(t) + rule.key_column(key_head), rule.eps, 1, k + t * n);
      part.fill(n, 0.0f, dq + t * n);
      part.fill(n, 0.0f, dk + t * n);
    });
  }

  QSWEEP_KERNEL void prepare_gates(int64_t head) const {
    const GateRule gates(rule, head);
    L::each_part(rows, 1, [&](auto part, int64_t t) QSWEEP_LANES {
      const Gates g = gates.of(x.a.row(t)[head], x.b.row(t)[head]);
      part.once([&]() QSWEEP_LANES {
        decay[t] = static_cast<float>(g.decay);
        beta[t] = static_cast<float>(g.beta);
      });
    });
  }

  // --- lanes over columns [first, first + count) of a head's states

  // (decay S)^T k of the state at `from`.
  template <class At>
  QSWEEP_KERNEL V read(int64_t t, const float* from, At at) const {
    const float* const key = k + t * rule.key_dim;
    const OneSum sums = over_rows<OneSum>(rule.key_dim, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      sum.of = L::fma(L::set(key[i]), L::load(from + i * stride(), whole(at)), sum.of);
    });
    return L::set(decay[t]) * sums.of;
  }

  // to = decay S + k (beta error)^T; `scaled`, if not null, becomes decay S.
  template <class At>
  QSWEEP_KERNEL void advance(int64_t t, const float* of_error, const float* from, float* scaled, float* to,
                             At at) const {
    const float* const key = k + t * rule.key_dim;
    const V keep = L::set(decay[t]), update = L::set(beta[t]) * L::load(of_error, at);
    for (int64_t i = 0; i < rule.key_dim; ++i) {
      const V s = keep * L::load(from + i * stride(), whole(at));
      if (scaled != nullptr) L::store(s, scaled + i * stride(), whole(at));
      L::store(L::fma(L::set(key[i]), update, s), to + i * stride(), whole(at));
    }
  }

  template <class At>
  QSWEEP_KERNEL void clear(float* state, At at) const {
    for (int64_t i = 0; i < rule.key_dim; ++i) L::store(L::zero(), state + i * stride(), whole(at));
  }

  QSWEEP_KERNEL float* kept_before(int64_t t) const { return kept + t / kDeltaRuleKept * state_elems(); }

  // Errors of all tokens, and the states that are kept.
  template <class At>
  QSWEEP_KERNEL void walk(int64_t head, int64_t first, At at) const {
    clear(back, at);  // not R yet, but the state
    for (int64_t t = 0; t < rows; ++t) {
      if (t % kDeltaRuleKept == 0)
        for (int64_t i = 0; i < rule.key_dim; ++i)
          L::store(L::load(back + i * stride(), whole(at)), kept_before(t) + i * stride(), whole(at));
      float* const of_error = error + t * rule.value_dim + first;
      L::store(L::load(x.qkv.row(t) + rule.value_column(head) + first, at) - read(t, back, at), of_error, at);
      advance(t, of_error, back, static_cast<float*>(nullptr), back, at);
    }
  }

  // One token backward: R of the state behind it becomes that of the state before it.
  template <class At>
  QSWEEP_KERNEL void step_back(int64_t t, int64_t head, int64_t first, const float* scaled, At at) const {
    const float *const query = q + t * rule.key_dim, *const key = k + t * rule.key_dim;
    const V g = L::load(d_out(t, head) + first, at), keep = L::set(decay[t]);
    const OneSum of_update = over_rows<OneSum>(rule.key_dim, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      float* const row = back + i * stride();
      const V r = L::fma(L::set(query[i]), g, L::load(row, whole(at)));
      L::store(r, row, whole(at));
      sum.of = L::fma(L::set(key[i]), r, sum.of);
    });
    const V d_value = L::set(beta[t]) * of_update.of;
    const OneSum of_decay = over_rows<OneSum>(rule.key_dim, [&](int64_t i, OneSum& sum) QSWEEP_LANES {
      float* const row = back + i * stride();
      const V r = L::load(row, whole(at)) - L::set(key[i]) * d_value;
      sum.of = L::fma(r, L::load(scaled + i * stride(), whole(at)), sum.of);
      L::store(keep * r, row, whole(at));
    });
    L::store(of_update.of, d_update + t * rule.value_dim + first, at);
    L::store(of_decay.of, d_log_decay + t * rule.value_dim + first, at);
    L::store(d_value, d_qkv.row(t) + rule.value_column(head) + first, at);
  }

  template <class At>
  QSWEEP_KERNEL void walk_back(int64_t head, int64_t first, At at) const {
    clear(back, at);
    for (int64_t begin = (rows - 1) / kDeltaRuleKept * kDeltaRuleKept; begin >= 0; begin -= kDeltaRuleKept) {
      const int64_t end = begin + kDeltaRuleKept < rows ? begin + kDeltaRuleKept : rows;
      float* const state = kept_before(begin);
      for (int64_t t = begin; t < end; ++t)
        advance(t, error + t * rule.value_dim + first, state, decayed + (t - begin) * state_elems(), state,
                at);
      for (int64_t t = end - 1; t >= begin; --t)
        step_back(t, head, first, decayed + (t - begin) * state_elems(), at);
    }
  }

  // --- lanes over the rows of a head's states: what queries and keys get of them

  template <class At>
  QSWEEP_KERNEL void clear_turned(At at) const {
    for (int64_t j = 0; j < rule.value_dim; ++j)
      L::store(L::zero(), turned + j * DeltaRule::stride(rule.key_dim), whole(at));
  }

  // dq += S g(o), dk -= decay S g(v)
  template <class At>
  QSWEEP_KERNEL void read_states(int64_t head, At at) const {
    const int64_t across = DeltaRule::stride(rule.key_dim);
    clear_turned(at);
    for (int64_t t = 0; t < rows; ++t) {
      const float *const e = error + t * rule.value_dim, *const w = d_update + t * rule.value_dim;
      const T* const g = d_out(t, head);
      const V key = L::load(k + t * rule.key_dim, at), keep = L::set(decay[t]);
      V of_query = L::load(dq + t * rule.key_dim, at), of_key = L::load(dk + t * rule.key_dim, at);
      for (int64_t j = 0; j < rule.value_dim; ++j) {
        const V before = keep * L::load(turned + j * across, whole(at));
        const V s = L::fma(key, L::set(beta[t] * e[j]), before);
        L::store(s, turned + j * across, whole(at));
        of_query = L::fma(s, L::set(to_float(g[j])), of_query);
        of_key = of_key - before * L::set(beta[t] * w[j]);
      }
      L::store(of_query, dq + t * rule.key_dim, at);
      L::store(of_key, dk + t * rule.key_dim, at);
    }
  }

  // dk += R update
  template <class At>
  QSWEEP_KERNEL void read_back(int64_t head, At at) const {
    const int64_t across = DeltaRule::stride(rule.key_dim);
    clear_turned(at);
    for (int64_t t = rows - 1; t >= 0; --t) {
      const float *const e = error + t * rule.value_dim, *const w = d_update + t * rule.value_dim;
      const T* const g = d_out(t, head);
      const V query = L::load(q + t * rule.key_dim, at), key = L::load(k + t * rule.key_dim, at);
      const V keep = L::set(decay[t]);
      V of_key = L::load(dk + t * rule.key_dim, at);
      for (int64_t j = 0; j < rule.value_dim; ++j) {
        const V r = L::fma(query, L::set(to_float(g[j])), L::load(turned + j * across, whole(at)));
        of_key = L::fma(r, L::set(beta[t] * e[j]), of_key);
        L::store(keep * (r - key * L::set(beta[t] * w[j])), turned + j * across, whole(at));
      }
      L::store(of_key, dk + t * rule.key_dim, at);
    }
  }

  // ---

  QSWEEP_KERNEL void gates_back(int64_t head) const {
    const GateRule gates(rule, head);
    const int64_t n = rule.value_dim;
    L::each_part(rows, n, [&](auto part, int64_t t) QSWEEP_LANES {
      const float of_log_decay =
          part.sum(n, [&](auto at) QSWEEP_LANES { return L::load(d_log_decay + t * n, at); });
      const float of_beta = part.sum(n, [&](auto at) QSWEEP_LANES {
        return L::load(error + t * n, at) * L::load(d_update + t * n, at);
      });
      const double b = static_cast<double>(x.b.row(t)[head]);
      const double d_a_of = static_cast<double>(of_log_decay) * gates.slope(x.a.row(t)[head]);
      const double d_b_of = static_cast<double>(of_beta) * logistic(b) * logistic(-b);
      part.once([&]() QSWEEP_LANES {
        d_a.row(t)[head] = narrowed<T>(d_a_of);
        d_b.row(t)[head] = narrowed<T>(d_b_of);
      });
    });
  }

  QSWEEP_KERNEL void finish() const {
    const int64_t n = rule.key_dim;
    L::each_part(rows, n, [&](auto part, int64_t t) QSWEEP_LANES {
      normalize_vjp(part, n, x.qkv.row(t) + rule.query_column(key_head), dq + t * n, rule.eps,
                    query_scale(rule), d_qkv.row(t) + rule.query_column(key_head));
      normalize_vjp(part, n, x.qkv.row(t) + rule.key_column(key_head), dk + t * n, rule.eps, 1,
                    d_qkv.row(t) + rule.key_column(key_head));
    });
  }

  QSWEEP_KERNEL void run() const {
    prepare();
    for (int64_t head = key_head * rule.group(); head < (key_head + 1) * rule.group(); ++head) {
      prepare_gates(head);
      for (int64_t first = 0; first < rule.value_dim; first += columns) {
        const int64_t count = first + columns < rule.value_dim ? columns : rule.value_dim - first;
        L::each(count, [&](auto at) QSWEEP_LANES {
          walk(head, first, at);
          walk_back(head, first, at);
        });
      }
      L::each(rule.key_dim, [&](auto at) QSWEEP_LANES {
        read_states(head, at);
        read_back(head, at);
      });
      gates_back(head);
    }
    finish();
  }
};

QSWEEP_KERNEL void ScanDeltaRuleBack(int64_t begin, int64_t end, DeltaRule rule, DeltaRuleSlots slots,
                                     const DeltaRuleScan* scans, int64_t n, DeltaRuleInputs x, MatrixView d_o,
                                     int64_t probes, int64_t columns, DeltaRuleViews dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    each_scan(begin, end, slots, n * probes, rule.key_heads,
              [&](int64_t i, int64_t key_head, Slot slot) QSWEEP_LANES {
                const DeltaRuleScan& scan = scans[i % n];
                const int64_t row = i / n * x.qkv.rows + scan.first;
                HeadsBack<T> heads(rule, scan.rows, key_head, columns, slot);
                heads.x = {x.qkv.rows_at(scan.first, scan.rows), x.a.rows_at(scan.first, scan.rows),
                           x.b.rows_at(scan.first, scan.rows)};
                heads.d_o = d_o.as<const T>().rows_at(row, scan.rows);
                heads.d_qkv = dx.qkv.as<T>().rows_at(row, scan.rows);
                heads.d_a = dx.a.as<T>().rows_at(row, scan.rows);
                heads.d_b = dx.b.as<T>().rows_at(row, scan.rows);
                heads.run();
              });
  };
  d_o.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
