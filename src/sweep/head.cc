#include "sweep/head.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "ops/linear.h"

namespace qsweep::sweep {
namespace {

using graph::Fork;
using graph::Rows;
using kernels::LogitsNormalizer;
using kernels::LogitsSums;
using kernels::RowBlock;

// A matrix of the pass's workspace.
struct Scratch {
  std::shared_ptr<graph::Workspace::Block> block;
  kernels::DeltaView view;

  Scratch(graph::Workspace& workspace, DType dtype, int64_t rows, int64_t cols)
      : block(workspace.allocate(dtype, rows, cols)), view{block->data(), dtype, rows, cols, cols} {}
  template <class T>
  Matrix<T> matrix() const {
    return view.as<T>();
  }
};

// Pairs whose logit changes one matrix holds: the live ones, or those of one fork of lm_head.
struct Group {
  std::vector<graph::Pair> pairs;
  std::vector<RowBlock> blocks;  // per pair: its rows in the group's matrix (in[0]) and among the sums (out)
};

// What the head keeps of every token row of the batch.
struct TokenRows {
  std::vector<int32_t> target;  // the next token; -1 for a sample's last row
  std::vector<bool> answer;     // the next token is an answer token
  std::vector<LogitsNormalizer> normalizer;
};

TokenRows token_rows(const std::vector<const models::Sample*>& samples) {
  TokenRows rows;
  for (const models::Sample* sample : samples) {
    const size_t tokens = sample->token_ids.size();
    for (size_t t = 0; t < tokens; ++t) {
      const bool last = t + 1 == tokens;
      rows.target.push_back(last ? -1 : sample->token_ids[t + 1]);
      rows.answer.push_back(!last && sample->answer_mask[t + 1] != 0);
    }
  }
  rows.normalizer.resize(rows.target.size());
  return rows;
}

Group live_group(const graph::Pass& pass, const graph::PairTable& pairs, const graph::Delta& hidden_delta) {
  Group group;
  for (const graph::PairRange& range : hidden_delta.ranges)
    for (int64_t i = range.first; i < range.last; ++i) group.pairs.push_back(pairs[i]);
  group.blocks = graph::row_blocks(pass.batch, pairs, hidden_delta, {&hidden_delta});
  return group;
}

// One pair per sample, in the samples' own rows.
Group fork_group(const graph::Pass& pass, int variant, int64_t first_sum) {
  Group group;
  for (int64_t s = 0; s < pass.batch.samples(); ++s) {
    const int64_t row = pass.batch.first_row(Rows::tokens, s);
    group.pairs.push_back({variant, s});
    group.blocks.push_back({.rows = pass.batch.rows(Rows::tokens, s),
                            .parent = row,
                            .in = {row, kernels::kAbsent, kernels::kAbsent},
                            .out = first_sum + row});
  }
  return group;
}

// Some rows of lm_head, and the reference's logits for them.
struct Tile {
  int64_t first = 0;
  int64_t columns = 0;
  graph::LinearWeights weights = {};
  graph::DeltaWeight delta_weights = {};
  std::shared_ptr<Scratch> logits = nullptr;
};

// Rows [first, first + count) of the head's weight.
TensorView head_rows(const graph::LinearOp& head, int64_t first, int64_t count) {
  return {head.weight.dtype,
          {count, head.in_features()},
          head.weight.data + first * head.in_features() * size_bytes(head.weight.dtype)};
}

Tile load_tile(const PassInput& input, const graph::Pass& pass, Matrix<const float> hidden, int64_t first) {
  const graph::LinearOp& head = input.model.lm_head();
  Tile tile{.first = first, .columns = std::min(kHeadTile, head.out_features() - first)};
  graph::LinearOp part;
  part.weight = head_rows(head, first, tile.columns);
  tile.weights = graph::load_weights(pass, part);
  tile.delta_weights = graph::delta_weight(pass, part.weight, tile.weights.weight, input.delta_dtype);
  tile.logits = std::make_shared<Scratch>(pass.workspace, DType::f32, hidden.rows, tile.columns);
  if (!pass.workspace.dry())
    ops::linear::forward(pass.ops, hidden, tile.weights.weight, nullptr, tile.logits->matrix<float>());
  return tile;
}

void release_tile(const PassInput& input, const Tile& tile) {
  input.model.checkpoint.release(head_rows(input.model.lm_head(), tile.first, tile.columns));
}

// log sum p e^d: by the small parts of the sum where it is near 1.
double log_ratio(const LogitsSums& s) {
  const double change = s.mean + s.curvature;
  return change > -0.5 ? std::log1p(change) : std::log(s.mass);
}

// KL = log sum p e^d - sum p d. With a = sum p d and b = sum p (e^d - 1 - d) it is log1p(a + b) - a; where
// |a| is small it may still be far larger than the result: then log1p(b / (1 + a)) + (log1p(a) - a), the
// latter by its series.
double kl_of(const LogitsSums& s) {
  const double a = s.mean;
  if (std::abs(a) >= 1e-2) return log_ratio(s) - a;
  double log1p_minus = 0, power = a * a;
  for (int k = 2; k < 14; ++k, power *= -a) log1p_minus -= power / k;
  return std::log1p(s.curvature / (1 + a)) + log1p_minus;
}

scores::MetricSums row_metrics(const LogitsSums& s, double hidden_sse, int32_t target,
                               int64_t reference_argmax) {
  scores::MetricSums m;
  m.hidden_sse = hidden_sse;
  m.logits_sse = s.squared;
  m.kl = kl_of(s);
  if (target >= 0) m.nll_delta = log_ratio(s) - s.target_delta;
  m.top1_flips = s.argmax != reference_argmax ? 1 : 0;
  return m;
}

// hidden_sse: per row of the group's matrix; empty where the hidden state does not change.
void report(const PassInput& input, const Group& group, const TokenRows& rows,
            std::span<const LogitsSums> sums, std::span<const double> hidden_sse, const PassSinks& sinks) {
  for (size_t i = 0; i < group.pairs.size(); ++i) {
    const RowBlock& block = group.blocks[i];
    const auto [variant, sample] = group.pairs[i];
    scores::ScopedSums total = position_counts(input.model, *input.samples[static_cast<size_t>(sample)]);
    for (int64_t r = 0; r < block.rows; ++r) {
      const auto token = static_cast<size_t>(block.parent + r);
      const double hidden = hidden_sse.empty() ? 0 : hidden_sse[static_cast<size_t>(block.in[0] + r)];
      const scores::MetricSums m = row_metrics(sums[static_cast<size_t>(block.out + r)], hidden,
                                               rows.target[token], rows.normalizer[token].argmax);
      total.all.add(m);
      if (rows.answer[token]) total.answer.add(m);
    }
    sinks.metrics(variant, sample, total);
  }
}

// One call of score_head, step by step.
struct Scoring {
  const PassInput& input;
  const graph::Pass& pass;
  const std::vector<Fork>& forks;
  Matrix<const float> hidden;
  const graph::Delta& hidden_delta;
  int64_t live_rows;
  TokenRows rows;
  Group live;
  std::vector<Group> forked;              // per fork
  std::vector<scores::LocalStats> local;  // per fork
  std::span<LogitsSums> sums;             // of the live rows, then of every fork's

  Threads threads() const { return pass.ops.threads(); }
  bool dry() const { return pass.workspace.dry(); }
  int64_t columns() const { return input.model.lm_head().out_features(); }

  void normalize() {
    for (int64_t first = 0; first < columns(); first += kHeadTile) {
      const Tile tile = load_tile(input, pass, hidden, first);
      kernels::update_normalizers(threads(), tile.logits->matrix<float>(), first, rows.normalizer);
      release_tile(input, tile);
    }
  }

  // The change of the logit that the reference finds most likely is taken out of its whole row.
  void set_shifts() {
    const Scratch direction(pass.workspace, DType::f32, hidden.rows, hidden.cols);
    for (int64_t r = 0; r < hidden.rows; ++r) {
      const int64_t column = rows.normalizer[static_cast<size_t>(r)].argmax;
      kernels::to_f32(threads(), head_rows(input.model.lm_head(), column, 1),
                      direction.matrix<float>().rows_at(r, 1));
    }
    kernels::shift_along(threads(), live.blocks, direction.matrix<float>(), hidden_delta.view, sums);
  }

  void score_tile(int64_t first) {
    const Tile tile = load_tile(input, pass, hidden, first);
    const Matrix<float> logits = tile.logits->matrix<float>();
    const Scratch p(pass.workspace, DType::f64, hidden.rows, tile.columns);
    if (!dry()) kernels::probabilities(threads(), logits, rows.normalizer, p.matrix<double>());
    const auto accumulate = [&](const Group& group, const Scratch& d) {
      kernels::accumulate_logits(threads(), group.blocks, logits, p.matrix<double>(), d.matrix<float>(),
                                 first, rows.target, sums);
    };
    if (live_rows > 0) {
      const Scratch d(pass.workspace, DType::f32, live_rows, tile.columns);
      if (!dry()) {
        ops::linear::delta(pass.ops, hidden_delta.view, tile.delta_weights.view, d.view);
        accumulate(live, d);
      }
    }
    for (size_t i = 0; i < forks.size(); ++i) {
      const Scratch d(pass.workspace, DType::f32, hidden.rows, tile.columns);
      graph::own_error(pass, forks[i], hidden, tile.weights.weight, tile.delta_weights.view,
                       d.matrix<float>());
      if (dry()) continue;
      local[i].error_sse += graph::sum_of_squares(threads(), d.matrix<float>());
      local[i].output_sse += graph::sum_of_squares(threads(), logits);
      accumulate(forked[i], d);
    }
    if (!dry()) release_tile(input, tile);
  }

  void report_all(const PassSinks& sinks) const {
    std::vector<double> hidden_sse(static_cast<size_t>(live_rows));
    if (live_rows > 0) kernels::row_squared_norm(threads(), hidden_delta.view, hidden_sse);
    report(input, live, rows, sums, hidden_sse, sinks);
    for (size_t i = 0; i < forks.size(); ++i) {
      report(input, forked[i], rows, sums, {}, sinks);
      sinks.local(forks[i].variant, local[i]);
    }
  }
};

}  // namespace

void score_head(const PassInput& input, const graph::Pass& pass, const graph::PairTable& pairs,
                const std::vector<Fork>& forks, Matrix<const float> hidden, const graph::Delta& hidden_delta,
                const PassSinks& sinks) {
  const int64_t live_rows = hidden_delta.empty() ? 0 : hidden_delta.view.rows;
  const int64_t all_rows = live_rows + static_cast<int64_t>(forks.size()) * hidden.rows;
  const Scratch sum_storage(pass.workspace, DType::u8, all_rows, sizeof(LogitsSums));
  Scoring scoring{.input = input,
                  .pass = pass,
                  .forks = forks,
                  .hidden = hidden,
                  .hidden_delta = hidden_delta,
                  .live_rows = live_rows,
                  .rows = token_rows(input.samples),
                  .live = live_group(pass, pairs, hidden_delta),
                  .sums = {static_cast<LogitsSums*>(sum_storage.view.data), static_cast<size_t>(all_rows)}};
  for (size_t i = 0; i < forks.size(); ++i)
    scoring.forked.push_back(
        fork_group(pass, forks[i].variant, live_rows + static_cast<int64_t>(i) * hidden.rows));
  scoring.local.resize(forks.size());
  if (pass.workspace.dry()) return scoring.score_tile(0);  // every tile takes the same memory

  std::uninitialized_fill(scoring.sums.begin(), scoring.sums.end(), LogitsSums{});
  if (!forks.empty())
    std::fill(scoring.local.begin(), scoring.local.end(), graph::input_stats(pass.ops.threads(), hidden));
  scoring.normalize();
  if (live_rows > 0) scoring.set_shifts();
  for (int64_t first = 0; first < scoring.columns(); first += kHeadTile) scoring.score_tile(first);
  scoring.report_all(sinks);
}

}  // namespace qsweep::sweep
