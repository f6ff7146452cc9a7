// A linear op whose weight is stored in another way gives what it gives with the plain weight.
#include "graph/stored_weight.h"

#include <gtest/gtest.h>

#include "graph/linear_weights.h"
#include "graph/small_model.h"

namespace qsweep::graph {
namespace {

constexpr int64_t kOut = 6, kIn = 9;

class StoredWeightTest : public ::testing::Test {
 protected:
  // Every second output of [in, 2 out], and the same as a plain op.
  StoredWeightTest() {
    const TensorView wide = model.weights.matrix(kIn, 2 * kOut), biases = model.weights.matrix(1, 2 * kOut);
    std::vector<float> weight, bias;
    for (size_t r = 0; r < kOut; ++r) {
      for (size_t c = 0; c < kIn; ++c) weight.push_back(wide.as<float>()[c * 2 * kOut + 2 * r + 1]);
      bias.push_back(biases.as<float>()[2 * r + 1]);
    }
    plain.weight = model.weights.keep(std::move(weight), kOut, kIn);
    plain.bias = model.weights.keep(std::move(bias), 1, kOut);
    plain.bias->shape = {kOut};
    stored.weight = {
        DType::f32, {kOut, kIn}, Strided{.source = wide, .first = 1, .row_step = 2, .column_step = 2 * kOut}};
    stored.bias = StoredWeight{DType::f32, {kOut}, Strided{.source = biases, .first = 1, .row_step = 2}};
  }

  static void expect_equal(const MatrixView& a, const MatrixView& b) {
    ASSERT_EQ(a.rows * a.cols, b.rows * b.cols);
    for (int64_t i = 0; i < a.rows * a.cols; ++i)
      EXPECT_EQ(static_cast<const float*>(a.data)[i], static_cast<const float*>(b.data)[i]) << i;
  }

  static Batch one_sample() {
    std::vector<SampleInputs> samples(1);
    samples[0].rows = {1};
    return Batch(std::move(samples));
  }

  Model model;
  LinearOp plain, stored;
  Batch batch = one_sample();
};

TEST_F(StoredWeightTest, IsUnpackedIntoTheWorkspaceAsPlanned) {
  Workspace dry(/*dry=*/true), workspace;
  int64_t planned = 0;
  {
    const Pass pass{model.context, dry, batch, {}};
    const LinearWeights weights(pass, stored);
    weights.for_rows(DType::bf16);
    planned = dry.peak_bytes();
  }
  {
    const Pass pass{model.context, workspace, batch, {}};
    const LinearWeights weights(pass, stored), same(pass, plain);
    weights.for_rows(DType::bf16);
    expect_equal(weights.f32(), same.f32());
    expect_equal({const_cast<float*>(weights.bias()), DType::f32, 1, kOut, kOut},
                 {const_cast<float*>(same.bias()), DType::f32, 1, kOut, kOut});
    EXPECT_EQ(workspace.peak_bytes(), planned);
    EXPECT_GE(planned, stored.weight.size_bytes());
  }
  EXPECT_EQ(workspace.held_bytes(), 0);
}

TEST_F(StoredWeightTest, CodesAreDequantizedIntoTheWorkspaceAsPlanned) {
  std::vector<int8_t> codes;
  std::vector<float> scales, values;
  for (int64_t i = 0; i < kOut * kIn; ++i) codes.push_back(static_cast<int8_t>(7 * i % 256 - 128));
  for (int64_t r = 0; r < kOut; ++r) scales.push_back(0.25f * static_cast<float>(r + 1));
  for (size_t i = 0; i < codes.size(); ++i)
    values.push_back(static_cast<float>(codes[i]) * scales[i / static_cast<size_t>(kIn)]);
  const auto bytes = [](const auto& v) { return reinterpret_cast<const std::byte*>(v.data()); };
  plain.weight = model.weights.keep(std::move(values), kOut, kIn);
  stored.weight = {DType::f32,
                   {kOut, kIn},
                   Scaled{.kind = kernels::Codes::i8,
                          .codes = {DType::i8, {kOut, kIn}, bytes(codes)},
                          .scales = {DType::f32, {kOut, 1}, bytes(scales)},
                          .block_columns = kIn}};
  Workspace dry(/*dry=*/true), workspace;
  const Pass dry_pass{model.context, dry, batch, {}}, pass{model.context, workspace, batch, {}};
  const LinearWeights planned(dry_pass, stored);
  const LinearWeights weights(pass, stored), same(pass, plain);
  planned.f32();
  expect_equal(weights.f32(), same.f32());
  EXPECT_EQ(workspace.peak_bytes(), dry.peak_bytes());
  EXPECT_GE(dry.peak_bytes(), stored.weight.size_bytes());
  EXPECT_EQ(stored.weight.part_bytes(), kOut * kIn + 4 * kOut);
}

TEST_F(StoredWeightTest, SomeRowsAreAWeightOfTheirOwn) {
  Workspace workspace;
  const Pass pass{model.context, workspace, batch, {}};
  LinearOp part = plain, stored_part = stored;
  part.weight = plain.weight.rows(2, 3);
  part.bias = plain.bias->rows(2, 3);
  stored_part.weight = stored.weight.rows(2, 3);
  stored_part.bias = stored.bias->rows(2, 3);
  const LinearWeights weights(pass, stored_part), same(pass, part);
  expect_equal(weights.f32(), same.f32());
  expect_equal({const_cast<float*>(weights.bias()), DType::f32, 1, 3, 3},
               {const_cast<float*>(same.bias()), DType::f32, 1, 3, 3});
}

TEST_F(StoredWeightTest, AStageReadsASharedPartOnce) {
  Builder b("stage", model.ops);
  const auto x = b.table("x", Rows::tokens, kIn);
  LinearOp other = stored;
  std::get<Strided>(other.weight.layout).first = 0;
  b.linear(x, stored);
  b.linear(x, other);
  const Stage stage = b.build();
  ASSERT_EQ(stage.weights.size(), 2U);  // both weights and both biases are parts of one tensor each
  EXPECT_EQ(stage.weights[0].size_bytes(), stored.weight.part_bytes());
}

}  // namespace
}  // namespace qsweep::graph
