// Cotangents of the whole model against forward propagation in double precision: for a change dY of one op's
// output, <u, J dY> with u at the final hidden state equals <g, dY> with g from the backward walk.
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "graph/backward.h"
#include "pass/f64_model.h"
#include "pass/tiny.h"
#include "support/compare.h"
#include "support/random.h"

namespace qsweep::pass {
namespace {

using testing::F64Matrix;
using testing::F64Model;
using testing::F64Output;
using testing::kData;

constexpr int64_t kProbes = 3;
constexpr int kChanges = 2;  // dY per op and sample
constexpr double kStrictBound = 1e-4;

// Every kind of op in every tower, and each place where cotangents meet.
const std::vector<std::string> kOps = {"visual.patch_embed.proj",
                                       "visual.blocks.0.attn.qkv",
                                       "visual.blocks.0.attn.proj",
                                       "visual.blocks.1.mlp.gate_proj",
                                       "visual.blocks.1.mlp.down_proj",
                                       "visual.merger.mlp.0",
                                       "visual.merger.mlp.2",
                                       "model.layers.0.self_attn.q_proj",
                                       "model.layers.0.self_attn.k_proj",
                                       "model.layers.0.self_attn.v_proj",
                                       "model.layers.0.self_attn.o_proj",
                                       "model.layers.1.mlp.up_proj",
                                       "model.layers.1.mlp.down_proj"};

// What the observer saw of one op.
struct Seen {
  int64_t rows = 0, cols = 0;
  std::vector<float> x, y, g;  // g: [probes * rows, cols]
};

std::vector<float> elements(Matrix<const float> m) {
  std::vector<float> all;
  for (int64_t r = 0; r < m.rows; ++r) all.insert(all.end(), m.row(r), m.row(r) + m.cols);
  return all;
}

// A sample with an image and one without, their hidden states' random cotangents u, and the backward walk.
struct Walk {
  models::Model model = models::load(kData + "/tiny-qwen2.5-vl");
  std::vector<models::Sample> samples = testing::prepare(model, "eval.jsonl", {"eval-000", "eval-005"});
  graph::Batch batch = load(graph::Batch::Contents::values);
  kernels::Gemm gemm{{2}};
  std::vector<float> u;              // [probes * tokens, hidden]
  std::map<std::string, Seen> seen;  // by op, of the last walk
  std::vector<int64_t> peaks;        // of every stage, last one first
  std::map<int, std::vector<float>> forward_inputs;

  Walk() {
    Rng rng(1);
    u = testing::normals(rng, kProbes * batch.rows(graph::Rows::tokens) * model.hidden_size);
    for (float& v : u) v = to_float(to_bf16(v));  // the same in both precisions
  }

  graph::Batch load(graph::Batch::Contents contents) const {
    std::vector<graph::SampleInputs> inputs;
    for (const models::Sample& s : samples)
      inputs.push_back(model.inputs->load(s, models::InputBuilder::Pixels::decode));
    return graph::Batch(std::move(inputs), contents);
  }

  // What every stage before the head reads.
  std::vector<graph::Values> stage_inputs(const graph::Pass& pass) {
    graph::Forward forward(pass);
    graph::Values values;
    std::vector<graph::Values> before;
    for (size_t i = 0; i + 1 < model.stages.size(); ++i) {
      before.push_back(values);
      forward.run(model.stages[i], values, {.input = [&](int op, Matrix<const float> x) {
                    if (!pass.workspace.dry()) forward_inputs[op] = elements(x);
                  }});
    }
    return before;
  }

  void run(DType dtype, graph::Workspace& workspace) {
    const ops::Context context{gemm};
    const graph::Pass pass{context, workspace, batch, model.ops};
    const std::vector<graph::Values> before = stage_inputs(pass);
    const int64_t rows = kProbes * batch.rows(graph::Rows::tokens), hidden = model.hidden_size;
    graph::Cotangent g{workspace.allocate(dtype, rows, hidden), {}};
    g.view = {g.block->data(), dtype, rows, hidden, hidden};
    if (!workspace.dry()) kernels::convert(Threads{1}, {u.data(), rows, hidden}, g.view);
    graph::Cotangents cotangents;
    cotangents["hidden"] = std::move(g);
    graph::Backward backward(pass, kProbes, dtype);
    seen.clear();
    peaks.clear();
    for (size_t i = before.size(); i-- > 0;) {
      workspace.reset_peak();
      backward.run(model.stages[i], before[i], cotangents, [&](const graph::ReachedOp& at) {
        if (!workspace.dry()) record(at.op, at.x, at.y, at.g);
      });
      peaks.push_back(workspace.peak_bytes());
    }
    EXPECT_TRUE(cotangents.empty());
  }

  void record(int op, Matrix<const float> x, Matrix<const float> y, MatrixView g) {
    Seen s{y.rows, y.cols, elements(x), elements(y), {}};
    for (int64_t r = 0; r < g.rows; ++r)
      for (int64_t c = 0; c < g.cols; ++c)
        s.g.push_back(g.dtype == DType::f32 ? g.as<float>().row(r)[c] : to_float(g.as<bf16>().row(r)[c]));
    EXPECT_TRUE(seen.emplace(model.ops[static_cast<size_t>(op)].name, std::move(s)).second);
  }
};

// d/dh hidden(y + h dy) at h = 0, by central differences with Richardson's extrapolation.
F64Matrix derivative(const F64Model& f64, const F64Model::Reference& reference, const std::string& op,
                     const F64Matrix& dy) {
  const auto difference = [&](double h) {
    F64Matrix scaled = dy;
    for (double& v : scaled.values) v *= h;
    F64Matrix d = f64.perturbed(reference, {op, scaled}).hidden;
    for (double& v : scaled.values) v = -v;
    const F64Matrix back = f64.perturbed(reference, {op, scaled}).hidden;
    for (size_t i = 0; i < d.values.size(); ++i) d.values[i] = (d.values[i] - back.values[i]) / (2 * h);
    return d;
  };
  constexpr double h = 1e-3;
  F64Matrix near = difference(h / 2);
  const F64Matrix wide = difference(h);
  for (size_t i = 0; i < near.values.size(); ++i) near.values[i] = (4 * near.values[i] - wide.values[i]) / 3;
  return near;
}

// <rows [first, first + m.rows) of all, m>
double product(const std::vector<float>& all, int64_t first, const F64Matrix& m) {
  double sum = 0;
  for (size_t i = 0; i < m.values.size(); ++i)
    sum += static_cast<double>(all[static_cast<size_t>(first * m.cols) + i]) * m.values[i];
  return sum;
}

class Exact {
 public:
  explicit Exact(const Walk& walk) : walk_(walk) {
    for (const models::Sample& sample : walk.samples) {
      const auto inputs = walk.model.inputs->load(sample, models::InputBuilder::Pixels::decode);
      const Matrix<const float> pixels = inputs.tables.at("pixel_values").matrix<float>();
      F64Matrix wide(pixels.rows, pixels.cols);
      for (int64_t r = 0; r < pixels.rows; ++r) std::copy_n(pixels.row(r), pixels.cols, wide.row(r));
      references_.push_back(f64_.reference(sample.token_ids, sample.image_grids, wide));
    }
  }

  // The relative error of <g, dY> over random dY, as large as the op's output, of all samples and probes.
  double error(const std::string& op) const {
    const Seen& seen = walk_.seen.at(op);
    graph::Rows kind = graph::Rows::tokens;
    if (op.starts_with("visual."))
      kind = op.starts_with("visual.merger.") ? models::kUnits : models::kPatches;
    const double size = std::sqrt(squared_norm(seen.y) / static_cast<double>(seen.y.size()));
    std::vector<double> got, want;
    Rng rng(2);
    for (size_t s = 0; s < references_.size(); ++s) {
      const auto sample = static_cast<int64_t>(s);
      const int64_t rows = walk_.batch.rows(kind, sample);
      for (int change = 0; change < kChanges && rows > 0; ++change) {
        F64Matrix dy(rows, seen.cols);
        for (double& v : dy.values) v = size * testing::normal(rng);
        const F64Matrix moved = derivative(f64_, references_[s], op, dy);
        for (int64_t p = 0; p < kProbes; ++p) {
          want.push_back(product(
              walk_.u,
              p * walk_.batch.rows(graph::Rows::tokens) + walk_.batch.first_row(graph::Rows::tokens, sample),
              moved));
          got.push_back(product(seen.g, p * seen.rows + walk_.batch.first_row(kind, sample), dy));
        }
      }
    }
    return testing::relative_error(std::span<const double>(got), std::span<const double>(want));
  }

 private:
  static double squared_norm(const std::vector<float>& values) {
    double sum = 0;
    for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
    return sum;
  }

  const Walk& walk_;
  F64Model f64_{kData + "/tiny-qwen2.5-vl"};
  std::vector<F64Model::Reference> references_;
};

TEST(F64Backward, GradientsOfOpsInEveryTower) {
  Walk walk;
  graph::Workspace workspace;
  walk.run(DType::f32, workspace);
  EXPECT_EQ(walk.seen.size(), walk.model.ops.size() - 1);  // all but the head
  for (const auto& [op, x] : walk.forward_inputs)
    EXPECT_EQ(walk.seen.at(walk.model.ops[static_cast<size_t>(op)].name).x, x);
  const Exact exact(walk);
  double worst = 0;
  for (const std::string& op : kOps) {
    const double error = exact.error(op);
    EXPECT_TRUE(error <= kStrictBound) << op << ": " << error;
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", fmt::format("{:.2e}", worst));
}

TEST(F64Backward, Bf16CotangentsAreNearTheStrictOnes) {
  Walk walk;
  graph::Workspace workspace;
  walk.run(DType::f32, workspace);
  const auto strict = walk.seen;
  walk.run(DType::bf16, workspace);
  double worst = 0;
  for (const auto& [op, seen] : walk.seen) {
    const std::vector<float>& want = strict.at(op).g;
    const double error =
        testing::relative_error(std::span<const float>(seen.g), std::span<const float>(want));
    EXPECT_TRUE(error <= 5e-2) << op << ": "
                               << error;  // some 2^-9 of every step of a walk through all layers
    worst = std::max(worst, error);
  }
  RecordProperty("worst_error", fmt::format("{:.2e}", worst));
}

TEST(F64Backward, ADryWalkPlansEveryStagesPeak) {
  Walk walk;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    graph::Workspace real, dry(/*dry=*/true);
    walk.run(dtype, real);
    const std::vector<int64_t> peaks = walk.peaks;
    walk.batch = walk.load(graph::Batch::Contents::shapes);
    walk.run(dtype, dry);
    EXPECT_EQ(walk.peaks, peaks);
    walk.batch = walk.load(graph::Batch::Contents::values);
  }
}

}  // namespace
}  // namespace qsweep::pass
