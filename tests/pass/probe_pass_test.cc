// What a pass of probes tells, however it is cut and whatever it keeps.
#include "pass/probe_pass.h"

#include <cmath>
#include <map>
#include <tuple>

#include <gtest/gtest.h>

#include "pass/pass.h"
#include "pass/tiny.h"
#include "tensor/floats.h"

namespace qsweep::pass {
namespace {

using testing::Tiny;

std::vector<const models::Sample*> samples_of(const Tiny& tiny, const std::vector<int>& indices) {
  std::vector<const models::Sample*> samples;
  for (const int i : indices) samples.push_back(&tiny.data[static_cast<size_t>(i)]);
  return samples;
}

using Products = std::map<std::tuple<int, int64_t, int>, ProbeProducts>;  // op, probe, sample

Products products_of(const Tiny& tiny, const std::vector<int>& samples, int keep_every,
                     bool keep_linear_outputs = false, ReferenceValues* reference = nullptr,
                     double* logits_norm = nullptr) {
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const std::vector<ProbeSet> sets{{kernels::ProbeKind::fisher, {}, 2}};
  const auto formats = testing::formats({"w4a16_g32"});
  const Ranges ranges(tiny.model.ops.size());
  Products products;
  ProbeSinks sinks{.products =
                       [&](int op, size_t, size_t, int64_t probe, int64_t sample, const ProbeProducts& p) {
                         products[{op, probe, samples[static_cast<size_t>(sample)]}] = p;
                       },
                   .local = [](int, size_t, const scores::LocalStats&) {},
                   .trace = {},
                   .weight_error = {},
                   .logits_norm =
                       [&](int64_t, scores::Scope scope, double norm) {
                         if (logits_norm != nullptr && scope == scores::Scope::all) *logits_norm = norm;
                       },
                   .stage_done = {}};
  graph::Workspace workspace;
  run_probe_pass({.setting = {.model = tiny.model,
                              .ops = context,
                              .samples = samples_of(tiny, samples),
                              .ranges = ranges},
                  .sample_index = samples,
                  .sets = sets,
                  .formats = formats,
                  .wanted = [](size_t, size_t) { return true; },
                  .keep_every = keep_every,
                  .keep_linear_outputs = keep_linear_outputs,
                  .reference = reference},
                 workspace, sinks);
  return products;
}

// Whatever the passes, a sample's probes are the same.
TEST(ProbePass, ASampleDoesNotDependOnItsNeighbours) {
  const Tiny tiny({"eval-000", "eval-005"});
  const Products together = products_of(tiny, {0, 1}, 1);
  EXPECT_EQ(together.size(), 2u * 2 * 76);
  for (const int sample : {0, 1})
    for (const auto& [key, p] : products_of(tiny, {sample}, 1)) {
      EXPECT_TRUE(std::abs(p.token - together.at(key).token) <= 1e-4 * p.token);
      EXPECT_TRUE(std::abs(p.whole - together.at(key).whole) <= 1e-3 * std::sqrt(p.token));
    }
}

void expect_equal_bits(const Products& expected, const Products& found) {
  ASSERT_EQ(expected.size(), found.size());
  for (const auto& [key, p] : expected) {
    EXPECT_EQ(p.token, found.at(key).token);
    EXPECT_EQ(p.whole, found.at(key).whole);
  }
}

// What is not kept is computed once more, to the same bits.
TEST(ProbePass, WhatIsKeptChangesNothing) {
  const Tiny tiny({"eval-000", "eval-005"});
  const Products all = products_of(tiny, {0, 1}, 1);
  expect_equal_bits(all, products_of(tiny, {0, 1}, 4));
  expect_equal_bits(all, products_of(tiny, {0, 1}, 1, /*keep_linear_outputs=*/true));
  expect_equal_bits(all, products_of(tiny, {0, 1}, 4, /*keep_linear_outputs=*/true));
}

// The reference's values of a pass that measures variants are those of the estimator's own forward.
TEST(ProbePass, TheReferenceOfAnEarlierPassIsTakenToTheSameBits) {
  const Tiny tiny({"eval-000", "eval-005"});
  const Products own = products_of(tiny, {0, 1}, 1);
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const std::vector<Variant> variants{
      {.carried = true,
       .formats = std::vector(tiny.model.ops.size(), testing::formats({"w4a16_g32"}).front())}};
  const Ranges ranges(tiny.model.ops.size());
  ReferenceValues left;
  graph::Workspace workspace;
  run_pass({.setting =
                {.model = tiny.model, .ops = context, .samples = samples_of(tiny, {0, 1}), .ranges = ranges},
            .variants = variants,
            .live = all_of(variants),
            .reference = &left},
           workspace, {.metrics = [](VariantId, int64_t, const scores::ScopedSums&) {}});
  EXPECT_EQ(left.inputs.size(), tiny.model.stages.size());
  EXPECT_EQ(left.linear_outputs.size(), tiny.model.ops.size() - 1);
  expect_equal_bits(own, products_of(tiny, {0, 1}, 1, /*keep_linear_outputs=*/true, &left));
  EXPECT_TRUE(left.inputs.empty() && left.linear_outputs.empty());
}

// Squared logits of a sample by plain loops.
double squared_logits(const models::Model& model, const models::Sample& sample) {
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const Ranges none(model.ops.size());
  const graph::LinearOp& head = model.lm_head();
  const auto element = [](const TensorView& t, int64_t i) {
    return visit_floats(t, [&](auto values) { return double{to_float(values[static_cast<size_t>(i)])}; });
  };
  double sum = 0;
  graph::Workspace workspace;
  run_reference({.model = model, .ops = context, .samples = {&sample}, .ranges = none}, workspace,
                [&](int op, Matrix<const float> x) {
                  if (op + 1 < static_cast<int>(model.ops.size())) return;
                  for (int64_t row = 0; row < x.rows; ++row)
                    for (int64_t v = 0; v < head.out_features(); ++v) {
                      double z = head.bias ? element(*head.bias, v) : 0;
                      for (int64_t c = 0; c < x.cols; ++c)
                        z += double{x.row(row)[c]} * element(head.weight, v * x.cols + c);
                      sum += z * z;
                    }
                });
  return sum;
}

TEST(ProbePass, ABiasOfTheHeadIsInItsLogits) {
  Tiny tiny({"eval-005"});
  const auto logits_norm = [&] {
    double norm = 0;
    products_of(tiny, {0}, 1, /*keep_linear_outputs=*/false, nullptr, &norm);
    return norm;
  };
  const double without = squared_logits(tiny.model, tiny.data[0]);
  EXPECT_NEAR(logits_norm(), without, 1e-5 * without);
  graph::LinearOp& head = tiny.model.ops.back();  // any numbers of the checkpoint will do
  head.bias = TensorView{head.weight.dtype, {head.out_features()}, head.weight.data};
  const double with = squared_logits(tiny.model, tiny.data[0]);
  EXPECT_GT(std::abs(with - without), 1e-4 * without);
  EXPECT_NEAR(logits_norm(), with, 1e-5 * with);
}

}  // namespace
}  // namespace qsweep::pass
