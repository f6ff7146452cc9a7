// What the program says about itself.
#include <regex>

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
testing::AssertionResult describes(const std::string& help, const std::string& flag) {
  if (std::regex_search(help,
                        std::regex("\n  " + flag + "( [A-Z]{3,}[^ \n]*)*( \\.\\.\\.)?\\s+[A-Za-z][^\n]{9,}")))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << flag << " is not described in\n" << help;
}

const Arguments kEngineFlags{"--data",       "--calib",  "--format",  "--ops",       "--max-ops", "--samples",
                             "--image-size", "--memory", "--threads", "--precision", "--metric",  "--seed"};

TEST(Help, NamesTheSubcommands) {
  const std::string help = help_of({"--help"});
  EXPECT_THAT(
      help, AllOf(HasSubstr("inspect "), HasSubstr("score "), HasSubstr("report "), HasSubstr("--version")));
  EXPECT_TRUE(std::regex_match(help_of({"--version"}), std::regex("\\d+\\.\\d+\\.\\d+\n")));
}

TEST(Help, DescribesEveryFlag) {
  const std::string score = help_of({"score", "--help"}), inspect = help_of({"inspect", "--help"});
  EXPECT_TRUE(describes(score, "MODEL"));
  EXPECT_TRUE(describes(inspect, "MODEL"));
  EXPECT_TRUE(describes(help_of({"report", "--help"}), "RUN"));
  for (const std::string& flag : kEngineFlags) {
    EXPECT_TRUE(describes(score, flag));
    EXPECT_TRUE(describes(inspect, flag));
  }
  for (const char* flag : {"--out", "--method", "--mode", "--device", "--dry-run"})
    EXPECT_TRUE(describes(score, flag));
  EXPECT_THAT(score, HasSubstr("w8a8, w8a8_dynamic"));
}

// Every setting that a run records is a flag of the help, and the other way round.
TEST(Help, HasExactlyTheRecordedSettings) {
  const Workplace place;
  const ScoreRun run =
      score_run(place, "run", testdata("tiny-qwen2.5-vl"), {"--samples", "1", "--ops", "lm_head"});
  const std::string help = help_of({"score", "--help"});
  std::vector<std::string> flags{"model"}, settings;
  const std::regex flag("\n  --([a-z-]+)");
  for (std::sregex_iterator i(help.begin(), help.end(), flag), end; i != end; ++i) flags.push_back((*i)[1]);
  for (const auto& [key, value] : run.json["settings"].items()) settings.push_back(key);
  EXPECT_THAT(settings, testing::UnorderedElementsAreArray(flags));
}

}  // namespace
}  // namespace qsweep::cli
