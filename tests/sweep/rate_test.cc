#include "sweep/rate.h"

#include <gtest/gtest.h>

#include "sweep/outlook.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using testing::TinyRun;

constexpr int kLayers = 6, kVisionOps = 33;

class Rate : public ::testing::Test {
 protected:
  // Everything of w8a8 by its own, deltas in f32.
  std::vector<sweep::ProductShape> products(const TinyRun& tiny) {
    const sweep::Setting setting{tiny.model,       context,         tiny.data,
                                 tiny.calibration, /*strict=*/true, int64_t{4} << 30};
    sweep::VariantRun run(setting, sweep::make_outlook(tiny.model, tiny.data, tiny.calibration,
                                                       {.formats = testing::formats({"w8a8"})})
                                       .variants);
    run.prepare();
    plan = run.report().plan;
    return sweep::main_products(setting, run.variants(), plan);
  }

  kernels::Gemm gemm{{2}};
  const ops::Context context{gemm};
  schedule::MemoryPlan plan;
};

// Rows of all products of gate_proj and up_proj, and their sum of squares, for a sample of so many tokens:
// two parents each, and every leaf that forked before, 7 ops to a layer.
void add_gate_and_up(double tokens, int before, double& rows, double& squares) {
  for (int layer = 0; layer < kLayers; ++layer)
    for (const int at : {4, 5}) {
      const double live = tokens * (before + 7 * layer + at);
      rows += live + 2 * tokens;
      squares += live * live + 2 * tokens * tokens;
    }
}

TEST_F(Rate, MainProductsAreThoseOfThePlan) {
  const TinyRun text({"eval-005"});
  const auto shapes = products(text);
  ASSERT_EQ(shapes.size(), 5u);
  double rows = 0, squares = 0;
  add_gate_and_up(static_cast<double>(text.data[0].token_ids.size()), 0, rows, squares);
  EXPECT_EQ(shapes[0].in, 128);
  EXPECT_EQ(shapes[0].out, 352);
  EXPECT_DOUBLE_EQ(shapes[0].flops, 2 * rows * 128 * 352);
  EXPECT_EQ(shapes[0].rows, static_cast<int64_t>(squares / rows));
  for (size_t i = 1; i < shapes.size(); ++i) EXPECT_LE(shapes[i].flops, shapes[i - 1].flops);
}

TEST_F(Rate, AVariantOfTheVisionTowerHasNoRowsOfTextAlone) {
  const TinyRun mixed({"eval-000", "eval-005"});  // one image, none
  double rows = 0, squares = 0;
  for (const models::Sample& sample : mixed.data)
    add_gate_and_up(static_cast<double>(sample.token_ids.size()), sample.images.empty() ? 0 : kVisionOps,
                    rows, squares);
  const auto shapes = products(mixed);
  const auto gate = std::ranges::find(shapes, 352, &sweep::ProductShape::out);
  ASSERT_NE(gate, shapes.end());
  EXPECT_DOUBLE_EQ(gate->flops, 2 * rows * 128 * 352);
}

TEST_F(Rate, OverallRateIsByTime) {
  const std::vector<sweep::MeasuredProduct> products{{{.flops = 100}, 10}, {{.flops = 100}, 40}};
  EXPECT_DOUBLE_EQ(sweep::overall_rate(products), 200 / 12.5);
  const TinyRun text({"eval-005"});
  const auto shapes = this->products(text);
  const auto measured = sweep::measure_rates(context, std::span(shapes).first(1), plan);
  ASSERT_EQ(measured.size(), 1u);
  EXPECT_GT(measured[0].flops_per_s, 0);
  const sweep::ProductShape& shape = measured[0].shape;
  const int64_t operands = shape.rows * (shape.in + shape.out) + shape.in * shape.out;
  EXPECT_LE(4 * operands, plan.peak_bytes() - plan.base_bytes) << "not more memory than a pass";
}

}  // namespace
}  // namespace qsweep
