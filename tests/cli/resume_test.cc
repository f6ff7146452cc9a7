// Runs that are killed and go on with --resume, and what --resume refuses.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "base/rng.h"
#include "io/journal.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// What a run measured, as text: every digit counts.
std::string measured(const io::Json& json) {
  io::Json parts;
  for (const char* key : {"ops", "baselines", "reliability", "scores", "recipes"})
    if (json.contains(key)) parts[key] = json[key];
  return parts.dump();
}

class KilledSlow : public ::testing::Test {
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

TEST_F(KilledSlow, MeasuredRecipes) {
  const ScoreRun scored =
      score_run(place, "scored", tiny,
                {"--format", "w4a16_g32", "--format", "w8a16", "--ops", "*.layers.[02].*", "--sketch", "8"});
  expect_same_results({"recipe", scored.folder, "--bits", "14.5,15", "--measure", tiny, "--data",
                       testdata("data/captions.txt"), "--samples", "2", "--memory", "1G", "--threads", "2"},
                      "recipe_journal.sqlite", "recipes.json", 2);
}

// What a run's results depend on, changed once each.
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
  expect_refused(resumed({"--format", "nvfp4"}),
                 {"found another: flags: format was [\"w8a8\"], is now [\"nvfp4\"]"});
  expect_refused(resumed({"--ops", "*.0.*"}), {"ops was \"lm_head\", is now \"*.0.*\""});
  expect_refused(resumed({"--samples", "2"}), {"samples was 1, is now 2"});
  expect_refused(resumed({"--precision", "strict"}), {"precision was \"fast\", is now \"strict\""});
  expect_refused(resumed({"--memory", "1234M"}), {"memory was ", "is now \"1234M\""});
  expect_refused(resumed({"--seed", "1", "--metric", "logits_sse"}),
                 {"seed was 0, is now 1", "metric was \"kl:all\""});
  expect_refused(resumed({"--calib", with_images}), {"calib was \"none\", is now {\"file\":"});
  Arguments threads = resumed();
  *(std::find(threads.begin(), threads.end(), "--threads") + 1) = "2";
  expect_refused(threads, {"threads was 1, is now 2"});
}

// Both data files have an image of the same name beside them, one is called as a flag, one as a file of the
// model: what belongs apart is kept apart.
class OtherFiles : public BadResume {
 protected:
  void SetUp() override {
    BadResume::SetUp();
    place.copy_model("model");
    for (const std::string folder : {"data", "calib"}) {
      place.write(
          folder + "/a.jsonl",
          R"({"id": "a", "messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"},)"
          R"({"type": "image", "image": "seed"}, {"type": "image", "image": "config.json"}]},)"
          R"({"role": "assistant", "content": "yes"}]})");
      for (const char* image : {"/a.png", "/seed", "/config.json"})
        std::filesystem::copy(testdata("data/images/eval-026.png"), place.at(folder + image));
    }
    ASSERT_EQ(run_qsweep(command).code, 0);
    remember();
    resume.push_back("--resume");
    ASSERT_EQ(run_qsweep(resume).code, 0);
  }
  void expect_change(const std::string& file, const std::string& words) const {
    const std::string path = place.at(file), kept = path + ".kept";
    std::filesystem::rename(path, kept);
    std::ofstream(path, std::ios::binary) << read_text(kept) << " ";
    expect_refused(resume, {"expected the run that it was begun with, found another: " + words + " was \""});
    std::filesystem::remove(path);
    std::filesystem::rename(kept, path);
  }

  const Arguments command =
      score(place.at("model"), place.at("data/a.jsonl"), {"--calib", place.at("calib/a.jsonl")});
  Arguments resume = command;
};

TEST_F(OtherFiles, AreNamedWithWhatTheyBelongTo) {
  for (const std::string of : {"data", "calib"}) {
    expect_change(of + "/a.jsonl", of + ": file");
    for (const std::string image : {"a.png", "seed", "config.json"})
      expect_change(of + "/" + image, of + ": images: " + image);
  }
  for (const std::string file : {"config.json", "tokenizer.json", "preprocessor_config.json"})
    expect_change("model/" + file, "model: " + file);
  std::filesystem::last_write_time(place.at("model/model.safetensors"),
                                   std::filesystem::file_time_type::clock::now());
  expect_refused(resume, {"model: model.safetensors was \"4348600 bytes of "});
}

// Where one path is relative and the other is not, neither tells the place of the image within the folder.
TEST_F(OtherFiles, ImagesByAbsolutePathsAreApart) {
  const std::string first = place.at("data/a.png"), second = place.at("data/seed");
  place.write("data/b.jsonl", R"({"messages": [{"role": "user", "content": [{"type": "image", "image": ")" +
                                  first + R"("}, {"type": "image", "image": ")" + second + R"("}]}]})");
  const Surroundings there{.folder = place.at("data")};
  Arguments arguments = score(place.at("model"), "b.jsonl");
  ASSERT_EQ(run_qsweep(arguments, there).code, 0);
  std::ofstream(second, std::ios::app) << " ";
  arguments.push_back("--resume");
  const Outcome outcome = run_qsweep(arguments, there);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("data: images: "));
  EXPECT_THAT(outcome.err, HasSubstr("seed was \""));
}

TEST_F(BadResume, AnotherInstructionSet) {
  const Outcome outcome = run_qsweep(resumed(), {.environment = {{"ONEDNN_MAX_CPU_ISA", "SSE41"}}});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("found another: machine: isa was \""));
  EXPECT_THAT(outcome.err, HasSubstr("is now \"sse41\""));
}

// The paths of all values in nested objects.
void add_paths(const io::Json& json, const std::string& above, std::vector<std::string>& paths) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_object() && !value.empty())
      add_paths(value, above + key + ": ", paths);
    else
      paths.push_back(above + key);
  }
}

// What a test cannot change, such as the version of oneDNN, it can at least see: nothing is missing, and
// everything is compared.
TEST_F(OtherFiles, SlowEverythingElseIsInTheIdentity) {
  const std::string journal = place.at("run/journal.sqlite");
  const io::Json identity = [&] { return io::Journal::reopen(journal).identity(); }();
  std::vector<std::string> paths;
  add_paths(identity, "", paths);
  for (const char* path : {"program: version",
                           "program: file",
                           "machine: processor",
                           "machine: isa",
                           "machine: oneDNN",
                           "model: config.json",
                           "model: tokenizer.json",
                           "model: tokenizer_config.json",
                           "model: chat_template.jinja",
                           "model: chat_template.json",
                           "model: preprocessor_config.json",
                           "model: processor_config.json",
                           "model: model.safetensors.index.json",
                           "model: headers of the weights",
                           "model: model.safetensors",
                           "data: file",
                           "data: images: a.png",
                           "calib: file",
                           "calib: images: a.png",
                           "flags: format",
                           "flags: ops",
                           "flags: max-ops",
                           "flags: coarse",
                           "flags: samples",
                           "flags: image-size",
                           "flags: chat-template",
                           "flags: device",
                           "flags: memory",
                           "flags: threads",
                           "flags: precision",
                           "flags: metric",
                           "flags: seed",
                           "flags: mode",
                           "flags: keep-float",
                           "flags: cumulative",
                           "flags: method",
                           "flags: metrics",
                           "flags: probes",
                           "flags: hutchinson",
                           "flags: time-budget",
                           "flags: verify",
                           "flags: inc"})
    EXPECT_THAT(paths, ::testing::Contains(path));
  for (const std::string& path : paths) {
    io::Json other = identity;
    io::Json* value = &other;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find(": ", at), path.size());
      value = &(*value)[path.substr(at, end - at)];
      at = std::min(end + 2, path.size());
    }
    *value = "something else";
    { const io::Journal of_another_run = io::Journal::create(journal, other); }
    const Outcome outcome = run_qsweep(resume);
    if (path == "flags: memory") continue;  // taken from the journal where it is not given
    EXPECT_EQ(outcome.code, 2) << path;
    EXPECT_THAT(outcome.err, HasSubstr("found another: " + path + " was \"something else\", is now "))
        << path;
  }
}

TEST_F(BadResume, OtherRecipes) {
  const std::string first = place.write("a/r.json",
                                        R"({"name": "a", "rules": [{"ops": "*", "format": "w8a8"}]})"),
                    second = place.write("b/r.json",
                                         R"({"name": "b", "rules": [{"ops": "*", "format": "w8a8"}]})");
  Arguments eval{"eval", tiny,    "--data",        captions,   "--samples", "1",   "--threads",
                 "1",    "--out", place.at("run"), "--recipe", first,       second};
  ASSERT_EQ(run_qsweep(eval).code, 0);
  remember();
  eval.push_back("--resume");
  ASSERT_EQ(run_qsweep(eval).code, 0);
  place.write("b/r.json", R"({"name": "b", "rules": [{"ops": "*", "format": "w4a8"}]})");
  expect_refused(eval, {"eval_journal.sqlite", "recipes: recipe 2 was \""});
}

// A signal ends a run with a word on how to go on, and it does go on.
TEST_F(KilledSlow, BySignals) {
  const std::string journal = place.at("run/journal.sqlite");
  Arguments arguments{"score",     tiny, "--data",    testdata("data/eval.jsonl"),
                      "--memory",  "1G", "--threads", "1",
                      "--samples", "8",  "--out",     place.at("run")};
  for (const auto& [signal, name] :
       {std::pair{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGHUP, "SIGHUP"}, {SIGXCPU, "SIGXCPU"}}) {
    std::filesystem::remove_all(place.at("run"));
    const Outcome outcome = run_and_signal(arguments, {signal}, journal);
    EXPECT_EQ(outcome.code, 128 + signal) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(fmt::format("error: ended by {}; ", name)));
    EXPECT_THAT(outcome.err, EndsWith("\n"));
    const std::set<std::string> left{"journal.sqlite"};
    std::set<std::string> found;
    for (const auto& [file, content] : files_in(place.at("run"))) found.insert(file);
    EXPECT_EQ(found, left) << "the journal is closed, and there is nothing half written";
  }
  arguments.push_back("--resume");
  const Outcome resumed = run_qsweep(arguments);
  EXPECT_EQ(resumed.code, 0) << resumed.err;
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
