// One linear op for branches made by hand, in whole numbers: what is asked for, what is known already, and
// products of codes. Whole models of leaves are in variants_test.cc.
#include "graph/linear_step.h"

#include <gtest/gtest.h>

#include "graph/plain_loops.h"
#include "graph/small_model.h"

namespace qsweep::graph {
namespace {

using quant::Format;

constexpr int64_t kRows = 6, kIn = 4, kOut = 3;
constexpr float kUntouched = -12345;
constexpr quant::Range kRange{.min = -10, .max = 245};  // a step of 1: whole numbers stay, but are cut

PlainValue linear(const PlainValue& x, const PlainValue& w, const float* bias = nullptr) {
  PlainValue y(x.rows, w.rows);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t c = 0; c < y.cols; ++c) {
      for (int64_t i = 0; i < x.cols; ++i) y.at(r, c) += x.at(r, i) * w.at(c, i);
      if (bias != nullptr) y.at(r, c) += static_cast<double>(bias[c]);
    }
  return y;
}

PlainValue combined(const PlainValue& a, double factor, const PlainValue& b) {
  PlainValue y = a;
  for (size_t i = 0; i < y.numbers.size(); ++i) y.numbers[i] += factor * b.numbers[i];
  return y;
}

// An op with a bias and branches that read its input x, each with two live pairs of three rows.
struct Step {
  Model model;
  LinearOp op;
  Batch batch;
  Workspace workspace;
  std::optional<kernels::Gemm> other;  // instead of the model's
  DType delta_dtype = DType::f32;
  double flops = 0;
  std::vector<std::unique_ptr<std::vector<float>>> memory;
  Matrix<float> x, dx;

  explicit Step(uint64_t largest = 9) : batch(one_sample()) {
    op.name = "op";
    op.weight = model.weights.matrix(kOut, kIn, largest);
    op.bias = model.weights.matrix(1, kOut);
    x = matrix(kRows, kIn, largest);
    dx = matrix(kRows, kIn, largest);
  }

  static Batch one_sample() {
    std::vector<SampleInputs> samples(1);
    samples[0].rows = {kRows};
    return Batch(std::move(samples));
  }

  Matrix<float> matrix(int64_t rows, int64_t cols, uint64_t limit) {
    Matrix<float> m = filled(rows, cols);
    for (int64_t i = 0; i < rows * cols; ++i)
      m.data[i] = static_cast<float>(whole_number(model.weights.rng, limit));
    return m;
  }
  Matrix<float> filled(int64_t rows, int64_t cols) {
    memory.push_back(std::make_unique<std::vector<float>>(static_cast<size_t>(rows * cols), kUntouched));
    return {memory.back()->data(), rows, cols};
  }

  BranchLinear branch(const Format* format, const Format* live) {
    BranchLinear b{.format = format, .x = x, .y = filled(kRows, kOut)};
    b.own_error = filled(kRows, kOut);
    b.dx = view_of(dx);
    b.dy = view_of(filled(kRows, kOut));
    LiveRun run{.format = live, .first_row = 0, .rows = kRows};
    // The pairs' rows stand in another order than their parent's.
    for (const int64_t first : {0, 3})
      run.blocks.push_back({.rows = 3, .parent = 3 - first, .in = {first, -1, -1}, .out = first});
    b.live = {run};
    return b;
  }

  void run(std::span<BranchLinear> branches) {
    const ops::Context context{other ? *other : model.gemm, model.context.tile_bytes};
    const Pass pass{context, workspace, batch, {&op, 1}};
    const LinearWeights weights(pass, op);
    const ForkObserver nobody;
    run_linear_step({.pass = pass,
                     .op = op,
                     .weights = weights,
                     .delta_dtype = delta_dtype,
                     .range = &kRange,
                     .observe = nobody,
                     .flops = flops},
                    branches);
    workspace.deferred().settle();
  }

  PlainValue w(const Format* format) const { return quantized_weight(op, format); }
  static PlainValue q(const PlainValue& at, const Format* format) {
    return quantized_input(at, format, &kRange);
  }
  // Q(x) Q(W)^T - x W^T.
  PlainValue error(const Format* format) const {
    return combined(linear(q(plain(x), format), w(format)), -1, linear(plain(x), w(nullptr)));
  }
  PlainValue output(const Format* format) const {
    return linear(q(plain(x), format), w(format), op.bias->as<float>().data());
  }
  // The parent's rows in the order of the pairs.
  PlainValue of_pairs(const PlainValue& v) const {
    PlainValue y = v;
    for (int64_t r = 0; r < v.rows; ++r)
      for (int64_t c = 0; c < v.cols; ++c) y.at(r, c) = v.at((r + 3) % 6, c);
    return y;
  }
};

const Format* format(const char* name) { return &quant::find_format(name); }

TEST(LinearStep, LivePairsFollowTheirRow) {
  for (const int64_t tile_bytes : {1, 100, 1 << 20}) {
    Step step;
    step.model.context.tile_bytes = tile_bytes;
    const Format* const both = format("mxfp4");
    const Format* const weights = format("mxfp4a16");
    std::vector<BranchLinear> branches{step.branch(nullptr, nullptr), step.branch(both, both),
                                       step.branch(weights, weights), step.branch(both, nullptr),
                                       step.branch(nullptr, both),    step.branch(nullptr, weights)};
    step.run(branches);
    const PlainValue x = step.of_pairs(plain(step.x)), dx = plain(step.dx), changed = combined(x, 1, dx);
    const auto dy = [&](size_t b) { return plain(Matrix<const float>(branches[b].dy.as<float>())); };
    EXPECT_EQ(dy(0), linear(dx, step.w(nullptr)));
    EXPECT_EQ(dy(1), linear(combined(step.q(changed, both), -1, step.q(x, both)), step.w(both)));
    EXPECT_EQ(dy(2), linear(dx, step.w(weights)));
    EXPECT_EQ(dy(3), combined(linear(dx, step.w(nullptr)), -1, step.of_pairs(step.error(both))));
    const PlainValue in_float = linear(x, step.w(nullptr));
    EXPECT_EQ(dy(4), combined(linear(step.q(changed, both), step.w(both)), -1, in_float));
    EXPECT_EQ(dy(5), combined(linear(changed, step.w(weights)), -1, in_float));
    EXPECT_NE(step.error(both), PlainValue(kRows, kOut));
    for (const BranchLinear& b : branches) {
      EXPECT_EQ(plain(Matrix<const float>(b.y)), step.output(b.format));
      if (b.format != nullptr) {
        EXPECT_EQ(plain(Matrix<const float>(b.own_error)), step.error(b.format));
      }
    }
  }
}

TEST(LinearStep, WhatIsKnownOrNotWantedIsLeftAlone) {
  Step step;
  std::vector<BranchLinear> branches{step.branch(nullptr, nullptr), step.branch(format("mxfp4"), nullptr)};
  branches[0].y_is_known = true;
  branches[1].live.clear();
  branches[1].own_error = {};
  branches[1].y = {};
  step.run(branches);
  EXPECT_EQ(branches[0].y.row(0)[0], kUntouched);
  EXPECT_EQ(branches[1].dy.as<float>().row(0)[0], kUntouched);
  EXPECT_EQ(step.flops, 2.0 * kRows * kIn * kOut);  // of the one live run
}

// Forks of one leaf in several blocks, and what is counted: one product per format and part.
TEST(LinearStep, ForksTakeTheirFormatsErrorLessTheParents) {
  Step step;
  const Format* const both = format("mxfp4");
  const Format* const weights = format("mxfp4a16");
  std::vector<BranchLinear> branches{step.branch(nullptr, nullptr), step.branch(both, nullptr)};
  const std::vector<kernels::RowBlock> swapped{{.rows = 3, .parent = 3, .out = 0},
                                               {.rows = 3, .parent = 0, .out = 3}};
  for (BranchLinear& b : branches) {
    b.live.clear();
    b.own_error = {};
  }
  branches[0].forks = {{.leaf = 0, .format = weights, .blocks = swapped}};
  branches[1].forks = {{.leaf = 1, .format = nullptr, .blocks = swapped}};
  step.run(branches);
  const auto dy = [&](size_t b) { return plain(Matrix<const float>(branches[b].dy.as<float>())); };
  EXPECT_EQ(dy(0), step.of_pairs(step.error(weights)));
  EXPECT_EQ(dy(1), step.of_pairs(combined(PlainValue(kRows, kOut), -1, step.error(both))));
  // One product for weights alone; of the quantized parent two for its value and two for its error.
  EXPECT_EQ(step.flops, 5 * 2.0 * kRows * kIn * kOut);
}

// Weights with 127 in every row and inputs of a step of 1: scales are 1, and sums of codes are whole.
TEST(LinearStep, ProductsOfCodes) {
  for (const char* name : {"w8a8", "w8a8_dynamic"}) {
    Step step(100);
    step.other.emplace(Threads{1}, kernels::LowPrecision::always);
    step.delta_dtype = DType::bf16;
    auto weights = step.op.weight.as<float>();
    for (int64_t r = 0; r < kOut; ++r) const_cast<float&>(weights[static_cast<size_t>(r * kIn)]) = 127;
    for (int64_t r = 0; r < kRows; ++r) step.x.row(r)[0] = 127;
    std::vector<BranchLinear> branches{step.branch(nullptr, nullptr), step.branch(format(name), nullptr)};
    for (BranchLinear& b : branches) {
      b.live.clear();
      b.own_error = {};
    }
    // Errors of a float parent whose output is there; a quantized parent's own value.
    branches[0].forks = {
        {.leaf = 0, .format = format(name), .blocks = {{.rows = kRows, .parent = 0, .out = 0}}}};
    const kernels::Buffer dy(Threads{1}, DType::bf16, kRows, kOut);
    branches[0].dy = dy.view();
    step.run(branches);
    EXPECT_EQ(plain(Matrix<const float>(branches[1].y)), step.output(format(name))) << name;
    const PlainValue error = step.error(format(name));
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < kOut; ++c)
        EXPECT_EQ(dy.view().as<bf16>().row(r)[c].bits, to_bf16(static_cast<float>(error.at(r, c))).bits)
            << name;
  }
}

TEST(LinearStep, TheWeightsOwnErrorAndTheInputsSize) {
  Step step;
  const Pass pass{step.model.context, step.workspace, step.batch, {&step.op, 1}};
  const LinearWeights weights(pass, step.op);
  const ForkObserver nobody;
  double sse = 0;
  weight_error_sse({.pass = pass, .op = step.op, .weights = weights, .observe = nobody, .flops = step.flops},
                   *format("mxfp4"), [&](double sum) { sse = sum; });
  const auto stats = measure_input(step.workspace, step.x);
  step.workspace.deferred().settle();
  double expected = 0, squares = 0;
  for (const double d : combined(step.w(format("mxfp4")), -1, step.w(nullptr)).numbers) expected += d * d;
  for (const double number : plain(step.x).numbers) squares += number * number;
  EXPECT_GT(expected, 0);
  EXPECT_EQ(sse, expected);
  EXPECT_EQ(stats->input_sum_squares, squares);
  EXPECT_EQ(stats->rows, kRows);
  EXPECT_EQ(measure_input(step.workspace, {})->rows, 0);
}

}  // namespace
}  // namespace qsweep::graph
