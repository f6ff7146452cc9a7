// Ops that are caches beside linear ones: their file, and what is predicted of both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/finalize.h"
#include "scores/grouping.h"
#include "scores/joint.h"
#include "scores/op_names.h"
#include "scores/schema.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

// make_run() and one cache, whose score is 30.
Run run_with_cache() {
  Run run = make_run();
  run.ops.push_back({.name = "model.layers.0.self_attn.kv",
                     .tower = "language",
                     .block = 0,
                     .role = "kv",
                     .in_features = 24,
                     .out_features = 24,
                     .parameters = 0,
                     .fusion_group = {},
                     .cache = CacheShape{.heads = 3, .head_dim = 4}});
  run.scores.push_back(make_score(static_cast<int>(run.ops.size()) - 1, {10, 10, 10}));
  run.scores.back().format = "kv_fp8";
  run.baselines.push_back(run.baselines[0]);
  run.baselines.back().name = "all:kv_fp8";
  run.baselines.back().per_sample = make_score(0, {5, 5, 5}).per_sample;
  finalize(run, {}, 1);
  return run;
}

TEST(CacheRecords, KeepTheirKindAndShapeInFiles) {
  const auto run = run_with_cache();
  const io::Json json = to_json(run);
  EXPECT_FALSE(json["ops"][0].contains("kind"));
  EXPECT_EQ(json["ops"].back()["kind"], "kv");
  const auto read = from_json(io::parse_json(to_text(json), "t"), "t");
  EXPECT_FALSE(read.ops[0].cache);
  ASSERT_TRUE(read.ops.back().cache);
  EXPECT_EQ(read.ops.back().cache->heads, 3);
  EXPECT_EQ(read.ops.back().cache->head_dim, 4);
  EXPECT_EQ(to_text(to_json(read)), to_text(json));
}

TEST(CacheRecords, OfOtherKindsOrSizesAreRefused) {
  const auto message_of = [](const char* key, const io::Json& value) -> std::string {
    io::Json json = to_json(run_with_cache());
    json["ops"].back()[key] = value;
    try {
      from_json(json, "t");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message_of("kind", "mamba"), ::testing::HasSubstr("\"kind\": expected \"kv\" or no such key"));
  EXPECT_THAT(message_of("heads", 2),
              ::testing::HasSubstr("\"heads\": expected heads of 4 for 24 numbers, found 2"));
  EXPECT_THAT(message_of("head_dim", 0), ::testing::HasSubstr("\"heads\""));
}

TEST(CacheRecords, HaveAGroupOfTheirOwnInABlock) {
  const auto run = run_with_cache();
  const auto groups = groups_of(run.ops, Grouping::block);
  EXPECT_EQ(groups.back().name, "model.layers.0.self_attn.kv");
  EXPECT_EQ(groups.back().ops, std::vector<size_t>{run.ops.size() - 1});
  EXPECT_TRUE(names_cache(run.ops.back().name));
  for (size_t op = 0; op + 1 < run.ops.size(); ++op) EXPECT_FALSE(names_cache(run.ops[op].name));
}

// What all ops of a kind cost together is compared with the sum over these alone.
TEST(CacheRecords, AreCorrectedByTheirOwnBaseline) {
  const auto run = run_with_cache();
  const JointModel model = JointModel::from_run(run, {});
  EXPECT_EQ(model.formats().at("kv_fp8").kappa, 0.5);
  EXPECT_TRUE(model.formats().at("w8a8").kappa.has_value());
  const Prediction prediction = model.predict({{run.ops[1].name, "w8a8"}, {run.ops.back().name, "kv_fp8"}});
  EXPECT_TRUE(prediction.complete());
}

}  // namespace
}  // namespace qsweep::scores
