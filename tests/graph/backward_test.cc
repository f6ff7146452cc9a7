// The backward interpreter on small stages with whole numbers, where everything is exact: what a cotangent of
// the outputs gives for the inputs must be the transpose of what the forward interpreter does to them.
#include "graph/backward.h"

#include <gtest/gtest.h>

#include "graph/small_model.h"

namespace qsweep::graph {
namespace {

constexpr int64_t kProbes = 3;

Batch make_batch(bool images = true) {
  std::vector<SampleInputs> samples = make_samples();
  for (SampleInputs& s : samples)
    for (const auto& [name, cols] : {std::pair("table", 2), std::pair("zeros", 3)})
      s.tables.emplace(name, Tensor::zeros<float>({s.rows[Rows::tokens], cols}));
  if (!images) {
    samples.erase(samples.begin());
    samples.pop_back();
  }
  return Batch(std::move(samples));
}

Cotangent random_cotangent(Workspace& workspace, Rng& rng, int64_t rows, int64_t cols) {
  const Value v = random_value(workspace, rng, kProbes * rows, cols);
  return {v.block, {v.matrix.data, DType::f32, kProbes * rows, cols, cols}};
}

double product(const Cotangent& g, int64_t probe, Matrix<const float> v) {
  double sum = 0;
  for (int64_t r = 0; r < v.rows; ++r)
    for (int64_t c = 0; c < v.cols; ++c)
      sum += static_cast<double>(g.view.as<float>().row(probe * v.rows + r)[c]) * v.row(r)[c];
  return sum;
}

// For a stage that is linear in its inputs: <u, f(v)> of the outputs equals <vjp(u), v> of the inputs,
// exactly.
void expect_transpose(Model& model, const Stage& stage, const Batch& batch) {
  Workspace workspace;
  const Pass pass{model.context, workspace, batch, model.ops};
  Rng rng(11);
  Cotangents given;
  for (const auto& [name, output] : stage.outputs) {
    const Node& node = stage.nodes[static_cast<size_t>(output)];
    given[name] = random_cotangent(workspace, rng, batch.rows(node.rows), node.cols);
  }
  Values inputs;
  for (const Node& node : stage.nodes)
    if (const auto* input = std::get_if<Input>(&node.operation))
      inputs[input->name] = random_value(workspace, rng, batch.rows(node.rows), node.cols);
  Cotangents got;
  for (auto& [name, g] : given) {
    got[name] = random_cotangent(workspace, rng, g.view.rows / kProbes, g.view.cols);
    std::copy_n(static_cast<float*>(g.view.data), g.view.rows * g.view.cols,
                static_cast<float*>(got[name].view.data));
  }
  Backward(pass, kProbes, DType::f32).run(stage, inputs, got);

  for (int draw = 0; draw < 4; ++draw) {
    Values values;
    for (const auto& [name, value] : inputs)
      values[name] = random_value(workspace, rng, value.matrix.rows, value.matrix.cols);
    const Values before = values;
    Forward(pass).run(stage, values);
    for (int64_t p = 0; p < kProbes; ++p) {
      double want = 0, sum = 0;
      for (const auto& [name, u] : given) want += product(u, p, values.at(name).matrix);
      for (const auto& [name, v] : before)
        if (got.contains(name)) sum += product(got.at(name), p, v.matrix);
      EXPECT_EQ(sum, want) << "draw " << draw << ", probe " << p;
    }
  }
}

TEST(Backward, ValuesReadSeveralTimesAddUp) {
  Model model;
  Builder b("stage", model.ops);
  auto x = b.input("hidden", Rows::tokens, 4);
  auto h = b.add(x, b.linear(x, model.weights.linear("a", 4, 4)));
  auto twice = b.add(h, h);
  auto left = b.linear(h, model.weights.linear("b", 4, 3));
  auto right = b.linear(twice, model.weights.linear("c", 4, 3));
  b.output("hidden", b.add(b.add(h, twice), x));
  b.output("other", b.add(left, right));
  b.output("left", left);
  expect_transpose(model, b.build(), make_batch());
}

TEST(Backward, OneInputReadByTwoNodesAndWrittenTwice) {
  Model model;
  Builder b("stage", model.ops);
  auto x = b.input("x", Rows::tokens, 2), again = b.input("x", Rows::tokens, 2);
  auto y =
      b.add(b.linear(x, model.weights.linear("a", 2, 2)), b.add(again, b.table("table", Rows::tokens, 2)));
  b.output("y", y);
  b.output("z", y);
  expect_transpose(model, b.build(), make_batch());
}

TEST(Backward, ColumnsThatOverlapOrAreNeverRead) {
  Model model;
  Builder b("stage", model.ops);
  auto x = b.input("x", Rows::tokens, 3);
  auto wide = b.linear(x, model.weights.linear("a", 3, 10));
  auto sum = b.add(b.columns(wide, 0, 3), b.columns(wide, 2, 3));  // column 2 twice, 5 and 6 never
  sum = b.add(sum, b.columns(b.columns(wide, 7, 3), 0, 3));
  b.output("sum", sum);
  b.output("direct", b.linear(wide, model.weights.linear("b", 10, 2)));
  expect_transpose(model, b.build(), make_batch());
}

TEST(Backward, ColumnsOfAValueWhoseCotangentIsShared) {
  Model model;
  Builder b("stage", model.ops);
  auto x = b.input("x", Rows::tokens, 4), z = b.input("z", Rows::tokens, 4);
  auto part = b.columns(x, 1, 2);
  b.output("part", b.linear(part, model.weights.linear("a", 2, 2)));
  b.output("sum", b.add(x, z));
  expect_transpose(model, b.build(), make_batch());
}

TEST(Backward, RowsByIndexMergedAndScattered) {
  Model model;
  Builder b("stage", model.ops);
  auto patches = b.gather(b.input("patches", kPatches, 2), "order");
  auto units = b.merge(patches, 4, kUnits);
  units = b.add(units, b.linear(units, model.weights.linear("a", 8, 8)));
  b.output("units", units);
  const Stage stage = b.build();
  expect_transpose(model, stage, make_batch());

  Builder e("embedding", model.ops);
  e.output("hidden",
           e.scatter(e.embedding(model.weights.matrix(2, 8)), e.input("units", kUnits, 8), "images"));
  const Stage embedding = e.build();
  // Not linear, because of the tokens' own embeddings: whole numbers by hand.
  const Batch batch = make_batch();
  Workspace workspace;
  Rng rng(5);
  const Cotangent g = random_cotangent(workspace, rng, batch.rows(Rows::tokens), 8);
  Cotangents cotangents{{"hidden", g}};
  Backward({model.context, workspace, batch, model.ops}, kProbes, DType::f32).run(embedding, {}, cotangents);
  ASSERT_EQ(cotangents.size(), 1u);
  const Matrix<float> got = cotangents.at("units").view.as<float>(), u = g.view.as<float>();
  ASSERT_EQ(got.rows, kProbes * 3);
  for (int64_t p = 0; p < kProbes; ++p)
    for (int64_t c = 0; c < 8; ++c) {
      const auto token = [&](int64_t r) { return u.row(p * 15 + r)[c]; };
      EXPECT_EQ(got.row(p * 3)[c], token(3) + token(4));  // unit 0 was read twice
      EXPECT_EQ(got.row(p * 3 + 1)[c], token(1));
      EXPECT_EQ(got.row(p * 3 + 2)[c], token(8 + 4));
    }
}

TEST(Backward, FeaturesAddedToAValueAndInItsPlace) {
  Model model;
  for (const bool changes : {true, false}) {
    Builder b("deep", model.ops);
    auto x = changes ? b.input("hidden", Rows::tokens, 3) : b.table("zeros", Rows::tokens, 3);
    auto units = b.input("units", kUnits, 3);
    auto added = b.scatter_add(x, b.linear(units, model.weights.linear("a", 3, 3)), "images");
    b.output("hidden", b.linear(added, model.weights.linear("b", 3, 3)));
    b.output("replaced", b.scatter(changes ? added : x, units, "images"));
    expect_transpose(model, b.build(), make_batch());
  }
}

TEST(Backward, NeighboursMergedByChannelScaledAndAveraged) {
  Model model;
  Builder b("projector", model.ops);
  auto patches = b.input("patches", kPatches, 2);
  auto merged = b.merge(patches, 4, kUnits, MergeOrder::channels_first);
  b.output("merged", b.linear(merged, model.weights.linear("a", 8, 3)));
  b.output("pooled", b.mean(b.scale(patches, -2), 4, kUnits));
  expect_transpose(model, b.build(), make_batch());
}

// A stage like a decoder layer's second half: reads what it writes, and one name that later stages read too.
struct Layer {
  Model model;
  Stage stage;

  Layer() {
    Builder b("layer", model.ops);
    auto x = b.input("hidden", Rows::tokens, 4), extra = b.input("extra", Rows::tokens, 4);
    auto h = b.rms_norm(x, model.weights.matrix(1, 4), 1e-6);
    LinearOp biased = model.weights.linear("gate", 4, 6);
    biased.bias = model.weights.matrix(1, 6);
    auto gate = b.linear(h, std::move(biased)), up = b.linear(h, model.weights.linear("up", 4, 6));
    b.output("unused", b.linear(h, model.weights.linear("side", 4, 2)));
    h = b.linear(b.gated(gate, up, ops::activation::Kind::silu), model.weights.linear("down", 6, 4));
    b.output("hidden", b.add(b.add(x, h), extra));
    stage = b.build();
  }

  struct Seen {
    int op;
    int64_t x_cols, y_cols;
    std::vector<float> x, y, g;
  };
  struct Run {
    Cotangents cotangents;
    std::vector<Seen> seen;
    double flops = 0;
    int64_t peak_bytes = 0;
  };
  Run run(Workspace& workspace, const Batch& batch, DType dtype) {
    const Pass pass{model.context, workspace, batch, model.ops};
    Rng rng(3);
    const int64_t rows = batch.rows(Rows::tokens);
    const auto value = [&](int64_t n, DType type) {
      auto block = workspace.allocate(type, n, 4);
      if (workspace.dry()) return block;
      std::vector<float> numbers;
      for (int64_t i = 0; i < n * 4; ++i) numbers.push_back(static_cast<float>(small(rng)));
      kernels::convert(Threads{1}, {numbers.data(), n, 4}, {block->data(), type, n, 4, 4});
      return block;
    };
    Values inputs;
    for (const std::string name : {"hidden", "extra"}) {
      const auto block = value(rows, DType::f32);
      inputs[name] = {block, {static_cast<float*>(block->data()), rows, 4}};
    }
    Run result;
    for (const std::string name : {"hidden", "extra", "elsewhere"}) {
      const auto block = value(kProbes * rows, dtype);
      result.cotangents[name] = {block, {block->data(), dtype, kProbes * rows, 4, 4}};
    }
    Backward backward(pass, kProbes, dtype);
    workspace.reset_peak();
    backward.run(stage, inputs, result.cotangents, [&](const ReachedOp& at) {
      const auto& [op, x, y, g, first_rows] = at;
      Seen seen{op, x.cols, y.cols, {}, {}, {}};
      if (!workspace.dry() && dtype == DType::f32) {
        seen.x.assign(x.data, x.data + x.rows * x.cols);
        seen.y.assign(y.data, y.data + y.rows * y.cols);
        seen.g.assign(g.as<float>().data, g.as<float>().data + g.rows * g.cols);
      }
      result.seen.push_back(std::move(seen));
    });
    result.flops = backward.flops();
    result.peak_bytes = workspace.peak_bytes();
    return result;
  }
};

TEST(Backward, ObserverSeesEveryReachedOpOnce) {
  Layer layer;
  Workspace workspace;
  const Batch batch = make_batch();
  const Layer::Run run = layer.run(workspace, batch, DType::f32);
  ASSERT_EQ(run.seen.size(), 3u);  // "side" has no cotangent
  std::vector<std::string> names;
  for (const Layer::Seen& s : run.seen) names.push_back(layer.model.ops[static_cast<size_t>(s.op)].name);
  EXPECT_EQ(names, (std::vector<std::string>{"down", "up", "gate"}));
  EXPECT_EQ(run.seen[0].x_cols, 6);
  EXPECT_EQ(run.seen[0].y_cols, 4);
  EXPECT_EQ(run.seen[0].g.size(), static_cast<size_t>(kProbes * 15 * 4));
  EXPECT_EQ(run.flops, 2.0 * (3 * 24) * static_cast<double>(kProbes * 15));
  for (const Layer::Seen& s : run.seen) {
    const LinearOp& op = layer.model.ops[static_cast<size_t>(s.op)];
    for (size_t i = 0; i < s.y.size(); ++i) {
      const size_t in = static_cast<size_t>(s.x_cols), row = i / static_cast<size_t>(s.y_cols) * in;
      const size_t out = i % static_cast<size_t>(s.y_cols);
      float sum = op.bias ? op.bias->as<float>()[out] : 0;
      for (size_t k = 0; k < in; ++k) sum += s.x[row + k] * op.weight.as<float>()[out * in + k];
      EXPECT_NEAR(s.y[i], sum, 1e-3f) << op.name;
    }
  }
  // The cotangent at the last op's output is the stage's.
  Rng rng(3);
  for (int skipped = 0; skipped < 2 * 15 * 4; ++skipped) small(rng);
  for (const float g : run.seen[0].g) EXPECT_EQ(g, static_cast<float>(small(rng)));
}

TEST(Backward, NamesThatAreOnlyReadAreAddedToAndOthersPass) {
  Layer layer;
  Workspace workspace;
  const Batch batch = make_batch();
  const Layer::Run run = layer.run(workspace, batch, DType::f32);
  EXPECT_EQ(run.cotangents.size(), 3u);
  // What was given: two inputs first, then the three cotangents.
  Rng rng(3);
  for (int skipped = 0; skipped < 2 * 15 * 4; ++skipped) small(rng);
  const size_t n = kProbes * 15 * 4;
  std::vector<float> hidden, extra, elsewhere;
  for (std::vector<float>* all : {&hidden, &extra, &elsewhere})
    for (size_t i = 0; i < n; ++i) all->push_back(static_cast<float>(small(rng)));
  const auto got = [&](const std::string& name) {
    const auto* data = static_cast<const float*>(run.cotangents.at(name).view.data);
    return std::vector<float>(data, data + n);
  };
  for (size_t i = 0; i < n; ++i) EXPECT_EQ(got("extra")[i], extra[i] + hidden[i]);
  EXPECT_EQ(got("elsewhere"), elsewhere);
  EXPECT_NE(got("hidden"), hidden);
}

TEST(Backward, ADryWalkTakesTheSameMemory) {
  Layer layer;
  const Batch batch = make_batch();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Workspace real, dry(/*dry=*/true);
    const Layer::Run done = layer.run(real, batch, dtype), planned = layer.run(dry, batch, dtype);
    EXPECT_EQ(done.peak_bytes, planned.peak_bytes);
    EXPECT_EQ(done.flops, planned.flops);
    EXPECT_EQ(done.seen.size(), planned.seen.size());
  }
}

TEST(Backward, AStageWithoutRowsDoesNothing) {
  Model model;
  Builder b("vision", model.ops);
  b.output("units", b.linear(b.input("patches", kPatches, 2), model.weights.linear("a", 2, 2)));
  const Stage vision = b.build();
  Builder e("embedding", model.ops);
  e.output("hidden",
           e.scatter(e.embedding(model.weights.matrix(2, 2)), e.input("units", kUnits, 2), "images"));
  const Stage embedding = e.build();
  const Batch text_only = make_batch(false);
  Workspace workspace;
  const Pass pass{model.context, workspace, text_only, model.ops};
  Rng rng(1);
  Cotangents cotangents{{"hidden", random_cotangent(workspace, rng, 3, 2)}};
  Backward backward(pass, kProbes, DType::f32);
  const CotangentObserver never = [](auto&&...) { ADD_FAILURE(); };
  backward.run(embedding, {}, cotangents, never);
  EXPECT_TRUE(cotangents.empty());
  backward.run(vision, {}, cotangents, never);
  EXPECT_TRUE(cotangents.empty());
  EXPECT_EQ(backward.flops(), 0);
}

TEST(Backward, RefusesCotangentsOfAnotherShape) {
  Layer layer;
  Workspace workspace;
  const Batch batch = make_batch();
  Rng rng(1);
  Cotangents cotangents{{"hidden", random_cotangent(workspace, rng, 14, 4)}};
  Backward backward({layer.model.context, workspace, batch, layer.model.ops}, kProbes, DType::f32);
  EXPECT_THROW(backward.run(layer.stage, {}, cotangents), ContractError);
}

}  // namespace
}  // namespace qsweep::graph
