// Deltas with gaps: which rows belong to which pair.
#include "graph/value.h"

#include <gtest/gtest.h>

namespace qsweep::graph {
namespace {

constexpr Rows kUnits{2};

// Samples with rows of tokens, patches and units; the second has no image.
Batch three_samples() {
  std::vector<SampleInputs> samples(3);
  samples[0].rows = {5, 8, 2};
  samples[1].rows = {3, 0, 0};
  samples[2].rows = {7, 4, 1};
  return Batch(std::move(samples));
}

// Variant 0 forks in the vision tower (samples 0 and 2), variants 1 and 2 in the language model (all
// samples).
PairTable table_of(const Batch& batch) {
  PairTable pairs(batch);
  for (const int64_t s : {0, 2}) pairs.add({0, s});
  for (const int variant : {1, 2})
    for (const int64_t s : {0, 1, 2}) pairs.add({variant, s});
  return pairs;
}

Delta delta_of(std::vector<PairRange> ranges, Rows kind) {
  return {.block = nullptr, .view = {}, .kind = kind, .ranges = std::move(ranges)};
}

TEST(PairRanges, MergeJoinsNeighboursAndKeepsGaps) {
  const auto all = merged({{0, 2}, {5, 8}}, {{2, 3}, {7, 9}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].first, 0);
  EXPECT_EQ(all[0].last, 3);
  EXPECT_EQ(all[1].first, 5);
  EXPECT_EQ(all[1].last, 9);
  EXPECT_TRUE(merged({}, {}).empty());
}

TEST(RowBlocks, AGapHasNoRowsAndLaterPairsMoveUp) {
  const Batch batch = three_samples();
  const PairTable pairs = table_of(batch);
  // The input was computed before variant 1 forked but after variant 0; variant 2's own rows follow at once.
  const Delta in = delta_of({{0, 2}, {5, 8}}, Rows::tokens);
  const Delta out = delta_of({{0, 8}}, Rows::tokens);
  EXPECT_EQ(rows_in(pairs, in.ranges, Rows::tokens), 12 + 15);
  EXPECT_EQ(rows_in(pairs, out.ranges, Rows::tokens), 12 + 15 + 15);

  const auto blocks = row_blocks(batch, pairs, out, {&in});
  ASSERT_EQ(blocks.size(), 8u);
  const int64_t rows[] = {5, 7, 5, 3, 7, 5, 3, 7}, parent[] = {0, 8, 0, 5, 8, 0, 5, 8};
  const int64_t from[] = {0, 5, -1, -1, -1, 12, 17, 20}, to[] = {0, 5, 12, 17, 20, 27, 32, 35};
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(blocks[i].rows, rows[i]) << i;
    EXPECT_EQ(blocks[i].parent, parent[i]) << i;
    EXPECT_EQ(blocks[i].in[0], from[i]) << i;
    EXPECT_EQ(blocks[i].in[1], kernels::kAbsent) << i;
    EXPECT_EQ(blocks[i].out, to[i]) << i;
  }
}

TEST(RowBlocks, InputsOfAnotherKindCountTheirOwnRows) {
  const Batch batch = three_samples();
  const PairTable pairs = table_of(batch);
  const Delta units = delta_of({{0, 2}}, kUnits), tokens = delta_of({{0, 2}}, Rows::tokens);
  const auto blocks = row_blocks(batch, pairs, tokens, {&units, nullptr});
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[1].in[0], 2);
  EXPECT_EQ(blocks[1].out, 5);
}

TEST(Workspace, MetersBlocksAndDryOnesTouchNothing) {
  Workspace dry(/*dry=*/true);
  {
    const auto block =
        dry.allocate(DType::f32, int64_t{1} << 20, int64_t{1} << 12);  // 16 GiB that nobody has
    EXPECT_NE(block->data(), nullptr);
    EXPECT_EQ(dry.held_bytes(), int64_t{1} << 34);
  }
  EXPECT_EQ(dry.held_bytes(), 0);
  EXPECT_EQ(dry.peak_bytes(), int64_t{1} << 34);
  dry.reset_peak();
  dry.pass_through(100);
  EXPECT_EQ(dry.peak_bytes(), 100);
}

}  // namespace
}  // namespace qsweep::graph
