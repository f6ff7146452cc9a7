#include "compare/other.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/schema.h"
#include "scores/synthetic.h"
#include "trained.h"

namespace qsweep::compare {
namespace {

using scores::Method;
using scores::Mode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const scores::ScoreGroup kIsolated{"w8a8", Mode::isolated, Method::exact, {}};
const scores::ScoreGroup kLeaveOneOut{"w8a8", Mode::leave_one_out, Method::exact, {}};

Ranking read(const std::string& text, const Choice& choice = {}, const scores::ScoreGroup& like = kIsolated) {
  return other_from_json(io::parse_json(text, "t"), "t", choice, like);
}

std::string refusal(const std::string& text, const Choice& choice = {}) {
  try {
    read(text, choice);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

Choice format(const std::string& name) {
  Choice choice;
  choice.format = name;
  return choice;
}

constexpr const char* kGroups = R"json({"method": "kl_div", "groups": {
  "model.language_model.layers.0.mlp.gate_proj.quant_recipe": {
    "formats": ["INT8_CFG(effective-bits: 8.0)", "FP8_CFG(effective-bits: 8.0)", "NONE(effective-bits: 16.0)"],
    "scores": [1.5, 2.5, 0.0], "costs": [1, 1, 2],
    "modules": ["model.language_model.layers.0.mlp.gate_proj", "model.language_model.layers.0.mlp.up_proj"]},
  "lm_head.quant_recipe": {"formats": ["FP8_CFG(effective-bits: 8.0)"], "scores": [3], "modules": ["lm_head"]}}})json";

TEST(Other, KeysThatMayChangeTheMeaningAreRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"groups": {"a": {"formats": ["F"], "scores": [1]}}, "smaller_is_better": true})",
       "smaller_is_better"},
      {R"({"groups": {"a": {"formats": ["F"], "scores": [1], "weight": 2}}})", "weight"},
      {R"({"groups": {"a": {"formats": ["F"], "scores": [1]}}, "layer_sensitivity": []})",
       "layer_sensitivity"},
      {R"({"layer_sensitivity": [{"layer": "lm_head", "sensitivity": 1}], "scale": "log"})", "scale"},
      {R"({"layer_sensitivity": [{"layer": "lm_head", "sensitivity": 1, "rank": 3}]})", "rank"},
      {R"({"fallback": {"lm_head": 1}, "metric": "cosine"})", "metric"},
      {R"({"fallback": {"scores": {"lm_head": 1}, "normalized": true}})", "normalized"},
      {R"({"fp32_fallback_sensitivity": [{"op_name": "lm_head", "mse": 1, "count": 2}]})", "count"}};
  for (const auto& [text, key] : cases)
    EXPECT_THAT(refusal(text), HasSubstr("unknown key \"" + std::string(key) + "\", which may change"))
        << text;
  EXPECT_EQ(
      refusal(R"({"fallback": {"scores": {"lm_head": 1}, "seconds_per_op": {}}, "threads": 2, "cpu": "x"})"),
      "accepted")
      << "how it was made changes nothing";
}

TEST(Other, ModelOptGroups) {
  const Ranking fp8 = read(kGroups, format("fp8"));
  EXPECT_EQ(fp8.what, "ModelOpt kl_div, FP8_CFG(effective-bits: 8.0)");
  EXPECT_FALSE(fp8.smallest_first);
  ASSERT_EQ(fp8.entries.size(), 2u);
  EXPECT_EQ(fp8.entries[0].score, 2.5);
  EXPECT_THAT(fp8.entries[0].members,
              ElementsAre("model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(fp8.names_first_members);
  const Ranking int8 = read(kGroups, format("INT8_CFG(effective-bits: 8.0)"));
  ASSERT_EQ(int8.entries.size(), 1u);
  EXPECT_EQ(int8.unscored[0].first, "lm_head");
  EXPECT_THAT(refusal(kGroups),
              HasSubstr("t: groups: expected scores of one format, found INT8_CFG(effective-bits: "
                        "8.0); FP8_CFG(effective-bits: 8.0): choose with --other-format"));
  EXPECT_THAT(refusal(kGroups, format("nvfp4")), HasSubstr("choose with --other-format"));
}

TEST(Other, PublishedListsOfLayers) {
  const Ranking list = read(R"({"scheme": {}, "layer_sensitivity": [
    {"layer": "language_model.layers.28.mlp.gate_proj", "num_bits": 8.0, "sensitivity": 1.8, "size_cost": 2},
    {"layer": "model.visual.patch_embed.proj.quant_recipe", "sensitivity": 0}]})");
  ASSERT_EQ(list.entries.size(), 2u);
  EXPECT_EQ(list.entries[0].name, "model.layers.28.mlp.gate_proj");
  EXPECT_EQ(list.entries[0].score, 1.8);
  EXPECT_EQ(list.entries[1].name, "visual.patch_embed.proj");
  EXPECT_TRUE(list.names_first_members);
}

TEST(Other, NeuralCompressorMaps) {
  const std::string plain = R"({"fallback": {"lm_head.module": 3}, "requant": {"lm_head.module": 5}})";
  const std::string nested =
      R"({"ops": [], "fallback": {"scores": {"lm_head": 3}, "seconds": 1}, "requant": {"scores": {"lm_head": 5}}})";
  const std::string lists =
      R"({"fp32_fallback_sensitivity": [{"op_name": "lm_head", "op_type": "Linear", "mse": 3}],
    "int8_requant_sensitivity": [{"op_name": "lm_head", "op_type": "Linear", "mse": 5}]})";
  for (const std::string& text : {plain, nested, lists}) {
    const Ranking fallback = read(text, {}, kLeaveOneOut);
    EXPECT_EQ(fallback.entries[0].name, "lm_head");
    EXPECT_EQ(fallback.entries[0].score, 3);
    EXPECT_TRUE(fallback.smallest_first);
    EXPECT_THAT(fallback.notes[0], HasSubstr("smallest remaining error is the most sensitive"));
    EXPECT_TRUE(read(text).smallest_first) << "isolated scores meet the map of single ops";
    Choice choice;
    choice.mode = Mode::requantize;
    EXPECT_EQ(read(text, choice).entries[0].score, 5);
    EXPECT_FALSE(read(text, choice).smallest_first);
  }
  const std::string only_requant = R"({"fallback": {}, "requant": {"lm_head": 5}})";
  EXPECT_EQ(read(only_requant).entries[0].score, 5);
  Choice choice;
  choice.mode = Mode::leave_one_out;
  EXPECT_THAT(refusal(only_requant, choice), HasSubstr("t: expected scores of ops, found none"));
}

TEST(Other, PlainMapsSayWhichWayTheyAreRead) {
  const std::string map = R"({"model.language_model.layers.0.mlp.up_proj": 1, "lm_head": 2.5})";
  EXPECT_FALSE(read(map).smallest_first);
  EXPECT_THAT(read(map).notes[0], HasSubstr("the largest score is taken as the most sensitive op"));
  EXPECT_FALSE(read(map, {}, kLeaveOneOut).smallest_first)
      << "the file does not say that it is a fallback map";
  Choice choice;
  choice.mode = Mode::leave_one_out;
  EXPECT_TRUE(read(map, choice).smallest_first);
  EXPECT_EQ(read(map).entries[1].score, 2.5);
}

TEST(Other, RefusesOtherShapes) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "t: expected a JSON object, found array"},
      {"{}", "expected a qsweep run, a ModelOpt result"},
      {R"({"a": {"b": 1}})", "found the keys \"a\""},
      {R"({"error": "x", "ops": []})", "found the keys \"error\", \"ops\""},
      {R"({"schema": "qsweep.eval/1"})", "expected \"qsweep.scores/2\", found \"qsweep.eval/1\""},
      {R"({"groups": []})", "t: \"groups\": expected an object, found []"},
      {R"({"groups": {"a": 1}})", "t: groups: \"a\": expected an object, found 1"},
      {R"({"groups": {"a": {"formats": "INT8", "scores": [1]}}})",
       "\"formats\": expected an array of strings"},
      {R"({"groups": {"a": {"formats": ["INT8", "NONE"], "scores": [1]}}})",
       "t: groups: a: \"scores\": expected one for each of the 2 formats, found 1"},
      {R"({"groups": {"a": {"formats": ["INT8"], "scores": [null]}}})",
       "\"scores\": expected an array of numbers"},
      {R"({"groups": {"a": {"formats": ["NONE"], "scores": [0]}}})", "found none: choose with"},
      {R"({"groups": {}})", "found none"},
      {R"({"layer_sensitivity": {}})", "t: \"layer_sensitivity\": expected an array, found object"},
      {R"({"layer_sensitivity": []})", "expected scores of ops, found none"},
      {R"({"layer_sensitivity": [{"layer": "a"}]})", "t: layer_sensitivity[0]: missing key \"sensitivity\""},
      {R"({"layer_sensitivity": [{"layer": 1, "sensitivity": 1}]})", "\"layer\": expected a string, found 1"},
      {R"({"layer_sensitivity": [3]})", "t: layer_sensitivity[0]: expected a JSON object"},
      {R"({"fallback": [1]})", "t: \"fallback\": expected an object, found [1]"},
      {R"({"fallback": {"a": "x"}})", "t: fallback: \"a\": expected a number, found \"x\""},
      {R"({"fallback": {}, "requant": {}})", "expected scores of ops, found none"},
  };
  for (const auto& [text, expected] : cases) EXPECT_THAT(refusal(text), HasSubstr(expected)) << text;
}

// Scores of two formats and, in w8a8, of two modes and methods.
scores::Run mixed_run() {
  auto run = scores::make_run();
  const auto add = [&](const std::string& format, Mode mode, Method method) {
    for (int op = 0; op < 4; ++op) {
      auto score = scores::make_score(op, {1.0 + op, 2, 3});
      score.format = format;
      score.mode = mode;
      score.method = method;
      run.scores.push_back(score);
    }
  };
  add("w8a8", Mode::leave_one_out, Method::exact);
  add("w8a8", Mode::isolated, Method::adjoint);
  add("nvfp4", Mode::isolated, Method::exact);
  finalize(run, {}, 1);
  return run;
}

std::string choice_error(const scores::Run& run, const Choice& choice) {
  try {
    choose_group(run, "RUN", choice);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ChooseGroup, SaysWhatThereIs) {
  const auto run = mixed_run();
  EXPECT_EQ(choice_error(run, {}),
            "RUN: expected scores of one format, mode and method, found w8a8, isolated, exact; w8a8, "
            "leave-one-out, exact; w8a8, isolated, adjoint; nvfp4, isolated, exact: choose with --format, "
            "--mode, --method");
  EXPECT_THAT(choice_error(run, format("mxfp4")),
              HasSubstr("found w8a8, isolated, exact; w8a8, leave-one-out"));
  EXPECT_THAT(choice_error(scores::Run{}, {}), HasSubstr("found no scores"));
  EXPECT_EQ(choose_group(run, "RUN", format("nvfp4")).format, "nvfp4");
  Choice choice;
  choice.mode = Mode::leave_one_out;
  EXPECT_EQ(choose_group(run, "RUN", choice).mode, Mode::leave_one_out);
}

TEST(ChooseGroup, TheOtherSidePrefersWhatIsAlike) {
  const auto run = mixed_run();
  EXPECT_EQ(choose_group(run, "OTHER", {}, &kLeaveOneOut).mode, Mode::leave_one_out);
  const scores::ScoreGroup adjoint = choose_group(
      run, "OTHER", {.format = {}, .mode = {}, .method = Method::adjoint, .metric = {}}, &kIsolated);
  EXPECT_EQ(adjoint.method, Method::adjoint);
  EXPECT_EQ(choose_group(run, "OTHER", format("nvfp4"), &kIsolated).format, "nvfp4");
}

TEST(RankingOf, ARunOfOtherKind) {
  auto run = mixed_run();
  const Ranking isolated = other_from_json(scores::to_json(run), "t", {}, kIsolated);
  EXPECT_EQ(isolated.what, "w8a8, isolated, exact, kl:all");
  EXPECT_EQ(isolated.entries[2].score, 12);
  // all:w8a8 has 60, op 2 leaves 3 + 2 + 3.
  const Ranking taken_off = other_from_json(scores::to_json(run), "t", {}, kLeaveOneOut);
  EXPECT_FALSE(taken_off.smallest_first);
  EXPECT_EQ(taken_off.entries[2].score, 52);
  run.baselines.clear();
  const Ranking remaining = other_from_json(scores::to_json(run), "t", {}, kLeaveOneOut);
  EXPECT_TRUE(remaining.smallest_first);
  EXPECT_EQ(remaining.entries[2].score, 8);
}

TEST(RankingOf, SaysWhyAnOpHasNoScore) {
  auto run = scores::make_run();
  run.scores[0].status = scores::Status::unexercised;
  run.scores[1].measured.remove({});
  finalize(run, {}, 1);
  const Ranking ranking = ranking_of(run, choose_group(run, "RUN", {}), "RUN", {});
  EXPECT_EQ(ranking.entries.size(), 2u);
  EXPECT_THAT(ranking.unscored, ElementsAre(std::pair(run.ops[0].name, std::string("unexercised")),
                                            std::pair(run.ops[1].name, std::string("kl:all not measured"))));
  for (auto& score : run.scores) score.measured.remove({});
  finalize(run, {}, 1);
  EXPECT_THROW(ranking_of(run, choose_group(run, "RUN", {}), "RUN", {}), Error);
}

// ModelOpt's gradient scores have the formula of one of fisher's estimates.
TEST(RankingOf, AnEstimateByTheOthersFormula) {
  EXPECT_EQ(read(kGroups, format("fp8")).like_estimate, "");
  std::string groups = kGroups;
  const Ranking gradient = read(groups.replace(groups.find("kl_div"), 6, "gradient"), format("fp8"));
  EXPECT_EQ(gradient.like_estimate, "element_form");
  auto run = scores::make_run();
  finalize(run, {}, 1);
  const scores::ScoreGroup group = choose_group(run, "RUN", {});
  EXPECT_EQ(ranking_of(run, group, "RUN", {}, "element_form").what, "w8a8, isolated, exact, kl:all");
  run.scores[0].estimates = {{"token_form", 1}, {"element_form", 0.25}};
  const Ranking ranking = ranking_of(run, group, "RUN", {}, "element_form");
  EXPECT_EQ(ranking.what, "w8a8, isolated, exact, element_form");
  ASSERT_EQ(ranking.entries.size(), 1u);
  EXPECT_EQ(ranking.entries[0].score, 0.25);
  EXPECT_THAT(ranking.unscored,
              Contains(std::pair(run.ops[1].name, std::string("element_form not measured"))));
}

TEST(RankingOf, LocalScoresAreByTheErrorAtTheOp) {
  auto run = scores::make_run();
  for (auto& score : run.scores) {
    score.method = Method::local;
    score.measured = scores::Measured::none();
    score.per_sample.resize(1);
  }
  finalize(run, {}, 1);
  const Ranking ranking = ranking_of(run, choose_group(run, "RUN", {}), "RUN", {});
  EXPECT_EQ(ranking.what, "w8a8, isolated, local, relative error at the op");
  EXPECT_EQ(ranking.entries[0].score, 0.1);
}

}  // namespace
}  // namespace qsweep::compare
