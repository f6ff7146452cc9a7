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

}  // namespace
}  // namespace qsweep::pass
