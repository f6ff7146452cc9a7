#include "inc/pass.h"

#include <algorithm>
#include <map>

#include "ops/linear.h"

namespace qsweep::inc {
namespace {

constexpr int64_t kHeadTile = 4096;  // rows of lm_head at a time

using graph::Value;
using graph::Values;

struct LoadedOp {
  graph::LinearWeights weights;
  QuantizedWeight quantized;
};

int64_t stage_bytes(const graph::Stage& stage) {
  int64_t bytes = 0;
  for (const TensorView& weight : stage.weights) bytes += weight.size_bytes();
  return bytes;
}

int64_t value_bytes(const Values& values) {
  int64_t bytes = 0;
  for (const auto& [name, value] : values)
    bytes += value.matrix.rows * value.matrix.cols * static_cast<int64_t>(sizeof(float));
  return bytes;
}

// Some rows of lm_head as an op of their own.
graph::LinearOp head_rows(const graph::LinearOp& head, int64_t first, int64_t count) {
  graph::LinearOp part;
  part.weight = head.weight.rows(first, count);
  if (head.bias) part.bias = head.bias->rows(first, count);
  return part;
}

class Pass {
 public:
  Pass(const PassInput& input, graph::Workspace& workspace)
      : input_(input),
        pass_{input.ops, workspace, input.batch, input.model.ops},
        forward_(pass_),
        values_(input.variants.size()) {
    result_.ranges.resize(static_cast<size_t>(input.reached.size()));
    result_.scores.resize(input.variants.size());
  }

  PassResult run(const std::function<void(size_t, size_t)>& stage_done) {
    const size_t body = input_.model.stages.size() - 1;
    for (size_t s = 0; s < body; ++s) {
      pass_.workspace.reset_peak();
      const size_t live = run_stage(s);
      note_peak(stage_bytes(input_.model.stages[s]));
      result_.carried_bytes.push_back(values_.empty() ? 0 : value_bytes(values_.front()));
      if (stage_done) stage_done(s, live);
    }
    pass_.workspace.reset_peak();
    run_head();
    const graph::StoredWeight& head = input_.model.lm_head().weight;
    note_peak(head.rows(0, std::min(kHeadTile, head.shape[0])).part_bytes());
    if (stage_done) stage_done(body, input_.variants.size());
    return std::move(result_);
  }

 private:
  bool dry() const { return pass_.workspace.dry(); }
  Threads threads() const { return pass_.ops.threads(); }
  const graph::LinearOp& op_at(int op) const { return input_.model.ops[static_cast<size_t>(op)]; }
  int position(int op) const { return input_.reached.position[static_cast<size_t>(op)]; }
  int fork_stage(const Variant& v) const { return input_.reached.stage[static_cast<size_t>(v.fork())]; }
  LinearRanges& ranges(int at) { return result_.ranges[static_cast<size_t>(at)]; }

  void note_peak(int64_t mapped_bytes) {
    result_.peak_bytes =
        std::max(result_.peak_bytes, input_.batch.size_bytes() + mapped_bytes + pass_.workspace.peak_bytes());
  }

  // `variant` null: everything is quantized. at < 0: the op is not INC's to quantize.
  static bool quantizes(const Variant* variant, int at) {
    return at >= 0 && (variant == nullptr || variant->quantizes(at));
  }

  void calibrate(int op, Matrix<const float> x, Matrix<const float> y) {
    if (dry() || position(op) < 0) return;
    with_context(op_at(op).name, [&] {
      ranges(position(op)) = {.input = observe(threads(), x), .output = observe(threads(), y)};
    });
  }

  Value linear(const Variant* variant, int op, const LoadedOp& loaded, const Value& x) {
    if (!quantizes(variant, position(op))) return forward_.linear(op_at(op), loaded.weights, x);
    Value y{pass_.workspace.allocate(DType::f32, x.matrix.rows, op_at(op).out_features()), {}};
    y.matrix = {static_cast<float*>(y.block->data()), x.matrix.rows, op_at(op).out_features()};
    quantized_linear(pass_, loaded.quantized, loaded.weights.bias(), ranges(position(op)), x.matrix,
                     y.matrix);
    return y;
  }

  Value embedding(const Variant* variant, const graph::Node& node) {
    if (!quantizes(variant, input_.reached.embedding)) return forward_.evaluate(node, {});
    Value y = forward_.allocate(node);
    quantized_embedding(pass_, std::get<graph::Embedding>(node.operation).table, y.matrix);
    return y;
  }

  void run_reference(const graph::Stage& stage, std::map<int, LoadedOp>& loaded) {
    forward_.run_with(stage, reference_, {.linear = [&](int op, const Value& x) {
                        LoadedOp& here = loaded[op];
                        here.weights = graph::LinearWeights(pass_, op_at(op));
                        Value y = forward_.linear(op_at(op), here.weights, x);
                        calibrate(op, x.matrix, y.matrix);
                        return y;
                      }});
  }

  void run_variant(const graph::Stage& stage, const Variant* variant, const std::map<int, LoadedOp>& loaded,
                   Values& values) {
    forward_.run_with(
        stage, values,
        {.linear = [&](int op, const Value& x) { return linear(variant, op, loaded.at(op), x); },
         .embedding = [&](const graph::Node& node) { return embedding(variant, node); }});
  }

  // The weights are loaded and quantized once. Returns the number of variants that the stage computed.
  size_t run_stage(size_t s) {
    const graph::Stage& stage = input_.model.stages[s];
    std::map<int, LoadedOp> loaded;
    run_reference(stage, loaded);
    for (auto& [op, here] : loaded)
      if (position(op) >= 0) here.quantized = quantize_weight(pass_, here.weights.f32().as<float>());
    const Values before = all_;  // where a variant that forks in this stage begins
    run_variant(stage, nullptr, loaded, all_);
    size_t live = 0;
    for (size_t v = 0; v < input_.variants.size(); ++v) {
      const Variant& variant = input_.variants[v];
      if (fork_stage(variant) > static_cast<int>(s)) continue;
      if (fork_stage(variant) == static_cast<int>(s)) values_[v] = before;
      run_variant(stage, &variant, loaded, values_[v]);
      ++live;
    }
    if (!dry())
      for (const TensorView& weight : stage.weights) input_.model.checkpoint.release(weight);
    return live;
  }

  // A tile of lm_head; with codes, when its ranges are known.
  LoadedOp load_tile(int64_t first, int64_t columns, bool codes) const {
    LoadedOp tile;
    tile.weights = graph::LinearWeights(pass_, head_rows(input_.model.lm_head(), first, columns));
    if (codes) tile.quantized = quantize_weight(pass_, tile.weights.f32().as<float>());
    return tile;
  }

  template <class Body>
  void for_tiles(Body&& body) const {
    const graph::LinearOp& head = input_.model.lm_head();
    for (int64_t first = 0; first < head.out_features(); first += kHeadTile) {
      const int64_t columns = std::min(kHeadTile, head.out_features() - first);
      body(first, columns);
      if (dry()) return;  // every tile takes the same memory
      for (const TensorView& part : head.weight.rows(first, columns).parts())
        input_.model.checkpoint.release(part);
    }
  }

  void run_head() {
    const graph::LinearOp& head = input_.model.lm_head();
    const int op = static_cast<int>(input_.model.ops.size()) - 1;
    const Matrix<float> hidden = reference_.at("hidden").matrix;
    const auto block = pass_.workspace.allocate(DType::f32, hidden.rows, head.out_features());
    const Matrix<float> logits{static_cast<float*>(block->data()), hidden.rows, head.out_features()};
    for_tiles([&](int64_t first, int64_t columns) {
      const LoadedOp tile = load_tile(first, columns, false);
      if (!dry())
        ops::linear::forward(pass_.ops, hidden, tile.weights.f32(), tile.weights.bias(),
                             logits.cols_at(first, columns));
    });
    calibrate(op, hidden, logits);
    std::vector<double> all_rows(static_cast<size_t>(hidden.rows));
    std::vector<std::vector<double>> rows(input_.variants.size(), all_rows);
    for_tiles([&](int64_t first, int64_t columns) {
      const LoadedOp tile = load_tile(first, columns, true);
      const Matrix<const float> expected = logits.cols_at(first, columns);
      add_errors(nullptr, tile, all_.at("hidden"), expected, all_rows);
      for (size_t v = 0; v < rows.size(); ++v)
        add_errors(&input_.variants[v], tile, hidden_of(v), expected, rows[v]);
    });
    result_.all_quantized = total(all_rows);
    for (size_t v = 0; v < rows.size(); ++v) result_.scores[v] = total(rows[v]);
  }

  const Value& hidden_of(size_t v) const {
    return values_[v].empty() ? all_.at("hidden") : values_[v].at("hidden");
  }

  // Adds the squared errors of a tile of logits, row by row.
  void add_errors(const Variant* variant, const LoadedOp& tile, const Value& hidden,
                  Matrix<const float> expected, std::vector<double>& rows) {
    const int at = position(static_cast<int>(input_.model.ops.size()) - 1);
    const auto block = pass_.workspace.allocate(DType::f32, expected.rows, expected.cols);
    const Matrix<float> y{static_cast<float*>(block->data()), expected.rows, expected.cols};
    if (quantizes(variant, at))
      quantized_linear(pass_, tile.quantized, tile.weights.bias(), ranges(at), hidden.matrix, y);
    else if (!dry())
      ops::linear::forward(pass_.ops, hidden.matrix, tile.weights.f32(), tile.weights.bias(), y);
    if (dry()) return;
    parallel_for(threads(), y.rows, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < y.cols; ++c) {
          const double d = static_cast<double>(expected.row(r)[c]) - static_cast<double>(y.row(r)[c]);
          rows[static_cast<size_t>(r)] += d * d;
        }
    });
  }

  static double total(const std::vector<double>& rows) {
    double sum = 0;
    for (const double row : rows) sum += row;
    return sum;
  }

  const PassInput& input_;
  graph::Pass pass_;
  graph::Forward forward_;
  Values reference_, all_;
  std::vector<Values> values_;  // per variant; empty: the same as all_
  PassResult result_;
};

}  // namespace

ReachedOps reached_ops(const models::Model& model, const std::vector<ListedOp>& list) {
  ReachedOps reached;
  reached.position.assign(model.ops.size(), -1);
  std::vector<int> stage_of(model.ops.size());
  int embedding_stage = 0;
  for (size_t s = 0; s < model.stages.size(); ++s)
    for (const graph::Node& node : model.stages[s].nodes) {
      if (const auto* linear = std::get_if<graph::Linear>(&node.operation))
        stage_of[static_cast<size_t>(linear->op)] = static_cast<int>(s);
      if (std::holds_alternative<graph::Embedding>(node.operation)) embedding_stage = static_cast<int>(s);
    }
  for (const ListedOp& listed : list) {
    if (!listed.reached) continue;
    const bool embedding = listed.op == kEmbedding;
    (embedding ? reached.embedding : reached.position[static_cast<size_t>(listed.op)]) = reached.size();
    reached.stage.push_back(embedding ? embedding_stage : stage_of[static_cast<size_t>(listed.op)]);
  }
  return reached;
}

PassResult run_pass(const PassInput& input, graph::Workspace& workspace,
                    const std::function<void(size_t stage, size_t variants)>& stage_done) {
  return Pass(input, workspace).run(stage_done);
}

}  // namespace qsweep::inc
