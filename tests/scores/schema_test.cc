#include "scores/schema.h"

#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/csv.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/schema_parts.h"
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

void expect_refused(io::Json json, const std::function<void(io::Json&)>& damage, const std::string& message) {
  damage(json);
  try {
    from_json(json, "t");
    ADD_FAILURE() << "accepted: " << message;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

// Half the positions with the same means.
void halve_positions(io::Json& scope) {
  scope["positions"] = 15;
  scope["targets"] = 13;
  scope["top1_flips"] = 1;
  scope["ci95"] = {{"hidden_sse", nullptr},
                   {"logits_sse", nullptr},
                   {"kl", nullptr},
                   {"nll_delta", nullptr},
                   {"top1_flips", nullptr}};
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
  EXPECT_EQ(read.model.tied_embeddings, true);
  ASSERT_EQ(read.verification.size(), 2u);
  EXPECT_TRUE(read.verification[0].top && !read.verification[1].top);
  EXPECT_NEAR(read.verification[0].deviation(), 0.2, 1e-15);
  EXPECT_TRUE(std::isnan(read.verification[1].deviation()));
  EXPECT_EQ(read.verification[1].method, Method::adjoint);
}

TEST(Schema, KeysAsPublished) {
  const io::Json json = to_json(rich_run());
  EXPECT_THAT(keys(json), ElementsAre("schema", "model", "data", "settings", "provenance", "ops", "baselines",
                                      "reliability", "verification", "groups", "scores"));
  EXPECT_THAT(keys(json["model"]),
              ElementsAre("path_name", "family", "parameters", "weights_sha256_of_headers", "tied_embeddings",
                          "other_bytes"));
  EXPECT_THAT(keys(json["data"]), ElementsAre("file_name", "samples", "tokens", "answer_tokens", "images",
                                              "image_tokens", "sha256"));
  EXPECT_THAT(keys(json["ops"][0]), ElementsAre("name", "tower", "block", "role", "in_features",
                                                "out_features", "parameters", "fusion_group"));
  EXPECT_THAT(keys(json["scores"][1]),
              ElementsAre("op", "tower", "block", "role", "format", "mode", "method", "status", "flags",
                          "rank", "ranked_by", "value", "ci95_low", "ci95_high", "effective_bits",
                          "spread_from", "metrics", "local", "estimates"));
  EXPECT_EQ(keys(json["scores"][0]), keys(json["scores"][3])) << "the same columns for every status";
  EXPECT_THAT(keys(json["scores"][1]["metrics"]["all"]),
              ElementsAre("hidden_sse", "logits_sse", "kl", "nll_delta", "top1_flips", "positions", "targets",
                          "hidden_elements", "logits_elements", "ci95"));
  EXPECT_TRUE(json["scores"][1]["metrics"]["all"]["ci95"]["top1_flips"].is_null());
}

TEST(Schema, ReliabilityKeysAsPublished) {
  auto run = make_run();
  finalize(run, {}, 1);
  EXPECT_THAT(keys(to_json(run)["reliability"][0]),
              ElementsAre("format", "mode", "method", "spearman", "splits", "by_scope"));
}

// What a data frame of `scores` shows without its nested columns.
TEST(Schema, AScoreIsReadableByItself) {
  auto run = rich_run();
  const io::Json score = to_json(run)["scores"][2];
  EXPECT_EQ(score["op"], "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(score["tower"], "language");
  EXPECT_EQ(score["block"], 0);
  EXPECT_EQ(score["role"], "q_proj");
  EXPECT_EQ(score["ranked_by"], "kl:all");
  EXPECT_EQ(score["value"], 12.0 / 30);
  EXPECT_EQ(score["ci95_low"], score["metrics"]["all"]["ci95"]["kl"][0]);
  EXPECT_EQ(score["ci95_high"], score["metrics"]["all"]["ci95"]["kl"][1]);
  EXPECT_TRUE(score["spread_from"].is_null());
  const io::Json unexercised = to_json(run)["scores"][0];
  for (const char* key : {"value", "ci95_low", "rank"}) EXPECT_TRUE(unexercised[key].is_null()) << key;
  EXPECT_EQ(to_json(run)["scores"][3]["spread_from"], "model.layers.0.self_attn.q_proj");

  for (ScoreRecord& s : run.scores) {
    s.method = Method::local;
    s.measured = Measured::none();
    s.per_sample.resize(1);
  }
  run.scores[3].status = Status::ok;
  run.verification.clear();
  finalize(run, {}, 1);
  EXPECT_EQ(to_json(run)["scores"][2]["ranked_by"], "relative_error");
  EXPECT_EQ(to_json(run)["scores"][2]["value"], 0.1);
  EXPECT_TRUE(to_json(run)["scores"][2]["ci95_low"].is_null());
}

// A run as the first schema wrote it; ops by their index.
TEST(Schema, TheFirstSchemaIsStillRead) {
  const std::string path = std::string(QSWEEP_TESTDATA) + "/scores/schema-1.json";
  const io::Json old = io::read_json_file(path);
  ASSERT_EQ(old["schema"], "qsweep.scores/1");
  const auto run = from_json(old, path);
  ASSERT_EQ(run.scores.size(), old["scores"].size());
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const io::Json& was = old["scores"][i];
    EXPECT_EQ(run.scores[i].op, was["op"]);
    EXPECT_EQ(or_null(run.scores[i].rank), was["rank"]);
    if (!run.scores[i].total) continue;
    EXPECT_EQ(run.scores[i].total->all.kl, was["metrics"]["all"]["kl"]);
  }
  EXPECT_EQ(run.verification.at(0).metric, run.ranking_metric);
  EXPECT_FALSE(run.data.image_tokens.has_value());
  EXPECT_FALSE(run.model.tied_embeddings.has_value()) << "not known, and not the same as no";
  // Written anew it is a file of this schema, with the same content.
  const io::Json now = to_json(run);
  EXPECT_EQ(now["schema"], "qsweep.scores/2");
  EXPECT_EQ(now["scores"][0]["op"], old["ops"][old["scores"][0]["op"].get<size_t>()]["name"]);
  EXPECT_EQ(now["scores"][0]["metrics"], old["scores"][0]["metrics"]);
  EXPECT_EQ(to_text(to_json(from_json(now, "t"))), to_text(now));
  // A name where an index belongs, and the other way round.
  io::Json mixed = now;
  mixed["schema"] = "qsweep.scores/1";
  EXPECT_THROW(from_json(mixed, "t"), Error);
  mixed = old;
  mixed["schema"] = "qsweep.scores/2";
  EXPECT_THROW(from_json(mixed, "t"), Error);
}

TEST(Schema, AnUnexercisedOpHasNoMetricAnywhere) {
  const auto run = rich_run();
  const io::Json score = to_json(run)["scores"][0];
  EXPECT_EQ(score["status"], "unexercised");
  for (const char* key : {"metrics", "local", "rank"}) EXPECT_TRUE(score.at(key).is_null()) << key;
  EXPECT_THAT(
      to_csv(run),
      HasSubstr("visual.blocks.0.attn.qkv,vision,0,qkv,8,24,192,,w8a8,isolated,exact,unexercised,,,8.5,"
                ",,,,,,,,,,,,,,,,,,,,,kl:all,,,,,,,,,,,,,\n"));
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
       "t: \"schema\": expected \"qsweep.scores/2\", found \"qsweep.scores/9\""},
      {[](io::Json& j) { j = io::Json::array(); }, "t: expected a JSON object, found array"},
      {[](io::Json& j) { j.erase("scores"); }, "t: missing key \"scores\""},
      {[](io::Json& j) { j["ops"] = 3; }, "t: \"ops\": expected an array, found number"},
      {[](io::Json& j) { j["scores"][2]["op"] = "model.layers.9"; },
       "t: scores[2]: \"op\": expected the name of one of \"ops\", found \"model.layers.9\""},
      {[](io::Json& j) { j["scores"][2]["op"] = 2; }, "t: scores[2]: \"op\": expected a string, found 2"},
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
      {[](io::Json& j) { j["verification"][0]["op"] = "lm"; },
       "t: verification[0]: \"op\": expected the name of one of \"ops\", found \"lm\""},
      {[](io::Json& j) { j["verification"][0]["metric"] = "nll_delta"; }, "t: verification[0]: metric"},
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
  for (const auto& test : cases) expect_refused(to_json(rich_run()), test.damage, test.message);
}

// What no run could have measured: a file that was changed by hand, or by a program that misread it.
TEST(Schema, ContradictionsAreRefused) {
  const struct {
    std::function<void(io::Json&)> damage;
    const char* message;
  } cases[] = {
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["kl"] = -3; },
       "t: scores[1]: metrics: all: \"kl\": expected a non-negative sum, found -3"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["answer"]["logits_sse"] = -1e-6; },
       "t: scores[1]: metrics: answer: \"logits_sse\": expected a non-negative sum"},
      {[](io::Json& j) { j["baselines"][0]["metrics"]["all"]["hidden_sse"] = -1; },
       "t: baselines[0]: metrics: all: \"hidden_sse\": expected a non-negative sum, found -1"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["positions"] = -30; },
       "t: scores[1]: metrics: all: \"positions\": expected a value from 0"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["top1_flips"] = -1; },
       "t: scores[1]: metrics: all: \"top1_flips\": expected a value from 0"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["targets"] = 31; },
       "t: scores[1]: metrics: all: \"targets\": expected a value from 0 to 30"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["kl"] = 1000; },
       "t: scores[1]: metrics: all: ci95: \"kl\": expected an interval that holds the mean 33.3"},
      {[](io::Json& j) {
         j["scores"][1]["metrics"]["all"]["ci95"]["nll_delta"] = {5, 6};
       },
       "t: scores[1]: metrics: all: ci95: \"nll_delta\": expected an interval that holds the mean"},
      {[](io::Json& j) { j["scores"][1]["metrics"]["all"]["hidden_sse"] = nullptr; },
       "t: scores[1]: metrics: all: ci95: \"hidden_sse\": expected null for a metric without a mean"},
      {[](io::Json& j) { std::swap(j["scores"][1]["rank"], j["scores"][2]["rank"]); },
       "t: scores[1]: \"rank\": expected the order of kl:all, found"},
      {[](io::Json& j) { j["scores"][1]["rank"] = j["scores"][2]["rank"]; },
       "\"rank\": expected one of its own, found"},
      {[](io::Json& j) { j["scores"][1]["rank"] = 4; },
       "t: scores[1]: \"rank\": expected one from 1 to 3, found 4"},
      {[](io::Json& j) { j["scores"][1]["rank"] = nullptr; },
       "t: scores[1]: \"rank\": expected one from 1 to 3, found null"},
      {[](io::Json& j) {
         j["settings"]["metric"] = "logits_sse:answer";
         io::Json& first = j["scores"][2]["metrics"]["answer"];
         first["logits_sse"] = 0;
         first["ci95"]["logits_sse"] = nullptr;
       },
       "t: scores[2]: \"rank\": expected the order of logits_sse:answer, found 0 before"},
      {[](io::Json& j) { j["scores"][4]["format"] = "w8a8"; },
       "t: scores[4]: expected one score of visual.blocks.0.attn.qkv in w8a8, isolated, exact, found "
       "another: "
       "scores[0]"},
      {[](io::Json& j) { j["baselines"][0]["flipped_rows"] = 1.5; },
       "t: baselines[0]: \"flipped_rows\": expected a share from 0 to 1, found 1.5"},
      {[](io::Json& j) { j["baselines"].push_back(j["baselines"][0]); },
       "t: baselines[1]: \"name\": \"all:w8a8\" is there twice"},
      {[](io::Json& j) { halve_positions(j["scores"][4]["metrics"]["all"]); },
       "t: scores[4]: metrics: all: expected 30 positions and 27 targets as before it, found 15 and 13"},
      {[](io::Json& j) { j["scores"][1]["local"]["error_sse"] = -1; },
       "t: scores[1]: local: \"error_sse\": expected a number that is not negative, found -1"},
      {[](io::Json& j) { j["scores"][1]["local"]["input_min"] = 9; },
       "t: scores[1]: local: \"input_min\": expected at most \"input_max\" 3, found 9"},
      {[](io::Json& j) { j["scores"][1]["effective_bits"] = -8; },
       "t: scores[1]: \"effective_bits\": expected a number that is not negative"},
      {[](io::Json& j) { j["data"]["answer_tokens"] = 31; },
       "t: data: \"answer_tokens\": expected a value from 0 to 30"},
      {[](io::Json& j) { j["reliability"][0]["by_scope"]["answer"] = 1.5; },
       "t: reliability[0]: by_scope: \"answer\": expected a value from -1 to 1"},
  };
  auto run = rich_run();
  run.scores[3].status = Status::ok;
  run.scores[3].per_sample = make_score(3, {1, 1, 1}).per_sample;
  run.scores[3].spread_from.reset();
  finalize(run, {}, 5);
  for (const auto& test : cases) expect_refused(to_json(run), test.damage, test.message);
}

// Sums are of many roundings: a KL of a hair below 0 is 0.
TEST(Schema, RoundingIsNoContradiction) {
  io::Json json = to_json(rich_run());
  io::Json& kl = json["scores"][0];
  ASSERT_EQ(kl["status"], "unexercised");
  json["scores"].erase(0);
  io::Json& last = json["scores"].back();
  last["metrics"]["all"]["kl"] = -1e-12;
  last["metrics"]["all"]["ci95"]["kl"] = nullptr;
  EXPECT_NO_THROW(from_json(json, "t"));
}

TEST(Schema, NumbersThatAreNotFiniteAreRefused) {
  const std::string text = to_text(to_json(rich_run()));
  const std::string sum = "\"kl\":12.0";
  ASSERT_NE(text.find(sum), std::string::npos);
  for (const char* bad : {"\"kl\":NaN", "\"kl\":Infinity", "\"kl\":1e999"}) {
    std::string damaged = text;
    damaged.replace(damaged.find(sum), sum.size(), bad);
    EXPECT_THROW(from_json(io::parse_json(damaged, "t"), "t"), Error) << bad;
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
  EXPECT_THAT(lines[0],
              ::testing::StartsWith("op,tower,block,role,in_features,out_features,parameters,fusion_group,"
                                    "format,mode,method,status,rank,flags,"));
  EXPECT_THAT(lines[0], HasSubstr(",all_logits_elements,all_kl_per_position,answer_hidden_sse,"));
  EXPECT_THAT(
      lines[4],
      HasSubstr("model.layers.0.mlp.down_proj,language,0,down_proj,16,8,128,,w8a8,isolated,exact,ok,4,,8.5,,"
                "6,12,3,0.375,3,30,27,240,480,0.1,"));
  EXPECT_THAT(lines[3], HasSubstr(",q_proj,8,8,64,model.layers.0.qkv,w8a8,"));
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
