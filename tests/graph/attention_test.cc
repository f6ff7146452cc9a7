// Attention between the interpreters and the samples: which rows see each other. With queries of zero every
// key that a query sees has the same weight, so that outputs, differences and cotangents are plain means.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/backward.h"
#include "graph/plain_loops.h"
#include "graph/small_model.h"
#include "graph/variants.h"

namespace qsweep::graph {
namespace {

constexpr int64_t kHeadDim = 4;
constexpr int64_t kProbes = 2;
constexpr int kValueOp = 2;

// Three samples of tokens, the second without spans; with a window of 2 or without.
struct Attending : Model {
  Stage stage;

  explicit Attending(int64_t window) {
    Builder b("stage", ops);
    auto x = b.table("x", Rows::tokens, kHeadDim);
    const TensorView zeros = weights.matrix(kHeadDim, kHeadDim, 0);
    auto q = b.linear(x, made_of("q", zeros)), k = b.linear(x, weights.linear("k", kHeadDim, kHeadDim));
    auto v = b.linear(x, made_of("v", weights.matrix(kHeadDim, kHeadDim, 9)));  // 4 bits round some of it
    const ops::attention::Spec heads{
        .n_heads = 1, .n_kv_heads = 1, .head_dim = kHeadDim, .scale = 1, .causal = true, .window = window};
    b.output("hidden", b.attention(q, k, v, heads, "sequence", "images"));
    stage = b.build();
  }

  static Batch batch() {
    Rng rng(5);
    std::vector<SampleInputs> samples = make_samples();
    for (SampleInputs& s : samples) {
      const int64_t tokens = s.rows[Rows::tokens];
      Tensor x = Tensor::zeros<float>({tokens, kHeadDim});
      for (float& number : x.as<float>()) number = static_cast<float>(small(rng));
      s.tables.emplace("x", std::move(x));
      s.segments["sequence"] = {static_cast<int32_t>(tokens)};
    }
    samples[0].spans["images"] = {{.first = 1, .rows = 3}};
    samples[1].spans["images"] = {};
    samples[2].spans["images"] = {{.first = 0, .rows = 2}, {.first = 2, .rows = 4}};
    return Batch(std::move(samples));
  }

 private:
  static LinearOp made_of(const std::string& name, TensorView weight) {
    LinearOp op;
    op.name = name;
    op.weight = std::move(weight);
    return op;
  }
};

// By query, the first key that it sees and the one behind the last.
using Seen = std::vector<kernels::KeyRange>;
Seen everything_before() {
  return {{0, 1},  {0, 4},  {0, 4},  {0, 4},  {0, 5},  {5, 6},  {5, 7}, {5, 8},
          {8, 10}, {8, 10}, {8, 14}, {8, 14}, {8, 14}, {8, 14}, {8, 15}};
}
Seen window_of_two() {
  return {{0, 1},  {0, 4},  {1, 4},  {1, 4},   {3, 5},   {5, 6},   {5, 7},  {6, 8},
          {8, 10}, {8, 10}, {9, 14}, {10, 14}, {10, 14}, {10, 14}, {13, 15}};
}

// Row by row the mean of the rows of v that are seen.
PlainValue means(const Seen& seen, const PlainValue& v) {
  PlainValue y(v.rows, v.cols);
  for (size_t query = 0; query < seen.size(); ++query)
    for (int64_t key = seen[query].from; key < seen[query].to; ++key)
      for (int64_t c = 0; c < v.cols; ++c)
        y.at(static_cast<int64_t>(query), c) +=
            v.at(key, c) / static_cast<double>(seen[query].to - seen[query].from);
  return y;
}

PlainValue product(const PlainValue& x, const PlainValue& weight) {
  PlainValue y(x.rows, weight.rows);
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t o = 0; o < weight.rows; ++o)
      for (int64_t i = 0; i < x.cols; ++i) y.at(r, o) += x.at(r, i) * weight.at(o, i);
  return y;
}

void expect_near(const PlainValue& got, const PlainValue& want) {
  ASSERT_EQ(got.numbers.size(), want.numbers.size());
  for (size_t i = 0; i < want.numbers.size(); ++i)
    EXPECT_TRUE(std::fabs(got.numbers[i] - want.numbers[i]) <= 1e-5) << i << ": " << got.numbers[i];
}

class SeenTokens : public ::testing::TestWithParam<int64_t> {  // the window
 protected:
  Attending model_{GetParam()};
  Batch batch_ = Attending::batch();
  Workspace workspace_;
  Pass pass_{model_.context, workspace_, batch_, model_.ops};
  const Seen seen_ = GetParam() == 0 ? everything_before() : window_of_two();
};
INSTANTIATE_TEST_SUITE_P(, SeenTokens, ::testing::Values(0, 2));

TEST_P(SeenTokens, ValuesAndDifferencesAreTheirMeans) {
  const quant::Format& format = quant::find_format("mxfp4a16");
  const Branch reference{.formats = std::vector<const quant::Format*>(model_.ops.size()),
                         .leaves = {{.id = 0, .overrides = {{kValueOp, &format}}}}};
  const OpRanges ranges(Threads{1}, std::vector<std::optional<quant::Range>>(model_.ops.size()));
  Variants variants(pass_, DType::f32, ranges, {reference});
  variants.run(model_.stage);

  const PlainValue x = plain(batch_.table("x"));
  const LinearOp& op = model_.ops[kValueOp];
  const PlainValue v = product(x, quantized_weight(op, nullptr));
  PlainValue change = product(x, quantized_weight(op, &format));
  for (size_t i = 0; i < v.numbers.size(); ++i) change.numbers[i] -= v.numbers[i];
  EXPECT_THAT(change.numbers, ::testing::Contains(::testing::Ne(0)));
  expect_near(plain(variants.values(0).at("hidden").matrix), means(seen_, v));
  expect_near(plain(variants.take_delta(0, "hidden").view.as<float>()), means(seen_, change));
}

TEST_P(SeenTokens, CotangentsGoBackToThem) {
  const int64_t rows = batch_.rows(Rows::tokens);
  Rng rng(6);
  const Value dy = random_value(workspace_, rng, kProbes * rows, kHeadDim);
  Cotangents cotangents;
  cotangents["hidden"] = {dy.block, view_of(Matrix<const float>(dy.matrix))};
  PlainValue want(kProbes * rows, kHeadDim), got;
  for (int64_t p = 0; p < kProbes; ++p)
    for (int64_t query = 0; query < rows; ++query) {
      const kernels::KeyRange keys = seen_[static_cast<size_t>(query)];
      for (int64_t key = keys.from; key < keys.to; ++key)
        for (int64_t c = 0; c < kHeadDim; ++c)
          want.at(p * rows + key, c) += static_cast<double>(dy.matrix.row(p * rows + query)[c]) /
                                        static_cast<double>(keys.to - keys.from);
    }
  Backward(pass_, kProbes, DType::f32).run(model_.stage, {}, cotangents, [&](const ReachedOp& at) {
    if (at.op == kValueOp) got = plain(at.g.as<float>());
  });
  expect_near(got, want);
}

}  // namespace
}  // namespace qsweep::graph
