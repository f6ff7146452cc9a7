// What the program says about itself.
#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string help_of(const Arguments& arguments) {
  const Outcome outcome = run_qsweep(arguments);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

// The flag, its type, then a description, there or on the next line.
auto describes(const std::string& flag) {
  return ::testing::ContainsRegex("\n  " + flag + "( [A-Z]{3,}[^ \n]*)*( \\.\\.\\.)?[ \n]+[A-Za-z][^\n]{9,}");
}

TEST(Help, NamesTheSubcommands) {
  const std::string help = help_of({"--help"});
  EXPECT_THAT(
      help, AllOf(HasSubstr("inspect "), HasSubstr("score "), HasSubstr("eval "), HasSubstr("report "),
                  HasSubstr("compare "), HasSubstr("export "), HasSubstr("import "), HasSubstr("--version")));
  EXPECT_THAT(help_of({"--version"}), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Help, DescribesEveryFlag) {
  const std::string score = help_of({"score", "--help"}), inspect = help_of({"inspect", "--help"}),
                    eval = help_of({"eval", "--help"});
  for (const std::string& help : {score, inspect, eval}) EXPECT_THAT(help, describes("MODEL"));
  EXPECT_THAT(help_of({"report", "--help"}), describes("RUN"));
  for (const char* flag : {"--data", "--calib", "--samples", "--image-size", "--chat-template", "--memory",
                           "--threads", "--precision", "--metric"})
    for (const std::string& help : {score, inspect, eval}) EXPECT_THAT(help, describes(flag));
  for (const char* flag : {"--format", "--ops", "--max-ops", "--coarse", "--seed"})
    for (const std::string& help : {score, inspect}) EXPECT_THAT(help, describes(flag));
  for (const char* flag :
       {"--out", "--method", "--probes", "--metrics", "--hutchinson", "--time-budget", "--mode",
        "--keep-float", "--cumulative", "--inc", "--device", "--verify", "--trace", "--dry-run"})
    EXPECT_THAT(score, describes(flag));
  for (const char* flag : {"--recipe", "--scores", "--out", "--trace", "--dry-run"})
    EXPECT_THAT(eval, describes(flag));
  EXPECT_THAT(score, AllOf(HasSubstr("int, fp and all"), HasSubstr("w8a8, w8a8_static, w8a8_dynamic"),
                           HasSubstr("--probes INT=4")));
}

// The long flags of a help text, and the model.
std::vector<std::string> flags_of(const std::string& help) {
  std::vector<std::string> flags{"model"};
  const std::string start = "\n  --";
  for (size_t at = help.find(start); at != std::string::npos; at = help.find(start, at + 1)) {
    const size_t name = at + start.size();
    flags.push_back(help.substr(name, help.find_first_of(" \n", name) - name));
  }
  return flags;
}
std::vector<std::string> settings_of(const io::Json& run) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : run["settings"].items()) keys.push_back(key);
  return keys;
}

// Every setting that a run records is a flag of the help, and the other way round.
TEST(Help, HasExactlyTheRecordedSettings) {
  const Workplace place;
  const ScoreRun run =
      score_run(place, "run", testdata("tiny-qwen2.5-vl"), {"--samples", "1", "--ops", "lm_head"});
  EXPECT_THAT(settings_of(run.json),
              ::testing::UnorderedElementsAreArray(flags_of(help_of({"score", "--help"}))));
  EXPECT_EQ(run.json["settings"]["probes"], 4) << "as resolved";
  const EvalRun eval = eval_run(place, "eval", testdata("tiny-qwen2.5-vl"),
                                {"--samples", "1", "--recipe", testdata("recipes/mixed.json")});
  EXPECT_THAT(settings_of(eval.json),
              ::testing::UnorderedElementsAreArray(flags_of(help_of({"eval", "--help"}))));
}

}  // namespace
}  // namespace qsweep::cli
