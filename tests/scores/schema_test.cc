#include "scores/schema.h"

#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/csv.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// All that a file can hold: an unexercised op, a spread one, odd doubles, flags.
Run rich_run() {
  auto run = make_run();
  run.scores[0].status = Status::unexercised;
  run.scores[1].per_sample[0].all.kl = 0.1;
  run.scores[1].per_sample[1].all.logits_sse = 5e-324;
  run.scores[2].per_sample[1].all.nll_delta = -1e300 / 3;
  run.scores[2].flags = {"nonlinear", "a \"quoted\", flag"};
  run.scores[3].status = Status::spread;
  run.scores[3].spread_from = run.ops[2].name;
  run.scores.push_back(make_score(0, {1, 2, 4}));
  run.scores.back().format = "nvfp4";
  run.verification = {{.op = 2, .format = "w8a8", .top = true, .score = 12, .strict = 10},
                      {.op = 1, .format = "nvfp4", .method = Method::adjoint, .score = 1, .strict = NAN}};
  finalize(run, parse_metric("kl"), 5);
  return run;
}

std::vector<std::string> keys(const io::Json& object) {
  std::vector<std::string> found;
  for (const auto& item : object.items()) found.push_back(item.key());
  return found;
}

TEST(Schema, RoundTripIsByteIdentical) {
  const std::string text = to_text(to_json(rich_run()));
  const std::string again = to_text(to_json(from_json(io::parse_json(text, "t"), "t")));
  EXPECT_EQ(text, again);
  EXPECT_EQ(to_text(to_json(rich_run())), text);
}

TEST(Schema, RoundTripKeepsEveryDouble) {
  const auto run = rich_run();
  const auto read = from_json(io::parse_json(to_text(to_json(run)), "t"), "t");
  ASSERT_EQ(read.scores.size(), run.scores.size());
  EXPECT_EQ(read.scores[2].total->all.nll_delta, run.scores[2].total->all.nll_delta);
  EXPECT_EQ(read.scores[1].total->all.kl, run.scores[1].total->all.kl);
  EXPECT_EQ(read.scores[1].intervals.of({})->low, run.scores[1].intervals.of({})->low);
  EXPECT_EQ(read.scores[3].spread_from, run.scores[3].spread_from);
  EXPECT_EQ(read.scores[1].local->input_sum_squares, 64);
  EXPECT_EQ(read.ops[2].fusion_group, "model.layers.0.qkv");
  EXPECT_EQ(read.ranking_metric, run.ranking_metric);
  ASSERT_EQ(read.verification.size(), 2u);
  EXPECT_TRUE(read.verification[0].top && !read.verification[1].top);
  EXPECT_NEAR(read.verification[0].deviation(), 0.2, 1e-15);
  EXPECT_TRUE(std::isnan(read.verification[1].deviation()));
  EXPECT_EQ(read.verification[1].method, Method::adjoint);
}

TEST(Schema, KeysAsPublished) {
  const io::Json json = to_json(rich_run());
  EXPECT_THAT(keys(json), ElementsAre("schema", "model", "data", "settings", "provenance", "ops", "baselines",
                                      "reliability", "verification", "scores"));
  EXPECT_THAT(keys(json["model"]),
              ElementsAre("path_name", "family", "parameters", "weights_sha256_of_headers"));
  EXPECT_THAT(keys(json["data"]),
              ElementsAre("file_name", "samples", "tokens", "answer_tokens", "images", "sha256"));
  EXPECT_THAT(keys(json["ops"][0]), ElementsAre("name", "tower", "block", "role", "in_features",
                                                "out_features", "parameters", "fusion_group"));
  EXPECT_THAT(keys(json["scores"][1]),
              ElementsAre("op", "format", "mode", "method", "status", "flags", "metrics", "local",
                          "estimates", "effective_bits", "rank"));
  EXPECT_THAT(keys(json["scores"][1]["metrics"]["all"]),
              ElementsAre("hidden_sse", "logits_sse", "kl", "nll_delta", "top1_flips", "positions", "targets",
                          "hidden_elements", "logits_elements", "ci95"));
  EXPECT_TRUE(json["scores"][1]["metrics"]["all"]["ci95"]["top1_flips"].is_null());
}

TEST(Schema, ReliabilityKeysAsPublished) {
  auto run = make_run();
  finalize(run, {}, 1);
  EXPECT_THAT(keys(to_json(run)["reliability"][0]),
              ElementsAre("format", "mode", "method", "spearman", "splits"));
}

TEST(Schema, AnUnexercisedOpHasNoMetricAnywhere) {
  const auto run = rich_run();
  const io::Json score = to_json(run)["scores"][0];
  EXPECT_EQ(score["status"], "unexercised");
  for (const char* key : {"metrics", "local", "rank"}) EXPECT_TRUE(score.at(key).is_null()) << key;
  EXPECT_THAT(to_csv(run),
              HasSubstr("visual.blocks.0.attn.qkv,vision,0,qkv,w8a8,isolated,exact,unexercised,,,8.5,"
                        ",,,,,,,,,,,,,,,,,,,kl:all,,,,,,,,,,,,,\n"));
}

TEST(Schema, NonFiniteNumbersAreNeverWritten) {
  auto run = make_run();
  run.provenance["rate"] = std::numeric_limits<double>::infinity();
  run.scores[0].per_sample[0].all.kl = std::nan("");
  finalize(run, {}, 1);
  const std::string text = to_text(to_json(run));
  EXPECT_THAT(text, Not(HasSubstr(":nan")));
  EXPECT_THAT(text, Not(HasSubstr(":inf")));
  EXPECT_NO_THROW(from_json(io::parse_json(text, "t"), "t"));
}

TEST(Schema, NamesThatAreNotUtf8AreWrittenAsJson) {
  auto run = make_run();
  run.model.path_name = "tiny\xff";
  finalize(run, {}, 1);
  EXPECT_NO_THROW(io::parse_json(to_text(to_json(run)), "t"));
}

TEST(Schema, ErrorsNameThePlace) {
  const struct {
    std::function<void(io::Json&)> damage;
    const char* message;
  } cases[] = {
      {[](io::Json& j) { j["schema"] = "qsweep.scores/9"; },
       "t: \"schema\": expected \"qsweep.scores/1\", found \"qsweep.scores/9\""},
      {[](io::Json& j) { j = io::Json::array(); }, "t: expected a JSON object, found array"},
      {[](io::Json& j) { j.erase("scores"); }, "t: missing key \"scores\""},
      {[](io::Json& j) { j["ops"] = 3; }, "t: \"ops\": expected an array, found number"},
      {[](io::Json& j) { j["scores"][2]["op"] = 4; },
       "t: scores[2]: \"op\": expected a value from 0 to 3, found 4"},
      {[](io::Json& j) { j["scores"][2]["op"] = 1.5; }, "t: scores[2]: \"op\": expected a"},
      {[](io::Json& j) { j["ops"] = io::Json::array(); }, "t: scores[0]: there are scores but no ops"},
      {[](io::Json& j) { j["scores"][1]["status"] = "good"; }, "t: scores[1]: status: expected one of ok, "},
      {[](io::Json& j) { j["scores"][1]["mode"] = 1; }, "t: scores[1]: \"mode\": expected a string, found 1"},
      {[](io::Json& j) { j["scores"][1]["metrics"] = nullptr; },
       "t: scores[1]: \"metrics\": expected an object for status ok"},
      {[](io::Json& j) { j["scores"][0]["metrics"] = j["scores"][1]["metrics"]; },
       "t: scores[0]: \"metrics\": expected null for status unexercised"},
      {[](io::Json& j) { j["scores"][1].erase("metrics"); }, "t: scores[1]: missing key \"metrics\""},
      {[](io::Json& j) { j["scores"][0]["rank"] = 1; }, "t: scores[0]: \"rank\": expected null"},
      {[](io::Json& j) { j["scores"][1]["rank"] = 0; },
       "t: scores[1]: \"rank\": expected a value from 1 to 4"},
      {[](io::Json& j) { j["scores"][1]["flags"] = {1}; },
       "t: scores[1]: \"flags\": expected an array of strings"},
      {[](io::Json& j) { j["scores"][3].erase("spread_from"); }, "t: scores[3]: missing key \"spread_from\""},
      {[](io::Json& j) { j["scores"][3]["spread_from"] = "visual.blocks.9"; },
       "t: scores[3]: \"spread_from\": expected an op with status ok in the same format and mode, found "
       "\"visual.blocks.9\""},
      {[](io::Json& j) { j["scores"][3]["spread_from"] = j["ops"][0]["name"]; },
       "t: scores[3]: \"spread_from\": expected an op with status ok"},
      {[](io::Json& j) { j["scores"][2]["format"] = "nvfp4"; },
       "t: scores[3]: \"spread_from\": expected an op with status ok in the same format"},
      {[](io::Json& j) { j["verification"] = 3; }, "t: \"verification\": expected an array, found number"},
      {[](io::Json& j) { j["verification"][0]["op"] = 4; },
       "t: verification[0]: \"op\": expected a value from 0 to 3"},
      {[](io::Json& j) { j["verification"][0]["chosen"] = "best"; },
       "t: verification[0]: \"chosen\": expected \"top\" or \"random\", found \"best\""},
      {[](io::Json& j) { j["verification"][0]["method"] = "auto"; },
       "t: verification[0]: method: expected the one"},
      {[](io::Json& j) { j["verification"][1]["strict"] = "1"; },
       "t: verification[1]: \"strict\": expected a number, found \"1\""},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["kl"] = "0"; },
       "t: scores[1]: metrics: all: \"kl\": expected a number, found \"0\""},
      {[](io::Json& j) { j["scores"][1]["metrics"]["answer"]["top1_flips"] = 1000; },
       "t: scores[1]: metrics: answer: \"top1_flips\": expected a value from 0 to 15"},
      {[](io::Json& j) {
         j["scores"][1]["metrics"]["all"]["ci95"]["kl"] = {2, 1};
       },
       "t: scores[1]: metrics: all: ci95: \"kl\": expected null or [low, high], found [2,1]"},
      {[](io::Json& j) { j["ops"][1]["name"] = j["ops"][0]["name"]; },
       "t: ops[1]: \"name\": \"visual.blocks.0.attn.qkv\" is there twice"},
      {[](io::Json& j) { j["ops"][1]["in_features"] = -1; },
       "t: ops[1]: \"in_features\": expected a value from 0"},
      {[](io::Json& j) { j["settings"]["metric"] = "nll_delta"; }, "t: settings: metric \"nll_delta\""},
      {[](io::Json& j) {
         j["reliability"] = {{{"format", "w8a8"},
                              {"mode", "isolated"},
                              {"method", "exact"},
                              {"spearman", 2},
                              {"splits", 100}}};
       },
       "t: reliability[0]: \"spearman\": expected a value from -1 to 1"},
  };
  const io::Json good = to_json(rich_run());
  for (const auto& test : cases) {
    io::Json bad = good;
    test.damage(bad);
    try {
      from_json(bad, "t");
      ADD_FAILURE() << "accepted: " << test.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(test.message));
    }
  }
}

TEST(Csv, QuotesWhatNeedsIt) {
  EXPECT_EQ(csv_field("plain; text"), "plain; text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a \"b\""), "\"a \"\"b\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
  EXPECT_THAT(to_csv(rich_run()), HasSubstr(",ok,1,\"nonlinear;a \"\"quoted\"\", flag\","));
}

TEST(Csv, OneRowPerScoreWithAllColumns) {
  auto run = make_run();
  finalize(run, {}, 1);
  std::istringstream csv(to_csv(run));
  std::string line;
  std::vector<std::string> lines;
  while (std::getline(csv, line)) lines.push_back(line);
  ASSERT_EQ(lines.size(), 1 + run.scores.size());
  for (const std::string& row : lines)
    EXPECT_EQ(std::count(row.begin(), row.end(), ','), std::count(lines[0].begin(), lines[0].end(), ','))
        << row;
  EXPECT_THAT(lines[0], ::testing::StartsWith("op,tower,block,role,format,mode,method,status,rank,flags,"));
  EXPECT_THAT(lines[4],
              HasSubstr("model.layers.0.mlp.down_proj,language,0,down_proj,w8a8,isolated,exact,ok,4,,8.5,,"
                        "6,12,3,0.375,3,30,27,240,480,"));
  EXPECT_THAT(lines[4], HasSubstr(",1,100,0.1,20,-2,3,3,1,3,4"));
}

TEST(Files, WriteAndRead) {
  const TemporaryFolder folder;
  const auto run = rich_run();
  write_scores(run, folder.path());
  EXPECT_EQ(folder.read("scores.json"), to_text(to_json(run)));
  EXPECT_EQ(folder.read("scores.csv"), to_csv(run));
  EXPECT_EQ(to_text(to_json(read_scores(folder.path()))), to_text(to_json(run)));
  folder.write("scores.json", "{\"schema\":");
  EXPECT_THROW(read_scores(folder.path()), Error);
  EXPECT_THROW(read_scores(folder.path() + "/none"), Error);
}

}  // namespace
}  // namespace qsweep::scores
