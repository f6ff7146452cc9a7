// Threads that OpenMP does not give must not change a score: batch systems limit them by variables.
#include <cstdlib>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What a program that is started meanwhile finds in its environment.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

class Threads : public ::testing::Test {
 protected:
  ScoreRun run(const std::string& name, const std::string& threads) const {
    return score_run(place, name, testdata("tiny-qwen2.5-vl"),
                     {"--max-ops", "4", "--ops", "model*", "--format", "w8a8_dynamic", "--threads", threads});
  }
  Outcome with_default(const std::string& name) const {
    return run_qsweep({"score", testdata("tiny-qwen2.5-vl"), "--data", testdata("data/captions.txt"),
                       "--samples", "3", "--max-ops", "4", "--ops", "model*", "--format", "w8a8_dynamic",
                       "--memory", "1G", "--out", place.at(name)});
  }
  const Workplace place;
};

TEST_F(Threads, AreAsManyWhateverTheLoad) {
  const ScoreRun expected = run("expected", "2");
  const Variable dynamic("OMP_DYNAMIC", "true");
  EXPECT_EQ(run("dynamic", "2").scores(), expected.scores());
}

TEST_F(Threads, MoreThanAreGivenAreRefused) {
  for (const char* threads : {"2", "8"}) {
    const Variable limit("OMP_THREAD_LIMIT", "1");
    const Outcome outcome =
        run_qsweep({"score", testdata("tiny-qwen2.5-vl"), "--data", testdata("data/captions.txt"),
                    "--threads", threads, "--out", place.at("refused")});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("--threads"), HasSubstr("at most the 1 that OpenMP gives"),
                                   HasSubstr("OMP_THREAD_LIMIT=1"), HasSubstr(threads)));
    EXPECT_FALSE(std::filesystem::exists(place.at("refused")));
  }
}

TEST_F(Threads, AreThoseGivenWhereNoneAreAskedFor) {
  const ScoreRun expected = run("expected", "1");
  for (const auto& [name, value] : {std::pair{"OMP_THREAD_LIMIT", "1"}, {"OMP_MAX_ACTIVE_LEVELS", "0"}}) {
    const Variable limit(name, value);
    const Outcome outcome = with_default(name);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const io::Json json = io::read_json_file(place.at(name) + "/scores.json");
    EXPECT_EQ(json["scores"], expected.scores()) << name;
    EXPECT_EQ(json["settings"]["threads"], 1) << name;
  }
}

}  // namespace
}  // namespace qsweep::cli
