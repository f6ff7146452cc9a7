// The forward interpreter on stages of whole numbers, against plain loops; and what it reads, tells and
// keeps.
#include "graph/forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/plain_loops.h"
#include "graph/small_stages.h"

namespace qsweep::graph {
namespace {

struct Done {
  Values values;
  std::vector<int> inputs, outputs;  // ops, as the observer was told
};

Done run(SmallStages& model, const Batch& batch, Workspace& workspace) {
  Done result;
  Forward forward({model.context, workspace, batch, model.ops});
  const LinearObserver observer{.input = [&](int op, auto&&) { result.inputs.push_back(op); },
                                .output = [&](int op, auto&&) { result.outputs.push_back(op); }};
  for (const Stage& stage : model.stages) forward.run(stage, result.values, observer);
  return result;
}

PlainValues run_plainly(const SmallStages& model, const Batch& batch) {
  const std::vector<const quant::Format*> formats(model.ops.size());
  PlainValues values;
  for (const Stage& stage : model.stages) run_plainly(stage, model.ops, batch, formats, {}, values);
  return values;
}

TEST(Forward, EqualsPlainLoops) {
  SmallStages model;
  const Batch batch = model.batch();
  Workspace workspace;
  const Done got = run(model, batch, workspace);
  const PlainValues expected = run_plainly(model, batch);
  for (const std::string& name : model.outputs())
    EXPECT_EQ(plain(got.values.at(name).matrix), expected.at(name)) << name;
}

TEST(Forward, TellsEveryOpInOrderBeforeAndAfter) {
  SmallStages model;
  const Batch batch = model.batch();
  Workspace workspace;
  std::vector<std::pair<char, int>> told;
  PlainValues outputs;
  Forward forward({model.context, workspace, batch, model.ops});
  Values values;
  for (const Stage& stage : model.stages)
    forward.run(stage, values,
                {.input =
                     [&](int op, Matrix<const float> x) {
                       told.emplace_back('x', op);
                       EXPECT_EQ(x.cols, model.ops[static_cast<size_t>(op)].in_features());
                     },
                 .output =
                     [&](int op, const Value& y) {
                       told.emplace_back('y', op);
                       EXPECT_EQ(y.matrix.cols, model.ops[static_cast<size_t>(op)].out_features());
                     }});
  std::vector<std::pair<char, int>> expected;
  for (int op = 0; op < SmallStages::kOps; ++op) {
    expected.emplace_back('x', op);
    expected.emplace_back('y', op);
  }
  EXPECT_EQ(told, expected);
}

TEST(Forward, KeepsWhatNoLaterStageReadsAndNothingElse) {
  SmallStages model;
  const Batch batch = model.batch();
  Workspace workspace;
  const Done got = run(model, batch, workspace);
  std::vector<std::string> names;
  int64_t bytes = 0;
  std::set<const void*> blocks;
  for (const auto& [name, value] : got.values) {
    names.push_back(name);
    if (blocks.insert(value.block.get()).second) bytes += static_cast<int64_t>(value.block->bytes().size());
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"added left", "attended", "attended left", "deep left", "embedded left",
                                      "hidden left", "pooled left", "replaced left", "units left"}));
  EXPECT_EQ(workspace.held_bytes(), bytes);
}

TEST(Forward, ANameIsConsumedByItsLastReader) {
  std::vector<LinearOp> ops;
  const auto stage = [&](const std::vector<std::string>& reads, const std::vector<std::string>& writes) {
    Builder b("stage", ops);
    std::vector<Builder::Value> inputs;
    for (const std::string& name : reads) inputs.push_back(b.input(name, Rows::tokens, 1));
    for (const std::string& name : writes)
      b.output(name, inputs.empty() ? b.table("t", Rows::tokens, 1) : inputs[0]);
    return b.build();
  };
  std::vector<Stage> stages{stage({}, {"a", "b"}), stage({"a"}, {"c"}), stage({"a", "b"}, {"a"}),
                            stage({"c", "a"}, {})};
  resolve_lifetimes(stages);
  using ::testing::ElementsAre;
  EXPECT_THAT(stages[0].consumes, ElementsAre());
  EXPECT_THAT(stages[1].consumes, ElementsAre());
  EXPECT_THAT(stages[2].consumes, ElementsAre("a", "b"));  // the next one reads another "a"
  EXPECT_THAT(stages[3].consumes, ElementsAre("c", "a"));
}

TEST(Forward, ReplacementsStandForLinearOpsAndEmbeddings) {
  SmallStages model;
  const Batch batch = model.batch();
  Workspace workspace;
  Forward forward({model.context, workspace, batch, model.ops});
  const auto filled = [&](int64_t rows, int64_t cols, float with) {
    Value v{workspace.allocate(DType::f32, rows, cols), {}};
    v.matrix = {static_cast<float*>(v.block->data()), rows, cols};
    std::fill_n(v.matrix.data, rows * cols, with);
    return v;
  };
  Values values;
  for (const Stage& stage : model.stages)
    forward.run_with(
        stage, values,
        {.linear =
             [&](int op, const Value& x) {
               return filled(x.matrix.rows, model.ops[static_cast<size_t>(op)].out_features(),
                             static_cast<float>(1 << op));
             },
         .embedding = [&](const Node& node) { return filled(batch.rows(node.rows), node.cols, 1000); }});
  using enum SmallStages::Op;
  const Matrix<const float> hidden = values.at("hidden left").matrix;
  for (int64_t r = 0; r < hidden.rows; ++r) {
    const bool image = batch.index("images").within_sample[static_cast<size_t>(r)] >= 0;
    EXPECT_EQ(hidden.row(r)[0], (image ? 1 << kMerger : 1000) + (1 << kO) + (1 << kDown));
  }
}

TEST(Forward, WithoutImagesTheVisionOpsAreNotRead) {
  SmallStages model;
  const Batch batch = model.batch(/*images=*/false);
  const PlainValues expected = run_plainly(model, batch);
  using enum SmallStages::Op;
  for (const auto op : {kPatch, kMerger}) model.ops[op].weight.data = nullptr;
  Workspace workspace;
  const Done got = run(model, batch, workspace);
  EXPECT_EQ(got.inputs, (std::vector<int>{kQ, kK, kV, kO, kGate, kUp, kDown}));
  EXPECT_EQ(got.outputs, got.inputs);
  EXPECT_EQ(got.values.at("units left").matrix.rows, 0);
  EXPECT_EQ(plain(got.values.at("hidden left").matrix), expected.at("hidden"));
}

TEST(Forward, ADryWalkTakesTheSameMemory) {
  SmallStages model;
  const Batch batch = model.batch();
  Workspace real, dry(/*dry=*/true);
  const Done done = run(model, batch, real), planned = run(model, batch, dry);
  EXPECT_EQ(dry.peak_bytes(), real.peak_bytes());
  EXPECT_EQ(dry.held_bytes(), real.held_bytes());
  EXPECT_EQ(planned.inputs, done.inputs);
}

}  // namespace
}  // namespace qsweep::graph
