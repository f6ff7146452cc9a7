#include "pass/probe_pass.h"

#include <map>
#include <memory>
#include <numeric>

#include "base/trace.h"
#include "graph/backward.h"
#include "graph/linear_step.h"
#include "graph/op_ranges.h"
#include "graph/scratch.h"
#include "ops/linear.h"
#include "pass/head_tiles.h"
#include "pass/probe_rows.h"
#include "pass/token_rows.h"
#include "pass/walk.h"

namespace qsweep::pass {
namespace {

using graph::Rows;
using graph::Scratch;
using kernels::ProbeKind;
using kernels::ProbeRow;

bool at_hidden_state(const ProbeSet& set) { return set.metric.which == scores::Which::hidden_sse; }

// One call of run_probe_pass, step by step.
class ProbePass {
 public:
  ProbePass(const ProbePassInput& input, graph::Workspace& workspace, const ProbeSinks& sinks)
      : input_(input),
        workspace_(workspace),
        sinks_(sinks),
        walk_(input.setting, workspace),
        batch_(walk_.batch()),
        pass_(walk_.pass()),
        rows_(token_rows(input.setting.samples)),
        normalizer_(device(), rows_.target.size()),
        ranges_(device(), input.setting.ranges) {
    // Those at the hidden state come first: they take no part in the products of the head.
    hidden_probes_ = add_probes(true);
    logits_probes_ = add_probes(false);
    lists_ = workspace.hold(list_bytes());
  }

  PassReport run() {
    trace::Span span("pass", "probes");
    span.arg("samples", static_cast<int64_t>(input_.setting.samples.size()));
    take_reference();
    const graph::Value hidden = kept_.inputs.extract(walk_.body().size()).mapped().at("hidden");
    graph::Cotangents cotangents;
    walk_.head([&] { cotangents["hidden"] = head(hidden.matrix); });
    done("lm_head");
    if (!probes_.empty()) backward(cotangents);
    walk_.report().flops = flops_;
    return walk_.report();
  }

 private:
  int64_t add_probes(bool at_hidden) {
    const size_t before = probes_.size();
    for (size_t s = 0; s < input_.sets.size(); ++s)
      for (int64_t k = 0; k < input_.sets[s].probes && at_hidden_state(input_.sets[s]) == at_hidden; ++k)
        probes_.push_back({s, k});
    return static_cast<int64_t>(probes_.size() - before);
  }

  // Of the lists beside the matrices: what the host adds up of every probe's row at an op or, per format, at
  // the head.
  int64_t list_bytes() const {
    const int64_t tokens = batch_.rows(Rows::tokens);
    const int64_t rows = std::max<int64_t>(1, probe_count()) * batch_.most_rows();
    constexpr int64_t kOpRowBytes = 6 * sizeof(double);  // sums and squares, where they are found and told
    constexpr int64_t kTokenBytes = sizeof(kernels::LogitsNormalizer) + 2 * sizeof(double);
    const int64_t head_row_bytes =
        2 * int64_t{sizeof(ProbeRow)} + std::ssize(input_.formats) * 2 * int64_t{sizeof(double)};
    return rows * kOpRowBytes + tokens * kTokenBytes + probe_count() * tokens * head_row_bytes;
  }

  bool dry() const { return workspace_.dry(); }
  kernels::Device device() const { return pass_.ops.device(); }
  int64_t probe_count() const { return static_cast<int64_t>(probes_.size()); }
  int head_op() const { return input_.setting.head_op(); }

  void done(const std::string& stage) {
    if (sinks_.stage_done) sinks_.stage_done(stage, flops_ - reported_flops_);
    reported_flops_ = flops_;
  }

  // From an earlier pass, or here.
  void take_reference() {
    if (input_.reference != nullptr && !input_.reference->inputs.empty()) {
      kept_ = std::exchange(*input_.reference, {});
      return;
    }
    const int64_t loading_bytes = walk_.report().peak_bytes;
    forward();
    if (dry() && input_.reference != nullptr)
      walk_.report() = {.peak_bytes = loading_bytes + workspace_.held_bytes()};
  }

  // The reference up to the head; keeps the inputs of every keep_every-th stage.
  void forward() {
    graph::Forward forward(pass_);
    const auto stages = walk_.body();
    graph::LinearObserver observer;
    if (probes_.empty()) observer.input = [&](int op, Matrix<const float> x) { local_errors(op, x); };
    observer.output = [&](int op, const graph::Value& y) {
      walk_.check(op, y);
      if (input_.keep_linear_outputs) kept_.linear_outputs[op] = y;
    };
    graph::Values values;
    for (size_t i = 0; i < stages.size(); ++i) {
      if (!probes_.empty() && i % static_cast<size_t>(input_.keep_every) == 0) kept_.inputs[i] = values;
      walk_.forward(i, [&]() -> const graph::Values& {
        forward.run(stages[i], values, observer);
        return values;
      });
    }
    kept_.inputs[stages.size()] = std::move(values);
  }

  // Without probes nothing walks backward, and the errors are measured on the way forward.
  void local_errors(int op_index, Matrix<const float> x) {
    const graph::LinearOp& op = input_.setting.model.ops[static_cast<size_t>(op_index)];
    const graph::LinearWeights weights(pass_, op);
    if (op.cache) return errors({.op = op_index, .x = x, .y = x, .g = {}, .first_rows = {}});
    const Scratch y(workspace_, DType::f32, x.rows, op.out_features());
    const MatrixView w = weights.for_values(x.rows);
    if (!dry()) ops::linear::forward(pass_.ops, x, w, weights.bias(), y.f32());
    errors({.op = op_index, .x = x, .y = y.f32(), .g = {}, .first_rows = {}});
  }

  void backward(graph::Cotangents& cotangents) {
    graph::Backward backward(pass_, probe_count(), input_.setting.dtype);
    const auto stages = walk_.body();
    for (size_t i = stages.size(); i-- > 0;) {
      if (!kept_.inputs.contains(i)) recompute_inputs(i);
      const double before = backward.flops();
      walk_.backward(i, [&] {
        backward.run(
            stages[i], kept_.inputs.at(i), cotangents, [&](const graph::ReachedOp& op) { errors(op); },
            &kept_.linear_outputs);
      });
      flops_ += backward.flops() - before;
      kept_.inputs.erase(i);
      done(stages[i].name);
    }
  }

  // The inputs of the stages after the last one that kept its own, up to stage i.
  void recompute_inputs(size_t i) {
    size_t from = i;
    while (!kept_.inputs.contains(from)) --from;
    graph::Forward forward(pass_);
    graph::Values values = kept_.inputs.at(from);
    for (size_t s = from; s < i; ++s) {
      walk_.forward(s, [&]() -> const graph::Values& {
        forward.run(walk_.body()[s], values);
        return values;
      });
      kept_.inputs[s + 1] = values;
    }
  }

  // --- errors of one op and their products with the gradients at its output. g: empty without probes.
  void errors(const graph::ReachedOp& at) {
    const trace::Span span("errors");
    const auto& [op_index, x, y, g, first_rows] = at;
    const graph::LinearOp& op = input_.setting.model.ops[static_cast<size_t>(op_index)];
    const graph::LinearWeights weights(pass_, op);
    std::shared_ptr<scores::LocalStats> stats;
    if (!dry()) {
      stats = graph::measure_input(workspace_, x);
      graph::sum_of_squares(workspace_, y, [stats](double sum) { stats->output_sse = sum; });
    }
    const graph::LinearStep step = step_at(op, weights, op_index, nullptr);
    for (size_t f = 0; f < input_.formats.size(); ++f) {
      if (!input_.wanted(static_cast<size_t>(op_index), f)) continue;
      const Scratch error = own_error(step, op_index, f, x, y);
      if (dry()) continue;
      graph::sum_of_squares(workspace_, error.f32(), [this, stats, op = at.op, f](double sum) {
        stats->error_sse = sum;
        sinks_.local(op, f, *stats);
      });
      if (g.data == nullptr) continue;
      products(g, error.f32(),
               [this, op = at.op, rows = at.first_rows, f](std::span<const double> row_sums,
                                                           std::span<const double> squares) {
                 report_products(op, rows, f, row_sums, squares);
               });
    }
    if (input_.traces && g.data != nullptr) traces(op_index, first_rows, x, g, 0);
  }

  // Per row of g: sum(g e), and where a kind of probes asks for it sum((g e)^2), else zeros.
  using ProductSink = std::function<void(std::span<const double> sums, std::span<const double> squares)>;
  void products(MatrixView g, Matrix<const float> e, ProductSink then) const {
    const auto rows = static_cast<size_t>(g.rows);
    const bool squared = has_cross_entropy();
    const std::span<double> both = workspace_.deferred().ask<double>(
        squared ? 2 * rows : rows, [rows, squared, then = std::move(then)](std::span<const double> found) {
          const std::vector<double> zeros(squared ? 0 : rows);
          then(found.first(rows), squared ? found.subspan(rows) : zeros);
        });
    if (rows > 0) kernels::row_products(device(), g, e, both.first(rows));
    if (rows > 0 && squared) kernels::row_squared_products(device(), g, e, both.subspan(rows));
  }

  // An op, or a tile of lm_head.
  graph::LinearStep step_at(const graph::LinearOp& op, const graph::LinearWeights& weights, int op_index,
                            const quant::Range* weight_range) {
    return {.pass = pass_,
            .op = op,
            .weights = weights,
            .delta_dtype = input_.setting.dtype,
            .range = ranges_.of(op_index),
            .weight_range = weight_range,
            .values_range = op.cache ? ranges_.of(op.cache->values_range) : nullptr,
            .observe = no_forks_,
            .flops = flops_};
  }

  // What the format changes in y, the reference's output. As a leaf that forks there.
  Scratch own_error(const graph::LinearStep& step, int op_index, size_t format, Matrix<const float> x,
                    Matrix<const float> y) {
    Scratch error(workspace_, DType::f32, x.rows, step.op.out_features());
    graph::BranchLinear branch{
        .x = x,
        .y = {const_cast<float*>(y.data), y.rows, y.cols, y.stride},
        .y_is_known = true,
        .dy = error.view,
        .forks = {{.format = input_.formats[format], .blocks = {{.rows = x.rows, .parent = 0, .out = 0}}}}};
    graph::run_linear_step(step, {&branch, 1});
    if (input_.traces)
      graph::weight_error_sse(step, *input_.formats[format], [this, op_index, format](double sse) {
        sinks_.weight_error(op_index, format, sse);
      });
    return error;
  }

  bool has_cross_entropy() const {
    return std::any_of(input_.sets.begin(), input_.sets.end(),
                       [](const ProbeSet& s) { return s.kind == ProbeKind::cross_entropy; });
  }

  void report_products(int op, std::span<const int64_t> first_rows, size_t format,
                       std::span<const double> row_sums, std::span<const double> squares) {
    for (int64_t p = 0; p < probe_count(); ++p)
      for (int64_t s = 0; s < batch_.samples(); ++s) {
        ProbeProducts products;
        const auto sample = static_cast<size_t>(s);
        const int64_t first = p * first_rows.back();
        for (int64_t r = first + first_rows[sample]; r < first + first_rows[sample + 1]; ++r) {
          const double sum = row_sums[static_cast<size_t>(r)];
          products.whole += sum;
          products.token += sum * sum;
          products.element += squares[static_cast<size_t>(r)];
        }
        const auto [set, index] = probes_[static_cast<size_t>(p)];
        sinks_.products(op, format, set, index, s, products);
      }
  }

  // |sum over tokens of g x^T|^2 = sum over token pairs of (g g') (x x'): by the pairs, whatever the widths.
  // first_probe: that the rows of g begin with.
  void traces(int op, std::span<const int64_t> first_rows, Matrix<const float> x, MatrixView g,
              int64_t first_probe) {
    const int64_t rows = first_rows.back(), probes = g.rows / std::max<int64_t>(rows, 1);
    for (int64_t s = 0; s < batch_.samples(); ++s) {
      const int64_t first = first_rows[static_cast<size_t>(s)];
      const int64_t n = first_rows[static_cast<size_t>(s) + 1] - first;
      if (n == 0) continue;
      const Scratch inputs(workspace_, DType::f32, n, n), gradients(workspace_, DType::f32, n, n);
      const MatrixView xs = view_of(x.rows_at(first, n));
      linear(xs, xs, inputs.view);
      for (int64_t p = 0; p < probes; ++p) {
        const MatrixView gs = g.rows_at(p * rows + first, n);
        linear(gs, gs, gradients.view);
        if (dry()) continue;
        const Probe probe = probes_[static_cast<size_t>(first_probe + p)];
        const std::span<double> sums = workspace_.deferred().ask<double>(
            static_cast<size_t>(n), [this, op, s, probe](std::span<const double> found) {
              const double trace = std::accumulate(found.begin(), found.end(), 0.0);
              sinks_.trace(op, probe.set, probe.index, s, trace);
            });
        kernels::row_products(device(), gradients.view, inputs.f32(), sums);
      }
    }
  }

  // y = x w^T.
  void linear(MatrixView x, MatrixView w, MatrixView y) {
    flops_ += 2.0 * static_cast<double>(x.rows * x.cols) * static_cast<double>(w.rows);
    if (!dry()) pass_.ops.gemm.linear(x, w, y, {.purpose = kernels::GemmPurpose::cotangents});
  }

  // --- the head
  // What the tiles of the head add up, per format: the sums of every probe row.
  struct HeadSums {
    std::vector<double> sums, squares;
    double error_sse = 0, output_sse = 0;
    bool wanted = false;
  };

  // Gradients of the probes at the final hidden state.
  graph::Cotangent head(Matrix<const float> hidden) {
    const trace::Span span("head");
    const HeadTiles tiles(input_.setting.model, pass_);
    kernels::SharedList<ProbeRow> probes(
        device(), probe_rows(probes_, input_.sets, {input_.seed, input_.sample_index}, batch_, rows_));
    const auto rows = static_cast<int64_t>(probes.for_host().size());
    weight_range_ = tiles.normalize(hidden, input_.formats, normalizer_.for_kernels());
    add_projections(tiles, hidden, probes);

    const int64_t hidden_rows = hidden_probes_ * hidden.rows;
    const Scratch sum(workspace_, DType::f32, std::max<int64_t>(rows, 1), hidden.cols);
    if (!dry()) {
      kernels::clear(device(), sum.view.data, sum.view.rows * sum.view.cols * int64_t{sizeof(float)});
      kernels::fill_probes(device(), ProbeKind::rademacher,
                           probes.for_kernels().first(static_cast<size_t>(hidden_rows)), hidden,
                           normalizer_.for_kernels(), 0, sum.view.rows_at(0, hidden_rows));
    }
    std::vector<HeadSums> sums = head_sums(rows);
    std::vector<double> logits_norm(static_cast<size_t>(hidden.rows));
    const double before = flops_;
    tiles.each([&](const HeadTile& tile) { score_tile(tile, hidden, probes, sum.view, sums, logits_norm); });
    flops_ = before + (flops_ - before) * tiles.scale();
    if (!dry()) {
      const std::shared_ptr<scores::LocalStats> stats = graph::measure_input(workspace_, hidden);
      workspace_.deferred().settle();
      report_head(*stats, sums, logits_norm);
    }

    graph::Cotangent cotangent;
    if (rows == 0) return cotangent;
    cotangent.block = workspace_.allocate(input_.setting.dtype, rows, hidden.cols);
    cotangent.view = {cotangent.block->data(), input_.setting.dtype, rows, hidden.cols, hidden.cols};
    if (!dry()) kernels::convert(device(), sum.f32(), cotangent.view);
    return cotangent;
  }

  void add_projections(const HeadTiles& tiles, Matrix<const float> hidden,
                       kernels::SharedList<ProbeRow>& probes) {
    if (std::none_of(input_.sets.begin(), input_.sets.end(),
                     [](const ProbeSet& s) { return s.kind == ProbeKind::fisher; }))
      return;
    tiles.each([&](const HeadTile& tile) {
      const Scratch logits = tile_logits(tile, hidden);
      if (dry()) return;
      for_each_probe(probes, hidden.rows, [&](const ProbeSet& set, std::span<ProbeRow> rows, int64_t) {
        if (set.kind == ProbeKind::fisher)
          kernels::add_projections(device(), rows, logits.f32(), normalizer_.for_kernels(), tile.first);
      });
    });
  }

  // body(set, rows, first row) for every probe.
  template <class Body>
  void for_each_probe(kernels::SharedList<ProbeRow>& probes, int64_t rows, Body&& body) {
    for (size_t p = 0; p < probes_.size(); ++p) {
      const int64_t first = static_cast<int64_t>(p) * rows;
      body(input_.sets[probes_[p].set],
           probes.for_kernels().subspan(static_cast<size_t>(first), static_cast<size_t>(rows)), first);
    }
  }

  Scratch tile_logits(const HeadTile& tile, Matrix<const float> hidden) {
    Scratch logits(workspace_, DType::f32, hidden.rows, tile.op.out_features());
    const MatrixView w = tile.weights.for_values(hidden.rows);
    if (!dry()) ops::linear::forward(pass_.ops, hidden, w, tile.weights.bias(), logits.f32());
    return logits;
  }

  std::vector<HeadSums> head_sums(int64_t probe_rows) const {
    std::vector<HeadSums> all(input_.formats.size());
    for (size_t f = 0; f < all.size(); ++f) {
      all[f].wanted = input_.wanted(static_cast<size_t>(head_op()), f);
      all[f].sums.resize(static_cast<size_t>(probe_rows));
      all[f].squares.resize(all[f].sums.size());
    }
    return all;
  }

  void score_tile(const HeadTile& tile, Matrix<const float> hidden, kernels::SharedList<ProbeRow>& probes,
                  MatrixView sum, std::vector<HeadSums>& sums, std::vector<double>& logits_norm) {
    const Scratch logits = tile_logits(tile, hidden);
    const int64_t first_row = hidden_probes_ * hidden.rows, rows = logits_probes_ * hidden.rows;
    const Scratch u(workspace_, input_.setting.dtype, rows, tile.op.out_features());
    if (!dry()) {
      const std::span<double> norms = workspace_.deferred().ask<double>(
          logits_norm.size(), [&sums, &logits_norm](std::span<const double> found) {
            for (size_t r = 0; r < found.size(); ++r) logits_norm[r] += found[r];
            const double all = std::accumulate(found.begin(), found.end(), 0.0);
            for (HeadSums& format : sums) format.output_sse += all;
          });
      kernels::row_squared_norm(device(), logits.view, norms);
      for_each_probe(probes, hidden.rows, [&](const ProbeSet& set, std::span<ProbeRow> probe, int64_t first) {
        if (at_hidden_state(set)) return;
        kernels::fill_probes(device(), set.kind, probe, logits.f32(), normalizer_.for_kernels(), tile.first,
                             u.view.rows_at(first - first_row, hidden.rows));
      });
    }
    add_product(tile, u.view, sum.rows_at(rows == 0 ? 0 : first_row, rows));
    const graph::LinearStep step =
        step_at(tile.op, tile.weights, head_op(), static_cast<const quant::Range*>(weight_range_.data()));
    for (size_t f = 0; f < sums.size(); ++f) {
      if (!sums[f].wanted) continue;
      const Scratch error = own_error(step, head_op(), f, hidden, logits.f32());
      if (dry()) continue;
      HeadSums& to = sums[f];
      graph::sum_of_squares(workspace_, error.f32(), [&to](double sse) { to.error_sse += sse; });
      products(u.view, error.f32(),
               [&to, first_row](std::span<const double> row_sums, std::span<const double> squares) {
                 for (size_t r = 0; r < row_sums.size(); ++r) {
                   to.sums[static_cast<size_t>(first_row) + r] += row_sums[r];
                   to.squares[static_cast<size_t>(first_row) + r] += squares[r];
                 }
               });
    }
    if (input_.traces) traces(head_op(), batch_.first_rows(Rows::tokens), hidden, u.view, hidden_probes_);
  }

  // sum += u W, in f32.
  void add_product(const HeadTile& tile, MatrixView u, MatrixView sum) {
    flops_ += 2.0 * static_cast<double>(u.rows) * static_cast<double>(tile.op.weight.elements());
    if (u.rows == 0) return;
    const MatrixView w = tile.weights.for_rows(input_.setting.dtype);
    if (dry()) return;
    pass_.ops.gemm.multiply(kernels::operand(u), kernels::operand(w), kernels::operand(sum),
                            {.accumulate = true, .purpose = kernels::GemmPurpose::cotangents});
  }

  // stats: of the head's input.
  void report_head(scores::LocalStats stats, const std::vector<HeadSums>& sums,
                   std::span<const double> logits_norm) {
    for (size_t f = 0; f < sums.size(); ++f) {
      if (!sums[f].wanted) continue;
      stats.error_sse = sums[f].error_sse;
      stats.output_sse = sums[f].output_sse;
      sinks_.local(head_op(), f, stats);
      report_products(head_op(), batch_.first_rows(Rows::tokens), f, sums[f].sums, sums[f].squares);
    }
    for (int64_t s = 0; s < batch_.samples(); ++s) {
      double all = 0, answer = 0;
      for (int64_t r = batch_.first_row(Rows::tokens, s); r < batch_.first_row(Rows::tokens, s + 1); ++r) {
        all += logits_norm[static_cast<size_t>(r)];
        if (rows_.answer[static_cast<size_t>(r)]) answer += logits_norm[static_cast<size_t>(r)];
      }
      sinks_.logits_norm(s, scores::Scope::all, all);
      sinks_.logits_norm(s, scores::Scope::answer, answer);
    }
  }

  const ProbePassInput& input_;
  graph::Workspace& workspace_;
  const ProbeSinks& sinks_;
  Walk walk_;
  const graph::Batch& batch_;
  const graph::Pass& pass_;
  TokenRows rows_;
  kernels::SharedList<kernels::LogitsNormalizer> normalizer_;
  std::vector<Probe> probes_;
  int64_t hidden_probes_ = 0, logits_probes_ = 0;
  std::shared_ptr<void> lists_;
  ReferenceValues kept_;
  graph::OpRanges ranges_;
  kernels::Buffer weight_range_;  // of lm_head, where a format asks for it
  graph::ForkObserver no_forks_;
  double flops_ = 0, reported_flops_ = 0;
};

}  // namespace

PassReport run_probe_pass(const ProbePassInput& input, graph::Workspace& workspace, const ProbeSinks& sinks) {
  return ProbePass(input, workspace, sinks).run();
}

}  // namespace qsweep::pass
