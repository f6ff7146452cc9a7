// What the program says about itself.
#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string help_of(const Arguments& arguments) {
  const Outcome outcome = run_qsweep(arguments);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

// The flag, its type, then a description, there or on the next line.
auto describes(const std::string& flag) {
  return testing::ContainsRegex("\n  " + flag + "( [A-Z]{3,}[^ \n]*)*( \\.\\.\\.)?[ \n]+[A-Za-z][^\n]{9,}");
}

TEST(Help, NamesTheSubcommands) {
  const std::string help = help_of({"--help"});
  EXPECT_THAT(
      help, AllOf(HasSubstr("inspect "), HasSubstr("score "), HasSubstr("report "), HasSubstr("--version")));
  EXPECT_THAT(help_of({"--version"}), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Help, DescribesEveryFlag) {
  const std::string score = help_of({"score", "--help"}), inspect = help_of({"inspect", "--help"});
  EXPECT_THAT(score, describes("MODEL"));
  EXPECT_THAT(inspect, describes("MODEL"));
  EXPECT_THAT(help_of({"report", "--help"}), describes("RUN"));
  for (const char* flag : {"--data", "--calib", "--format", "--ops", "--max-ops", "--samples", "--image-size",
                           "--memory", "--threads", "--precision", "--metric", "--seed"}) {
    EXPECT_THAT(score, describes(flag));
    EXPECT_THAT(inspect, describes(flag));
  }
  for (const char* flag : {"--out", "--method", "--mode", "--device", "--dry-run"})
    EXPECT_THAT(score, describes(flag));
  EXPECT_THAT(score, HasSubstr("w8a8, w8a8_dynamic"));
}

// Every setting that a run records is a flag of the help, and the other way round.
TEST(Help, HasExactlyTheRecordedSettings) {
  const Workplace place;
  const ScoreRun run =
      score_run(place, "run", testdata("tiny-qwen2.5-vl"), {"--samples", "1", "--ops", "lm_head"});
  const std::string help = help_of({"score", "--help"});
  std::vector<std::string> flags{"model"}, settings;
  const std::string start = "\n  --";
  for (size_t at = help.find(start); at != std::string::npos; at = help.find(start, at + 1)) {
    const size_t name = at + start.size();
    flags.push_back(help.substr(name, help.find_first_of(" \n", name) - name));
  }
  for (const auto& [key, value] : run.json["settings"].items()) settings.push_back(key);
  EXPECT_THAT(settings, testing::UnorderedElementsAreArray(flags));
}

}  // namespace
}  // namespace qsweep::cli
