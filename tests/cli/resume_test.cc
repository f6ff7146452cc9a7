// Runs that are killed and go on with --resume, and what --resume refuses.
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "base/rng.h"
#include "io/journal.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// What a run measured, as text: every digit counts.
std::string measured(const io::Json& json) {
  io::Json parts;
  for (const char* key : {"ops", "baselines", "reliability", "scores", "recipes"})
    if (json.contains(key)) parts[key] = json[key];
  return parts.dump();
}

class KilledSlow : public testing::Test {
 protected:
  // Kills the run at random moments, twice in every other trial, and expects the results of a run left alone.
  // Goes on until half as many kills as trials have met a run: on a busy machine the first one may have taken
  // longest.
  void expect_same_results(const Arguments& arguments, const std::string& journal, const std::string& results,
                           int trials) const {
    const auto run_into = [&](const std::string& folder, bool resume) {
      Arguments all = arguments;
      all.insert(all.end(), {"--out", place.at(folder)});
      if (resume) all.push_back("--resume");
      return all;
    };
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(run_qsweep(run_into("alone", false)).code, 0);
    std::chrono::duration<double> takes = std::chrono::steady_clock::now() - begin;
    const std::string expected = measured(io::read_json_file(place.at("alone/" + results)));

    const uint64_t seed = kill_seed();
    std::printf("QSWEEP_SEED=%llu\n", static_cast<unsigned long long>(seed));
    Rng rng(seed);
    int killed = 0;
    int trial = 0;
    for (; trial < trials || (killed < trials / 2 && trial < 10 * trials); ++trial) {
      const std::string folder = "run" + std::to_string(trial);
      std::string moments;
      bool resume = false;
      for (int kills = 0; kills <= trial % 2; ++kills) {
        const auto after = takes * rng.uniform();
        moments += fmt::format(" {:.3f} s", after.count());
        const bool met = run_and_kill(run_into(folder, resume), after).code == 128 + SIGKILL;
        killed += met ? 1 : 0;
        if (!met) takes = after;  // it takes no longer
        resume = std::filesystem::exists(place.at(folder + "/" + journal));
      }
      SCOPED_TRACE(fmt::format("QSWEEP_SEED={}: killed after{} of {:.3f} s", seed, moments, takes.count()));
      Outcome last = run_qsweep(run_into(folder, resume));
      // Killed before the journal had its first record: nothing to go on with.
      if (last.code == 2) {
        EXPECT_THAT(last.err, HasSubstr("found an empty file"));
        last = run_qsweep(run_into(folder, false));
      }
      EXPECT_EQ(last.code, 0) << last.err;
      const std::string found = measured(io::read_json_file(place.at(folder + "/" + results)));
      EXPECT_TRUE(found == expected);
    }
    std::printf("%d kills in %d trials of %.1f s\n", killed, trial, takes.count());
    EXPECT_GE(killed, trials / 2);
  }

  // Which parts of a run's time pass before it is killed: by QSWEEP_SEED, or as the clock has it.
  static uint64_t kill_seed() {
    const char* const given = std::getenv("QSWEEP_SEED");
    if (given != nullptr) return std::strtoull(given, nullptr, 10);
    return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  }
  static int trials() { return std::getenv("QSWEEP_FULL") != nullptr ? 20 : 3; }

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const Workplace place;
};

TEST_F(KilledSlow, ExactScores) {
  expect_same_results({"score", tiny, "--data", testdata("data/eval.jsonl"), "--samples", "2", "--memory",
                       "1G", "--threads", "2", "--journal-interval", "0", "--ops", "*.[02].*"},
                      "journal.sqlite", "scores.json", trials());
}

TEST_F(KilledSlow, AutomaticScores) {
  expect_same_results(
      {"score", tiny, "--data", testdata("data/captions.txt"), "--samples", "2", "--memory", "1G",
       "--threads", "2", "--journal-interval", "0", "--method", "auto", "--ops", "*.layers.[02].*"},
      "journal.sqlite", "scores.json", trials());
}

TEST_F(KilledSlow, Recipes) {
  const std::string recipe =
      place.write("a.json", R"({"name": "a", "rules": [{"ops": "*mlp*", "format": "w8a8"}]})");
  expect_same_results({"eval", tiny, "--data", testdata("data/eval.jsonl"), "--samples", "2", "--memory",
                       "1G", "--threads", "2", "--recipe", recipe},
                      "eval_journal.sqlite", "eval.json", 2);
}

// Everything that a run's results depend on, changed once each.
class BadResume : public BadInput {
 protected:
  Arguments resumed(const Arguments& more = {}) const {
    Arguments arguments = score(tiny, captions, more);
    arguments.push_back("--resume");
    return arguments;
  }
};

TEST_F(BadResume, WithoutAJournal) {
  std::filesystem::remove(place.at("run/journal.sqlite"));
  remember();
  expect_refused(resumed(), {"run/journal.sqlite: expected the journal of an earlier run, found no file"});
}

TEST_F(BadResume, ForeignAndDamagedJournals) {
  const std::string whole = read_text(place.at("run/journal.sqlite"));
  for (const std::string& content :
       {std::string("no database, but long enough to look at"), whole.substr(0, 20000)}) {
    place.write("run/journal.sqlite", content);
    remember();
    expect_refused(resumed(), {"run/journal.sqlite: expected a run journal", "remove it to start anew"});
  }
  place.write("run/journal.sqlite", "no database, but long enough to look at");
  remember();
  expect_refused(score(tiny, captions),
                 {"run/journal.sqlite: expected a run journal", "remove it to start anew"});
}

// Without expect_refused: reading the file in this process would end the lock that it holds.
TEST_F(BadResume, BesideAnotherProcess) {
  const io::Journal held = io::Journal::reopen(place.at("run/journal.sqlite"));
  for (const Arguments& arguments : {resumed(), score(tiny, captions)}) {
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err,
                AllOf(StartsWith("error: "), EndsWith("journal.sqlite: another process is using it\n")));
  }
}

TEST_F(BadResume, OtherSettings) {
  expect_refused(resumed({"--format", "nvfp4"}), {"format was [\"w8a8\"], is now [\"nvfp4\"]"});
  expect_refused(resumed({"--ops", "*.0.*"}), {"ops was \"lm_head\", is now \"*.0.*\""});
  expect_refused(resumed({"--samples", "2"}), {"samples was 1, is now 2"});
  expect_refused(resumed({"--precision", "strict"}), {"precision was \"fast\", is now \"strict\""});
  expect_refused(resumed({"--memory", "1234M"}), {"memory was ", "is now \"1234M\""});
  expect_refused(resumed({"--seed", "1", "--metric", "logits_sse"}),
                 {"seed was 0, is now 1", "metric was \"kl:all\""});
  expect_refused(resumed({"--calib", with_images}), {"calib was \"none\", is now \""});
  Arguments threads = resumed();
  *(std::find(threads.begin(), threads.end(), "--threads") + 1) = "2";
  expect_refused(threads, {"threads was 1, is now 2"});
}

TEST_F(BadResume, OtherFiles) {
  const std::string
      model = place.copy_model("model"),
      data = place.write(
          "data/a.jsonl",
          R"({"id": "a", "messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}, {"role": "assistant", "content": "yes"}]})");
  std::filesystem::copy(testdata("data/images/eval-026.png"), place.at("data/a.png"));
  const Arguments run = score(model, data);
  ASSERT_EQ(run_qsweep(run).code, 0);
  remember();
  Arguments again = run;
  again.push_back("--resume");
  EXPECT_EQ(run_qsweep(again).code, 0);
  const auto expect_change = [&](const std::string& file, const std::string& words) {
    const std::string path = place.at(file), kept = path + ".kept";
    std::filesystem::rename(path, kept);
    std::ofstream(path, std::ios::binary) << read_text(kept) << " ";
    expect_refused(again, {"expected the run that it was begun with, found another", words});
    std::filesystem::rename(kept, path);
  };
  expect_change("data/a.jsonl", "data was \"");
  expect_change("data/a.png", "a.png was \"");
  expect_change("model/config.json", "config.json was \"");
  expect_change("model/tokenizer.json", "tokenizer.json was \"");
  expect_change("model/preprocessor_config.json", "preprocessor_config.json was \"");
  std::filesystem::last_write_time(model + "/model.safetensors",
                                   std::filesystem::file_time_type::clock::now());
  expect_refused(again, {"model.safetensors was \"4348600 bytes of "});
}

TEST_F(BadResume, AFinishedRunIsLeftAsItIs) {
  const auto before = files_in(place.at("run"));
  const Outcome outcome = run_qsweep(resumed());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("run/scores.json: the run is finished, nothing is left to do"));
  EXPECT_TRUE(files_in(place.at("run")) == before);
  std::filesystem::remove(place.at("run/scores.json"));
  remember();
  expect_refused(resumed(), {"run/scores.json: missing, though its run is finished"});
}

}  // namespace
}  // namespace qsweep::cli
