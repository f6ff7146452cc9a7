// Data that is read, as its users write it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DataRun : public ::testing::Test {
 protected:
  ScoreRun run(const std::string& lines, const std::string& name = "data.jsonl") const {
    return score_run(place, "run", tiny, {"--data", place.write(name, lines), "--ops", "lm_head"});
  }

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const Workplace place;
};

constexpr const char* kQuestion = R"({"id": 0, "messages": [{"role": "user", "content": "What is it?"}]})";

TEST_F(DataRun, WarnsWhereNothingIsAnAnswer) {
  constexpr const char* kWarning = "no position of --data is an answer";
  const ScoreRun without = run(kQuestion);
  EXPECT_THAT(without.outcome.err, HasSubstr(kWarning));
  EXPECT_EQ(without.json["data"]["answer_tokens"], 0);
  EXPECT_THAT(read_text(without.folder + "/report.md"), HasSubstr("The data has no answer token"));
  const ScoreRun with = run(kQuestion + std::string("\n") +
                            R"({"id": 1, "messages": [{"role": "assistant", "content": "\nA circle."}]})");
  EXPECT_THAT(with.outcome.err, Not(HasSubstr(kWarning)));
  EXPECT_TRUE(with.json["data"]["answer_tokens"] > 0);
}

TEST_F(DataRun, PathsNeedNotBeUtf8) {
  const std::string latin = "caf\xe9/";
  const std::string data = place.write(latin + "data\xe9.jsonl", kQuestion);
  const std::string model = place.copy_model(latin + "model\xe9");
  const std::string recipe =
      place.write(latin + "recipe\xe9.json", R"({"name": "r", "rules": [{"ops": "*", "format": "w8a8"}]})");
  const ScoreRun scored =
      score_run(place, latin + "run", model, {"--data", data, "--calib", data, "--ops", "lm_head"});
  EXPECT_EQ(scored.outcome.code, 0) << scored.outcome.err;
  EXPECT_EQ(run_qsweep({"report", scored.folder}).code, 0);
  EXPECT_EQ(run_qsweep({"compare", scored.folder, scored.folder, "--out", place.at(latin + "out")}).code, 0);
  const EvalRun evaluated =
      eval_run(place, latin + "eval", model, {"--data", data, "--recipe", recipe, "--scores", scored.folder});
  EXPECT_EQ(evaluated.outcome.code, 0) << evaluated.outcome.err;
}

}  // namespace
}  // namespace qsweep::cli
