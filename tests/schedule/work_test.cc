#include "schedule/work.h"

#include <gtest/gtest.h>

#include "pass/tiny.h"

namespace qsweep::schedule {
namespace {

using testing::Tiny;

constexpr int kLayers = 6, kVisionOps = 33;

// Of one pass over all samples with everything quantized, and every op alone.
std::vector<ProductShape> products(const Tiny& tiny) {
  const quant::Format* format = testing::formats({"w8a8"}).front();
  const size_t ops = tiny.model.ops.size();
  std::vector<pass::Variant> variants{
      {.carried = true, .formats = std::vector<const quant::Format*>(ops, format)}};
  for (size_t op = 0; op < ops; ++op) variants.push_back({.overrides = {{static_cast<int>(op), format}}});
  std::vector<int> samples;
  for (size_t s = 0; s < tiny.data.size(); ++s) samples.push_back(static_cast<int>(s));
  Tally tally(tiny.model, tiny.data, variants);
  tally.add(samples, all_of(variants));
  return tally.largest(5);
}

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

TEST(Work, TheLargestProductsAreThoseOfThePasses) {
  const Tiny text({"eval-005"});
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

TEST(Work, AVariantOfTheVisionTowerHasNoRowsOfTextAlone) {
  const Tiny mixed({"eval-000", "eval-005"});  // one image, none
  double rows = 0, squares = 0;
  for (const models::Sample& sample : mixed.data)
    add_gate_and_up(static_cast<double>(sample.token_ids.size()), sample.images.empty() ? 0 : kVisionOps,
                    rows, squares);
  const auto shapes = products(mixed);
  const auto gate = std::ranges::find(shapes, 352, &ProductShape::out);
  ASSERT_NE(gate, shapes.end());
  EXPECT_DOUBLE_EQ(gate->flops, 2 * rows * 128 * 352);
}

}  // namespace
}  // namespace qsweep::schedule
