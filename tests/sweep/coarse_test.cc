// Which ops are measured for others (--coarse).
#include <map>

#include <gtest/gtest.h>

#include "sweep/outlook.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::ScoreRecord;
using scores::Status;
using sweep::Coarse;
using testing::TinyRun;

class CoarseOutlook : public ::testing::Test {
 protected:
  sweep::Outlook outlook(sweep::ScoreOptions options) const {
    if (options.formats.empty()) options.formats = testing::formats({"w4a16_g32"});
    return sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, options);
  }

  // Every spread op has its representative's tower and role, which is measured; both by block: the
  // representative of each op with a block, itself where it is measured.
  std::map<std::string, std::map<int64_t, int64_t>> representatives(const sweep::Outlook& outlook) const {
    std::map<std::string, const ScoreRecord*> by_name;
    for (const ScoreRecord& r : outlook.records) by_name[op(r).name] = &r;
    std::map<std::string, std::map<int64_t, int64_t>> blocks;
    for (const ScoreRecord& record : outlook.records) {
      EXPECT_EQ(record.status == Status::spread, record.spread_from.has_value());
      if (!op(record).block || !carries_metrics(record.status)) continue;
      const ScoreRecord& from = record.spread_from ? *by_name.at(*record.spread_from) : record;
      EXPECT_EQ(from.status, Status::ok);
      EXPECT_EQ(op(from).role, op(record).role);
      EXPECT_EQ(op(from).tower, op(record).tower);
      blocks[std::string(name(op(record).tower)) + " " + op(record).role][*op(record).block] =
          *op(from).block;
    }
    return blocks;
  }
  const graph::LinearOp& op(const ScoreRecord& r) const { return tiny.model.ops[static_cast<size_t>(r.op)]; }

  static size_t count(const sweep::Outlook& outlook, Status status) {
    return static_cast<size_t>(std::ranges::count(outlook.records, status, &ScoreRecord::status));
  }

  const TinyRun tiny{{"eval-000"}};
};

using Blocks = std::map<int64_t, int64_t>;

// Six blocks in either tower: runs of four and of two.
TEST_F(CoarseOutlook, BlockTakesTheMiddleOneOfEveryFour) {
  const sweep::Outlook o = outlook({.coarse = Coarse::block});
  const auto blocks = representatives(o);
  EXPECT_EQ(blocks.size(), 7u + 5u);
  for (const auto& [role, from] : blocks)
    EXPECT_EQ(from, (Blocks{{0, 2}, {1, 2}, {2, 2}, {3, 2}, {4, 5}, {5, 5}})) << role;
  EXPECT_EQ(count(o, Status::ok), 2 * (7u + 5u) + 4) << "patch embedding, two of the merger, and lm_head";
  EXPECT_EQ(count(o, Status::ok) + count(o, Status::spread), tiny.model.ops.size());
  EXPECT_EQ(o.variants.size(), count(o, Status::ok) + 1) << "and all:f";
}

TEST_F(CoarseOutlook, RoleTakesTheMiddleOneOfTheTower) {
  for (const auto& [role, from] : representatives(outlook({.coarse = Coarse::role})))
    EXPECT_EQ(from, (Blocks{{0, 3}, {1, 3}, {2, 3}, {3, 3}, {4, 3}, {5, 3}})) << role;
}

TEST_F(CoarseOutlook, OnlyOpsThatAreAskedForStandForOthers) {
  const sweep::Outlook one = outlook({.ops_glob = "model.layers.0.*", .coarse = Coarse::block});
  EXPECT_EQ(count(one, Status::ok), 7u);
  EXPECT_EQ(count(one, Status::spread), 0u);
  // q_proj of layers 0 to 3, and of these the first three.
  const sweep::Outlook three =
      outlook({.ops_glob = "model.layers.[0-3].*.q_proj", .max_ops = 3, .coarse = Coarse::role});
  EXPECT_EQ(representatives(three).at("language q_proj"), (Blocks{{0, 1}, {1, 1}, {2, 1}}));
  EXPECT_EQ(count(three, Status::skipped), tiny.model.ops.size() - 3);
  const sweep::Outlook members = outlook({.mode = scores::Mode::requantize,
                                          .keep_float = "*.layers.[1-3].*",
                                          .ops_glob = "*.mlp.up_proj",
                                          .coarse = Coarse::block});
  EXPECT_EQ(representatives(members).at("language up_proj"), (Blocks{{1, 2}, {2, 2}, {3, 2}}));
}

TEST_F(CoarseOutlook, WhatCannotBeScoredIsNotSpreadEither) {
  const TinyRun text({"eval-005"});
  const sweep::Outlook o =
      sweep::make_outlook(text.model, text.data, text.calibration,
                          {.formats = testing::formats({"w8a8", "w8a16"}), .coarse = Coarse::role});
  EXPECT_EQ(count(o, Status::unexercised), 2 * 33u);
  EXPECT_EQ(count(o, Status::ok), 2 * 8u);
  EXPECT_EQ(count(o, Status::spread), 2 * 35u);
}

}  // namespace
}  // namespace qsweep
