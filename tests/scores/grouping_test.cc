// Which ops belong together, and what measured groups are worth in sums and predictions.
#include "scores/grouping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/finalize.h"
#include "scores/joint.h"
#include "scores/schema.h"
#include "scores/sketches.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// The synthetic run with its ops 1 and 2 measured together, 20 where their sum is 24, and in another format.
Run with_groups() {
  Run run = make_run();
  GroupScore group;
  group.name = "pair";
  group.ops = {1, 2};
  group.format = "w8a8";
  group.effective_bits = 8.25;
  group.per_sample = make_score(0, {5, 6, 9}).per_sample;
  run.groups.push_back(group);
  group.format = "nvfp4";
  group.status = Status::uncalibrated;
  group.per_sample.clear();
  run.groups.push_back(group);
  return run;
}

TEST(Groups, OfOpsByTheirNames) {
  const auto op = [](const char* name, std::optional<int64_t> block, const char* role,
                     std::optional<std::string> fused = {}) {
    return OpRecord{.name = name, .tower = "language", .block = block, .role = role, .fusion_group = fused};
  };
  const std::vector<OpRecord> ops{op("l.0.q", 0, "q", "l.0.qkv"), op("l.0.o", 0, "o"),
                                  op("l.0.k", 0, "k", "l.0.qkv"), op("l.1.q", 1, "q", "l.1.qkv"),
                                  op("l.1.k", 1, "k", "l.1.qkv"), op("head", {}, "head")};
  const auto of = [&](Grouping grouping) {
    std::vector<std::pair<std::string, std::vector<size_t>>> groups;
    for (const OpGroup& group : groups_of(ops, grouping)) groups.emplace_back(group.name, group.ops);
    return groups;
  };
  const auto group = [](const char* name, std::vector<size_t> members) {
    return std::pair(std::string(name), std::move(members));
  };
  EXPECT_THAT(of(Grouping::fused), ElementsAre(group("l.0.qkv", {0, 2}), group("l.0.o", {1}),
                                               group("l.1.qkv", {3, 4}), group("head", {5})));
  EXPECT_THAT(of(Grouping::block), ElementsAre(group("language block 0", {0, 1, 2}),
                                               group("language block 1", {3, 4}), group("head", {5})));
  EXPECT_THAT(of(Grouping::role), ElementsAre(group("language qkv", {0, 2, 3, 4}), group("language o", {1}),
                                              group("language head", {5})));
  EXPECT_EQ(of(Grouping::op).size(), 6u);
}

TEST(Groups, TheLargestThatFitAreTaken) {
  const std::vector<Names> groups{{"a", "b"}, {"c", "d", "e"}, {"d", "f"}, {}, {"f", "x"}, {"b", "c"}};
  std::set<std::string> ops{"a", "b", "c", "d", "e", "f"};
  EXPECT_THAT(take_groups(groups, ops), ElementsAre(0, 1));
  EXPECT_THAT(ops, ElementsAre("f"));
  ops = {"b", "c", "d", "f"};
  EXPECT_THAT(take_groups(groups, ops), ElementsAre(2, 5));
  EXPECT_THAT(ops, IsEmpty());
}

TEST(Groups, AreSummedUpAndNotRanked) {
  scores::Run with = with_groups(), without = make_run();
  finalize(with, kKl, 1);
  finalize(without, kKl, 1);
  EXPECT_EQ(ranks(with), ranks(without));
  EXPECT_EQ(with.groups[0].sum(kKl), 20);
  EXPECT_TRUE(with.groups[0].intervals.of(kKl).has_value());
  EXPECT_EQ(sum_of_ops(with, with.groups[0], kKl), 24);
  EXPECT_TRUE(std::isnan(sum_of_ops(with, with.groups[1], kKl)));
  EXPECT_FALSE(with.groups[1].total.has_value());
  with.groups[0].per_sample[1].all.kl = INFINITY;
  finalize(with, kKl, 1);
  EXPECT_EQ(with.groups[0].status, Status::non_finite);
  EXPECT_FALSE(with.groups[0].total.has_value());
}

TEST(Groups, AFileHoldsThem) {
  scores::Run run = with_groups();
  finalize(run, kKl, 1);
  const io::Json json = to_json(run);
  const io::Json& group = json["groups"][0];
  EXPECT_EQ(group["group"], "pair");
  EXPECT_EQ(group["ops"], (io::Json{"visual.merger.mlp.0", "model.layers.0.self_attn.q_proj"}));
  EXPECT_DOUBLE_EQ(group["value"], 20.0 / 30);
  EXPECT_DOUBLE_EQ(group["sum_of_ops"], 24.0 / 30);
  EXPECT_TRUE(json["groups"][1]["metrics"].is_null());
  EXPECT_TRUE(json["groups"][1]["sum_of_ops"].is_null());
  EXPECT_EQ(json["scores"].size(), 4u);
  const scores::Run read = from_json(json, "test");
  EXPECT_EQ(to_json(read), json);
  EXPECT_EQ(read.groups[0].sum(kKl), 20);
}

TEST(Groups, FilesThatContradictThemselvesAreRefused) {
  scores::Run run = with_groups();
  finalize(run, kKl, 1);
  const auto refused = [&](auto change) -> std::string {
    io::Json json = to_json(run);
    change(json["groups"]);
    try {
      from_json(json, "test");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refused([](io::Json& groups) { groups[1]["format"] = "w8a8"; }),
              HasSubstr("groups[1]: \"pair\" is there twice in w8a8"));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["ops"][0] = "x"; }),
              HasSubstr("groups[0]: \"ops\": expected the name of one of \"ops\", found \"x\""));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["ops"][1] = groups[0]["ops"][0]; }),
              HasSubstr("groups[0]: \"ops\": expected ops in their order, each once"));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["ops"] = io::Json::array(); }), HasSubstr("\"ops\""));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["status"] = "skipped"; }), HasSubstr("\"metrics\""));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["status"] = "spread"; }), HasSubstr("\"metrics\""));
  EXPECT_THAT(refused([](io::Json& groups) { groups[1]["status"] = "ok"; }), HasSubstr("\"metrics\""));
  EXPECT_THAT(refused([](io::Json& groups) { groups[0]["metrics"]["all"]["positions"] = 29; }),
              HasSubstr("groups[0]: metrics: all"));
}

// Of ops 0 to 3 the errors are 6, 12, 12 and 3; ops 1 and 2 have 20 together, and everything 60.
TEST(Groups, StandForTheirOpsInPredictions) {
  scores::Run run = with_groups();
  finalize(run, kKl, 1);
  const JointModel model = JointModel::from_run(run, kKl);
  EXPECT_EQ(model.formats().at("w8a8").sum_all, 6 + 20 + 3);
  EXPECT_DOUBLE_EQ(model.formats().at("w8a8").kappa.value(), 60.0 / 29);
  const auto recipe = [&](std::vector<size_t> ops) {
    std::map<std::string, std::string> formats;
    for (const size_t op : ops) formats[run.ops[op].name] = "w8a8";
    return formats;
  };
  EXPECT_EQ(model.predict(recipe({0, 1, 2})).plain_sum, 26);
  EXPECT_EQ(model.predict(recipe({0, 1})).plain_sum, 18) << "a part of the group";
  EXPECT_DOUBLE_EQ(model.predict(recipe({0, 1, 2, 3})).corrected.value(), 60);

  // Parts 0 to 3 are the scores, 4 the group.
  std::vector<double> products;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) products.push_back((i + 1) * (j + 1));
  const MetricInteractions pairs{kKl, {{0, 1, 2, 3, 4}, products}};
  const auto with_pairs = [&](const std::vector<size_t>& ops) {
    return predict_all(run, recipe(ops), {&pairs, 1}).front().with_pairs.value();
  };
  EXPECT_EQ(with_pairs({0, 1, 2}), 6 + 20 + 2 * 1 * 5);
  EXPECT_EQ(with_pairs({0, 1}), 6 + 12 + 2 * 1 * 2);
}

TEST(Groups, HaveSketchesBehindThoseOfScores) {
  const TemporaryFolder folder;
  const scores::Run run = with_groups();
  Sketches written(Which::kl, 2, std::vector<std::vector<uint8_t>>{{0, 1}, {0}, {1}}, {0, 3, 4});
  for (const size_t part : written.scores())
    for (int64_t s = 0; s < 3; ++s)
      std::ranges::fill(written.of(part, s), static_cast<float>(part + 1) * static_cast<float>(s + 1));
  write_sketches(run, written, folder.path());
  EXPECT_TRUE(read_sketches(run, folder.path()) == written);
  for (const size_t part : written.scores())
    for (int64_t s = 0; s < 3; ++s)
      written.error(part, s) = {static_cast<double>(part + 1) * 10.0 + static_cast<double>(s), 1};
  const scores::Run some = on_samples(run, written, std::vector<int64_t>{0, 2});
  EXPECT_EQ(some.groups[0].sum(kKl), 50 + 52);
  EXPECT_EQ(some.groups[0].total->all.positions, 3);
  EXPECT_FALSE(some.groups[1].total.has_value());
  scores::Run other = run;
  other.groups[0].name = "others";
  EXPECT_THROW(read_sketches(other, folder.path()), Error);
  other.groups.clear();
  EXPECT_THROW(read_sketches(other, folder.path()), Error);
}

}  // namespace
}  // namespace qsweep::scores
