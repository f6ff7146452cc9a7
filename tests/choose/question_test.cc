#include "choose/question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "small_run.h"

namespace qsweep::choose {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Question asked(const scores::Run& run, const Wishes& wishes) { return ask(run, wishes, std::nullopt); }

std::vector<std::string> decision_names(const Question& question) {
  std::vector<std::string> names;
  for (const Decision& decision : question.problem.decisions()) names.push_back(decision.name);
  return names;
}

const Decision& decision(const Question& question, const std::string& name) {
  for (const Decision& d : question.problem.decisions())
    if (d.name == name) return d;
  throw Error("no decision " + name);
}

// Formats of a decision's choices.
std::vector<std::string> formats(const Decision& decision) {
  std::vector<std::string> names;
  for (const Choice& choice : decision.choices)
    names.push_back(choice.format == nullptr ? "float" : std::string(choice.format->name));
  return names;
}

void expect_refused(const scores::Run& run, const Wishes& wishes, const std::vector<std::string>& words) {
  try {
    asked(run, wishes);
    FAIL() << "no Error, expected one with " << ::testing::PrintToString(words);
  } catch (const Error& e) {
    for (const std::string& word : words) EXPECT_THAT(e.what(), HasSubstr(word));
  }
}

const quant::Format* const kW8a8 = &quant::find_format("w8a8");

TEST(Question, FusedOpsAreOneDecision) {
  const Question question = asked(small_run(), {});
  EXPECT_THAT(decision_names(question),
              ElementsAre("model.layers.0.self_attn.qkv", "model.layers.0.mlp.down_proj",
                          "model.layers.1.mlp.down_proj", "visual.blocks.0.attn.qkv", "lm_head"));
  const Decision& qkv = question.problem.decisions().front();
  EXPECT_THAT(qkv.ops, ElementsAre(0, 1, 2));
  EXPECT_THAT(formats(qkv), ElementsAre("w8a8", "w4a16_g32", "float"));
  EXPECT_DOUBLE_EQ(qkv.choices[0].error, 1 + 2 + 3);
  EXPECT_DOUBLE_EQ(qkv.choices[1].error, 10 + 20 + 30);
  EXPECT_EQ(qkv.choices[2].error, 0);
  EXPECT_THAT(qkv.choices[1].scores, ElementsAre(7, 8, 9));
  EXPECT_EQ(question.problem.positions(), 30);
  EXPECT_THAT(question.formats, ElementsAre("w8a8", "w4a16_g32"));
  EXPECT_THAT(question.unscored, IsEmpty());
  EXPECT_THAT(question.estimated, IsEmpty());
}

TEST(Question, BitsAreThoseStoredWithTheirScales) {
  const Question question = asked(small_run(), {});
  EXPECT_EQ(question.problem.weights(), 512 + 256 + 256 + 768 + 768 + 512 + 1024);
  const Decision& down = decision(question, "model.layers.1.mlp.down_proj");
  EXPECT_EQ(down.choices[0].bits, 768 * 8 + 8 * 32) << "a scale of 32 bits per output channel";
  EXPECT_EQ(down.choices[1].bits, 768 * 4 + 8 * 3 * 16) << "a scale of 16 bits per group of 32";
  EXPECT_EQ(down.choices[2].bits, 768 * 16);
}

TEST(Question, OtherGroups) {
  EXPECT_THAT(decision_names(asked(small_run(), {.grouping = Grouping::block})),
              ElementsAre("language block 0", "language block 1", "vision block 0", "lm_head"));
  const Question roles = asked(small_run(), {.grouping = Grouping::role});
  EXPECT_THAT(decision_names(roles),
              ElementsAre("language qkv", "language down_proj", "vision qkv", "language lm_head"));
  EXPECT_THAT(decision(roles, "language down_proj").ops, ElementsAre(3, 4));
  EXPECT_EQ(asked(small_run(), {.grouping = Grouping::op}).problem.size(), 7u);
  EXPECT_EQ(parse_grouping("role"), Grouping::role);
  EXPECT_THROW(parse_grouping("layer"), Error);
}

TEST(Question, PairsWithinADecisionBelongToItsError) {
  const scores::Run run = small_run();
  const Question question = ask(run, {}, small_interactions());
  EXPECT_EQ(question.without_pairs, "");
  ASSERT_TRUE(question.problem.has_pairs());
  const Problem& problem = question.problem;
  EXPECT_DOUBLE_EQ(problem.decisions()[0].choices[0].error, 6 + 2 * 0.01 * (1 * 2 + 1 * 3 + 2 * 3));
  for (const Selection& selection :
       {Selection{0, 0, 0, 0, 0}, Selection{1, 0, 2, 1, 2}, Selection{2, 2, 2, 2, 1}}) {
    std::vector<size_t> chosen;
    for (size_t d = 0; d < problem.size(); ++d)
      for (const size_t score : problem.decisions()[d].choices[static_cast<size_t>(selection[d])].scores)
        chosen.push_back(score);
    EXPECT_NEAR(problem.predicted(selection), small_interactions().predicted(run, chosen, {}), 1e-9);
  }
}

// q, k and v of the small run measured together in one of the formats: 5 where they have 1, 2 and 3.
scores::Run with_a_group() {
  scores::Run run = small_run();
  scores::GroupScore group;
  group.name = "qkv";
  group.ops = {0, 1, 2};
  group.format = "w8a8";
  group.per_sample = scores::make_score(0, {1, 2, 2}).per_sample;
  run.groups.push_back(group);
  finalize(run, {}, 1);
  return run;
}

TEST(Question, AMeasuredGroupStandsForItsOps) {
  const scores::Run run = with_a_group();
  const Question fused = asked(run, {});
  const Decision& qkv = fused.problem.decisions().front();
  EXPECT_DOUBLE_EQ(qkv.choices[0].error, 5);
  EXPECT_THAT(qkv.choices[0].scores, ElementsAre(14));
  EXPECT_DOUBLE_EQ(qkv.choices[1].error, 10 + 20 + 30) << "a format in which it was not measured";
  EXPECT_EQ(fused.measured_groups, 1u);
  // A larger decision has the group and the ops beside it.
  const Question blocks = asked(run, {.grouping = Grouping::block});
  EXPECT_DOUBLE_EQ(blocks.problem.decisions().front().choices[0].error, 5 + 4);
  EXPECT_THAT(blocks.problem.decisions().front().choices[0].scores, ElementsAre(3, 14));
  // Single ops do not know of it.
  const Question ops = asked(run, {.grouping = Grouping::op});
  EXPECT_DOUBLE_EQ(ops.problem.decisions().front().choices[0].error, 1);
  EXPECT_EQ(ops.measured_groups, 0u);
}

TEST(Question, AMeasuredGroupHasPairsOfItsOwn) {
  const scores::Run run = with_a_group();
  std::vector<size_t> all(15);
  std::vector<double> products;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = i;
    for (size_t j = 0; j < all.size(); ++j) products.push_back(0.01 * static_cast<double>((i + 1) * (j + 1)));
  }
  const scores::Interactions interactions(all, products);
  const Question question = ask(run, {}, interactions);
  const Problem& problem = question.problem;
  EXPECT_DOUBLE_EQ(problem.decisions()[0].choices[0].error, 5) << "no pairs within";
  EXPECT_DOUBLE_EQ(problem.pair(problem.number(0, 0), problem.number(1, 0)), 0.01 * 15 * 4);
  EXPECT_DOUBLE_EQ(problem.pair(problem.number(0, 1), problem.number(1, 0)), 0.01 * (8 + 9 + 10) * 4);
  // Not known of the group: the sum is left.
  EXPECT_EQ(ask(run, {}, small_interactions()).without_pairs, "1 scores have no sketch");
}

TEST(Question, WithoutAllSketchesTheSumIsLeft) {
  EXPECT_EQ(asked(small_run(), {}).without_pairs, "the run has no sketches of the metric: score --sketch");
  const Question some = ask(small_run(), {}, scores::Interactions({0}, {1}));
  EXPECT_EQ(some.without_pairs, "13 scores have no sketch");
  EXPECT_FALSE(some.problem.has_pairs());
  EXPECT_DOUBLE_EQ(some.problem.decisions()[0].choices[0].error, 6);
}

TEST(Question, OpsWithoutAScoreStayFloatWithTheirGroup) {
  scores::Run run = small_run();
  for (const size_t op : {1, 6})
    for (const bool four_bits : {false, true}) {
      run.scores[score_of(op, four_bits)].status = scores::Status::uncalibrated;
      run.scores[score_of(op, four_bits)].total.reset();
    }
  const Question question = asked(run, {.grouping = Grouping::block});
  EXPECT_THAT(question.unscored, ElementsAre("model.layers.0.self_attn.k_proj", "lm_head"));
  EXPECT_THAT(question.with_unscored,
              ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"));
  EXPECT_THAT(formats(decision(question, "lm_head")), ElementsAre("float"));
  EXPECT_THAT(formats(decision(question, "language block 0")), ElementsAre("w8a8", "w4a16_g32", "float"))
      << "down_proj is free";
  EXPECT_EQ(question.problem.weights(), 4096) << "bits are shared out over all ops";
}

// An expert that no token chose, of a layer whose experts are stored as one.
TEST(Question, OpsThatNothingReachedFollowTheirGroup) {
  scores::Run run = small_run();
  const auto leave_unreached = [&](size_t op) {
    for (const bool four_bits : {false, true}) {
      run.scores[score_of(op, four_bits)].status = scores::Status::unexercised;
      run.scores[score_of(op, four_bits)].total.reset();
    }
  };
  leave_unreached(1);
  const Question question = asked(run, {});
  EXPECT_THAT(question.followers, ElementsAre("model.layers.0.self_attn.k_proj"));
  EXPECT_THAT(question.with_unscored, IsEmpty());
  EXPECT_THAT(question.unscored, IsEmpty());
  const Decision& qkv = question.problem.decisions().front();
  EXPECT_THAT(formats(qkv), ElementsAre("w8a8", "w4a16_g32", "float"));
  EXPECT_THAT(qkv.choices[0].scores, ElementsAre(0, 2));
  EXPECT_DOUBLE_EQ(qkv.choices[0].error, 1 + 3);
  EXPECT_EQ(qkv.choices[0].bits, decision(asked(small_run(), {}), qkv.name).choices[0].bits);
  EXPECT_EQ(formats_of(run, question.problem, Selection(question.problem.size(), 0))
                .at("model.layers.0.self_attn.k_proj"),
            "w8a8");

  // A whole group that nothing reached has no format.
  for (const size_t op : {0, 2}) leave_unreached(op);
  EXPECT_THAT(asked(run, {}).followers, IsEmpty());
  EXPECT_EQ(asked(run, {}).unscored.size(), 3u);
}

TEST(Question, AFormatWithoutAScoreIsNoChoice) {
  scores::Run run = small_run();
  run.scores[score_of(0, true)].total.reset();
  run.scores[score_of(0, true)].status = scores::Status::non_finite;
  const Question question = asked(run, {});
  EXPECT_THAT(formats(question.problem.decisions().front()), ElementsAre("w8a8", "float"));
  EXPECT_THAT(question.unscored, IsEmpty());
  EXPECT_THAT(asked(run, {.formats = {"w4a16_g32"}}).unscored.size() +
                  asked(run, {.formats = {"w4a16_g32"}}).with_unscored.size(),
              3u);
}

TEST(Question, FixedFormats) {
  const Question question = asked(small_run(), {.fixed = {{"*.down_proj", kW8a8, "--fix"},
                                                          {"model.layers.1.*", nullptr, "--keep-float"},
                                                          {"*self_attn*", kW8a8, "--fix"}}});
  EXPECT_THAT(formats(decision(question, "model.layers.0.mlp.down_proj")), ElementsAre("w8a8"));
  EXPECT_THAT(formats(decision(question, "model.layers.1.mlp.down_proj")), ElementsAre("float"));
  EXPECT_THAT(formats(decision(question, "model.layers.0.self_attn.qkv")), ElementsAre("w8a8"));
  EXPECT_THAT(question.unscored, IsEmpty()) << "what is kept in float needs no score";
  const Question block =
      asked(small_run(), {.grouping = Grouping::block, .fixed = {{"*.0.mlp.*", kW8a8, "--fix"}}});
  EXPECT_EQ(block.problem.size(), 5u) << "what is fixed leaves its block";
}

TEST(Question, FixesThatCannotBe) {
  const scores::Run run = small_run();
  expect_refused(run, {.fixed = {{"*.up_proj", kW8a8, "--fix"}}},
                 {"--fix", "no op of the run matches \"*.up_proj\""});
  expect_refused(run, {.fixed = {{"*.q_proj", nullptr, "--keep-float"}}},
                 {"--keep-float", "\"*.q_proj\"", "stored as model.layers.0.self_attn.qkv", "k_proj"});
  expect_refused(run, {.fixed = {{"*.k_proj", nullptr, "--keep-float"}}}, {"--keep-float", "\"*.k_proj\""});
  expect_refused(run, {.fixed = {{"lm_head", &quant::find_format("nvfp4"), "--fix"}}},
                 {"--fix", "expected a score of lm_head in nvfp4, found none"});
  EXPECT_EQ(
      asked(run, {.grouping = Grouping::op, .fixed = {{"*.q_proj", nullptr, "--keep-float"}}}).problem.size(),
      7u);
}

TEST(Question, FormatsAreThoseOfTheRun) {
  EXPECT_THAT(formats(asked(small_run(), {.formats = {"w8a8"}}).problem.decisions().front()),
              ElementsAre("w8a8", "float"));
  expect_refused(small_run(), {.formats = {"fp8"}}, {"w8a8, w4a16_g32", "\"fp8\""});
}

TEST(Question, ScoresThatSayNothingAboutSums) {
  scores::Run run = small_run();
  for (scores::ScoreRecord& score : run.scores) score.mode = scores::Mode::leave_one_out;
  expect_refused(run, {}, {"expected isolated scores of kl:all", "w8a8 leave-one-out exact"});
  run = small_run();
  for (scores::ScoreRecord& score : run.scores) {
    score.method = scores::Method::local;
    score.measured = scores::Measured::none();
  }
  expect_refused(run, {}, {"expected isolated scores of kl:all", "w8a8 isolated local"});
}

TEST(Question, EstimatesAreNamed) {
  scores::Run run = small_run();
  for (size_t i = 0; i < 7; ++i) run.scores[i].method = scores::Method::adjoint;
  EXPECT_THAT(asked(run, {}).estimated, ElementsAre("w8a8 (adjoint)"));
}

TEST(Question, AnswersHaveTheirOwnPositions) {
  const Question question = asked(small_run(), {.metric = {scores::Which::kl, scores::Scope::answer}});
  EXPECT_EQ(question.problem.positions(), 15);
  EXPECT_DOUBLE_EQ(question.problem.decisions()[0].choices[0].error, 3);
}

TEST(Question, FormatsOfASelection) {
  const scores::Run run = small_run();
  const Question question = asked(run, {});
  EXPECT_THAT(formats_of(run, question.problem, {0, 2, 2, 1, 2}),
              ElementsAre(std::pair("model.layers.0.self_attn.k_proj", "w8a8"),
                          std::pair("model.layers.0.self_attn.q_proj", "w8a8"),
                          std::pair("model.layers.0.self_attn.v_proj", "w8a8"),
                          std::pair("visual.blocks.0.attn.qkv", "w4a16_g32")));
}

// A cache has formats of its own, which cost no bits: it stays float but where it is given one.
TEST(QuestionOfCaches, HasThemAsTheyAreGiven) {
  scores::Run run = small_run();
  const double linear = static_cast<double>(weights_of(run));
  run.ops.push_back({.name = "model.layers.0.self_attn.kv",
                     .tower = "language",
                     .block = 0,
                     .role = "kv",
                     .in_features = 8,
                     .out_features = 8,
                     .parameters = 0,
                     .fusion_group = {},
                     .cache = scores::CacheShape{.heads = 2, .head_dim = 2}});
  run.scores.push_back(scores::make_score(7, {0, 100, 100}));
  run.scores.back().format = "kv_fp8";
  scores::finalize(run, {}, 1);
  EXPECT_EQ(weights_of(run), linear);

  const auto cache_of = [](const Question& question) -> const Decision& {
    return question.problem.decisions().back();
  };
  const Question free = ask(run, {.grouping = Grouping::block}, {});
  EXPECT_EQ(cache_of(free).name, "model.layers.0.self_attn.kv");
  ASSERT_EQ(cache_of(free).choices.size(), 1u);
  EXPECT_EQ(cache_of(free).choices[0].format, nullptr);
  EXPECT_EQ(cache_of(free).choices[0].bits, 0);
  EXPECT_EQ(free.formats, (std::vector<std::string>{"w8a8", "w4a16_g32"}));
  EXPECT_TRUE(free.unscored.empty());

  const quant::Format& fp8 = quant::find_format("kv_fp8");
  const Question given =
      ask(run, {.fixed = {{"model.layers.*", &fp8, "--fix"}, {"model.layers.0.*", kW8a8, "--fix"}}}, {});
  ASSERT_EQ(cache_of(given).choices.size(), 1u);
  EXPECT_EQ(cache_of(given).choices[0].format, &fp8);
  EXPECT_EQ(cache_of(given).choices[0].bits, 0);
  EXPECT_EQ(cache_of(given).choices[0].error, 200);
}

}  // namespace
}  // namespace qsweep::choose
