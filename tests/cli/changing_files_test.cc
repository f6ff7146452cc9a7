// Checkpoints that change while a run reads them.
#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

class ChangingFiles : public ::testing::Test {
 protected:
  // Begins a run of many passes, does something to the weights while it computes, and waits for its end.
  Outcome change_during(Arguments run, const std::string& journal,
                        const std::function<void(const std::string& weights)>& change) const {
    const Arguments more{
        "--data",       testdata("data/eval.jsonl"), "--threads", "1", "--memory", "110M", "--out",
        place.at("run")};
    run.insert(run.end(), more.begin(), more.end());
    return run_and_meet(run, place.at("run/" + journal), [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      change(model + "/model.safetensors");
    });
  }
  void expect_noticed(const Outcome& outcome, const std::string& words) const {
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("error: " + model +
                                       "/model.safetensors: the file has changed while it was in use"));
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(place.at("run/scores.json")));
    EXPECT_FALSE(std::filesystem::exists(place.at("run/eval.json")));
  }

  const Workplace place;
  const std::string model = place.copy_model("model");
};

void overwrite(const std::string& weights) {
  std::fstream file(weights, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(2'000'000);
  file << std::string(1000, '\1');
}

TEST_F(ChangingFiles, Truncated) {
  const auto truncate = [](const std::string& weights) { std::filesystem::resize_file(weights, 100'000); };
  expect_noticed(change_during({"score", model, "--format", "w8a8"}, "journal.sqlite", truncate), "");
  // The journal is whole: it says what it belongs to.
  const Outcome again =
      run_qsweep({"score", model, "--format", "w8a8", "--data", testdata("data/eval.jsonl"), "--threads", "1",
                  "--memory", "110M", "--out", place.at("run"), "--resume"});
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("model.safetensors"));
  EXPECT_THAT(again.err, Not(HasSubstr("journal")));
}

TEST_F(ChangingFiles, TruncatedDuringAnEvaluation) {
  expect_noticed(
      change_during({"eval", model, "--recipe", testdata("recipes/mixed.json")}, "eval_journal.sqlite",
                    [](const std::string& weights) { std::filesystem::resize_file(weights, 4096); }),
      "");
}

TEST_F(ChangingFiles, OverwrittenInPlace) {
  expect_noticed(change_during({"score", model, "--format", "w8a8"}, "journal.sqlite", overwrite),
                 "it was written to");
}

TEST_F(ChangingFiles, OverwrittenDuringEstimates) {
  expect_noticed(
      change_during({"score", model, "--method", "adjoint", "--probes", "16"}, "journal.sqlite", overwrite),
      "it was written to");
}

// The run goes on with the file that it has opened.
TEST_F(ChangingFiles, ReplacedByANewFile) {
  const Outcome outcome = change_during({"score", model, "--format", "w8a8", "--samples", "4"},
                                        "journal.sqlite", [](const std::string& weights) {
                                          std::filesystem::copy(weights, weights + ".new");
                                          overwrite(weights + ".new");
                                          std::filesystem::rename(weights + ".new", weights);
                                        });
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

}  // namespace
}  // namespace qsweep::cli
