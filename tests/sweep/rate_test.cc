#include "sweep/rate.h"

#include <gtest/gtest.h>

#include "sweep/outlook.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using testing::TinyRun;

class Rate : public ::testing::Test {
 protected:
  // Everything of w8a8 by its own, deltas in f32.
  std::vector<schedule::ProductShape> products(const TinyRun& tiny) {
    const sweep::Setting setting{tiny.model,       context,         tiny.data,
                                 tiny.calibration, /*strict=*/true, int64_t{4} << 30};
    const std::vector<pass::Variant> variants =
        sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, {.formats = testing::formats({"w8a8"})})
            .variants;
    sweep::VariantRun run(setting, variants, all_of(variants));
    run.prepare();
    plan = run.report().plan;
    return sweep::main_products(setting, variants, plan);
  }

  kernels::Gemm gemm{{2}};
  const ops::Context context{gemm};
  schedule::MemoryPlan plan;
};

TEST_F(Rate, OverallRateIsByTime) {
  const std::vector<sweep::MeasuredProduct> products{{{.flops = 100}, 10}, {{.flops = 100}, 40}};
  EXPECT_DOUBLE_EQ(sweep::overall_rate(products), 200 / 12.5);
  const TinyRun text({"eval-005"});
  const auto shapes = this->products(text);
  const auto measured = sweep::measure_rates(context, std::span(shapes).first(1), plan);
  ASSERT_EQ(measured.size(), 1u);
  EXPECT_GT(measured[0].flops_per_s, 0);
  const schedule::ProductShape& shape = measured[0].shape;
  const int64_t operands = shape.rows * (shape.in + shape.out) + shape.in * shape.out;
  EXPECT_LE(4 * operands, plan.peak_bytes() - plan.base_bytes) << "not more memory than a pass";
}

}  // namespace
}  // namespace qsweep
