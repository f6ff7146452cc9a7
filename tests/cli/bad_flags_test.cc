// Command lines that ask for what is not there, and places that cannot be written.
#include <filesystem>

#include <gmock/gmock.h>

#include "bad_input.h"

namespace qsweep::cli {
namespace {

class BadFlags : public BadInput {
 protected:
  void expect_flags_refused(const Arguments& flags, const std::vector<std::string>& words) const {
    expect_refused(score(tiny, captions, flags), words);
  }
};

TEST_F(BadFlags, Subcommands) {
  expect_refused({}, {"inspect, score, eval, report, compare", "found none"});
  expect_refused({"scores"}, {"inspect, score, eval, report, compare", "found \"scores\""});
  expect_refused({"--data", "x"}, {"inspect, score, eval, report, compare", "--data"});
  expect_refused({"score"}, {"required", "qsweep score --help"});
  expect_refused({"score", tiny, "--data", captions}, {"--out is required"});
  expect_refused({"score", tiny, "--out", place.at("run")}, {"--data is required"});
  expect_refused({"score", "--data", captions, "--out", place.at("run")}, {"MODEL is required"});
  expect_refused({"inspect"}, {"MODEL is required", "qsweep inspect --help"});
  expect_refused({"report"}, {"RUN is required"});
  expect_refused({"report", place.at("none")}, {"/none: expected scores.json, eval.json", "found none"});
}

TEST_F(BadFlags, Names) {
  expect_flags_refused({"--colour", "red"}, {"--colour", "not expected"});
  expect_flags_refused({"--format", "w3a3"}, {"--format", "w3a3", "w8a8, w8a8_static, w8a8_dynamic"});
  expect_flags_refused({"--format", "w8a8", "--format", "w8a8"}, {"--format", "w8a8", "twice"});
  expect_flags_refused({"--metric", "loss"}, {"--metric", "loss", "kl, logits_sse, hidden_sse"});
  expect_flags_refused({"--metric", "kl:prompt"}, {"--metric", "all or answer", "prompt"});
  expect_flags_refused({"--metric", "nll_delta"}, {"--metric", "too noisy to rank by"});
  expect_flags_refused({"--precision", "half"}, {"--precision", "half", "fast,strict"});
  expect_flags_refused({"--mode", "all"}, {"--mode", "all", "isolated"});
  expect_flags_refused({"--method", "magic"}, {"--method", "magic", "exact"});
  expect_flags_refused({"--device", "tpu"}, {"--device", "tpu", "cpu"});
  expect_flags_refused({"--ops", "model.layers.9.*"}, {"--ops", "no op matches", "model.layers.9.*"});
  expect_flags_refused({"--ops", ""}, {"--ops", "no op matches"});
}

TEST_F(BadFlags, Numbers) {
  for (const char* flag : {"--samples", "--max-ops", "--image-size"})
    for (const char* value : {"0", "-3", "many", "2.5", "99999999999999999999"})
      expect_flags_refused({flag, value},
                           {flag, "whole number of at least 1", "found \"" + std::string(value) + "\""});
  for (const char* value : {"0", "-1", "two", "100000"})
    expect_flags_refused({"--threads", value}, {"--threads", "whole number from 1 to 1024", value});
  expect_flags_refused({"--seed", "-1"}, {"--seed", "whole number of at least 0", "-1"});
  for (const char* value : {"5x", "0", "-1G", "G", "inf", "1e300", "4 G"})
    expect_flags_refused({"--memory", value}, {"--memory", "such as 4G", value});
}

TEST_F(BadFlags, FormatsAndPresets) {
  expect_flags_refused({"--format", "INT"}, {"--format", "unknown format \"INT\"", "presets: int, fp, all"});
  expect_flags_refused({"--format", "w8a8,nvfp4"}, {"--format", "unknown format \"w8a8,nvfp4\""});
  expect_flags_refused({"--format", "int", "--format", "int"}, {"--format", "\"int\" is given twice"});
}

TEST_F(BadFlags, PathsMustNotBeEmpty) {
  expect_refused(score(tiny, ""), {"--data", "expected a path, found an empty text"});
  expect_flags_refused({"--calib", ""}, {"--calib", "expected a path, found an empty text"});
}

TEST_F(BadFlags, WhatModesDoNotTake) {
  for (const char* mode : {"isolated", "leave-one-out"}) {
    expect_flags_refused({"--mode", mode, "--keep-float", "*"},
                         {"--keep-float", "expected --mode requantize", mode});
    expect_flags_refused({"--mode", mode, "--cumulative"},
                         {"--cumulative", "expected --mode requantize", mode});
  }
  expect_flags_refused({"--mode", "requantize", "--keep-float", "model.layers.9.*"},
                       {"--keep-float", "no op matches", "model.layers.9.*"});
  // The fixture scores lm_head alone.
  for (const Arguments& more : {Arguments{}, Arguments{"--cumulative"}}) {
    Arguments flags{"--mode", "requantize", "--keep-float", "visual.*"};
    flags.insert(flags.end(), more.begin(), more.end());
    expect_flags_refused(flags, {"--keep-float", "some of the ops that --ops", "found \"visual.*\""});
  }
}

TEST_F(BadFlags, WhatMethodsDoNotTake) {
  for (const char* method : {"adjoint", "fisher", "hawq", "local", "auto"})
    for (const char* mode : {"leave-one-out", "requantize"})
      expect_flags_refused({"--method", method, "--mode", mode},
                           {"--method", "expected exact for mode " + std::string(mode), method});
  const std::pair<const char*, Arguments> cases[] = {{"--metrics", {"--metrics", "kl"}},
                                                     {"--probes", {"--probes", "8"}},
                                                     {"--hutchinson", {"--hutchinson"}},
                                                     {"--time-budget", {"--time-budget", "10s"}}};
  for (const auto& [flag, arguments] : cases)
    for (const char* method : {"exact", "fisher", "local"}) {
      if (std::string(flag) == "--metrics" && std::string(method) == "exact") continue;  // allowed
      Arguments flags{"--method", method};
      flags.insert(flags.end(), arguments.begin(), arguments.end());
      expect_flags_refused(flags, {flag, "expected --method", "found " + std::string(method)});
    }
  expect_flags_refused({"--method", "hawq", "--probes", "8"}, {"--probes", "hawq with --hutchinson"});
  expect_flags_refused({"--method", "adjoint", "--hutchinson"}, {"--hutchinson", "--method hawq", "adjoint"});
  expect_flags_refused({"--method", "adjoint", "--time-budget", "1s"},
                       {"--time-budget", "--method auto", "adjoint"});
  for (const char* method : {"fisher", "hawq"})
    expect_flags_refused({"--method", method, "--metric", "logits_sse"},
                         {"--metric", "expected kl:all or kl:answer", method, "logits_sse:all"});
}

TEST_F(BadFlags, WhatCannotBeSpread) {
  expect_flags_refused({"--coarse", "layer"}, {"--coarse", "layer", "block,role"});
  expect_flags_refused({"--coarse", "role", "--mode", "requantize", "--cumulative"},
                       {"--coarse", "expected no --cumulative"});
  expect_flags_refused({"--coarse", "block", "--method", "local"},
                       {"--coarse", "scores the output", "local"});
}

TEST_F(BadFlags, WhatCannotBeVerified) {
  for (const char* value : {"0", "-1", "some"})
    expect_flags_refused({"--verify", value}, {"--verify", "whole number from 1 to 1000000", value});
  expect_flags_refused({"--verify", "2", "--precision", "strict"}, {"--verify", "found --precision strict"});
  expect_flags_refused({"--verify", "2", "--mode", "requantize", "--cumulative"},
                       {"--verify", "found --cumulative, whose deltas are f32"});
  expect_flags_refused({"--verify", "2", "--method", "local"}, {"--verify", "scores the output", "local"});
}

TEST_F(BadFlags, ValuesOfTheEstimators) {
  for (const char* value : {"0", "-1", "1025", "2.5", "many"})
    expect_flags_refused({"--method", "adjoint", "--probes", value},
                         {"--probes", "whole number from 1 to 1024", "found \"" + std::string(value) + "\""});
  for (const char* value : {"10", "0s", "-1s", "1d", "infs", "s", "1e9h"})
    expect_flags_refused(
        {"--method", "auto", "--time-budget", value},
        {"--time-budget", "such as 90s, 10m or 1.5h", "found \"" + std::string(value) + "\""});
  expect_flags_refused({"--method", "adjoint", "--metrics", "kl,loss"},
                       {"--metrics", "loss", "kl, logits_sse"});
  expect_flags_refused({"--method", "adjoint", "--metrics", "nll_delta"},
                       {"--metrics", "too noisy to rank by"});
}

TEST_F(BadFlags, ImageSizes) {
  expect_refused(score(tiny, with_images, {"--image-size", "100"}),
                 {"eval.jsonl", "eval-000.png", "image size 100", "multiple of 28"});
  expect_refused(score(tiny, with_images, {"--image-size", "28000"}), {"image size 28000", "178956970"});
}

TEST_F(BadFlags, ChatTemplates) {
  expect_refused(score(tiny, with_images, {"--chat-template", "vicuna"}),
                 {"--chat-template", "chatml, qwen2", "found \"vicuna\""});
  expect_refused(score(tiny, with_images, {"--chat-template", "llama3"}),
                 {"the chat dialect llama3 has no images"});
}

TEST_F(BadFlags, RankingByAnswersThatAreNotThere) {
  const std::string question =
      place.write("question.jsonl", R"({"messages": [{"role": "user", "content": "Hello there"}]})");
  expect_refused(score(tiny, question, {"--metric", "kl:answer"}), {"--metric", "kl:answer", "no sample"});
}

TEST_F(BadFlags, TooLittleMemory) {
  expect_flags_refused({"--memory", "1M"}, {"--memory", "line-1", "needs at least", "the limit is 1 MiB"});
  expect_refused(score(tiny, with_images, {"--image-size", "1764", "--memory", "120M"}),
                 {"--memory", "eval-000", "needs at least", "the limit is 120 MiB"});
}

// What the message asks for is enough, give or take what the process happens to hold.
TEST_F(BadFlags, TheMemoryThatIsAskedForIsEnough) {
  const Outcome refused = run_qsweep(score(tiny, captions, {"--memory", "1M"}));
  const int mebibytes = static_cast<int>(number_after(refused.err, "needs at least "));
  EXPECT_GT(mebibytes, 8);
  const Arguments enough{"--memory", std::to_string(mebibytes + 4) + "M", "--dry-run"};
  const Arguments too_little{"--memory", std::to_string(mebibytes - 4) + "M", "--dry-run"};
  EXPECT_EQ(run_qsweep(score(tiny, captions, enough)).code, 0);
  expect_flags_refused(too_little, {"--memory"});
}

TEST_F(BadFlags, PlacesThatCannotBeWritten) {
  const std::string file = place.write("file", "content");
  const auto to = [&](const std::string& out) {
    return Arguments{"score", tiny, "--data", captions, "--ops", "lm_head", "--out", out, "--samples", "1"};
  };
  expect_refused(to(file), {"--out", file, "expected a folder, found a file"});
  expect_refused(to(file + "/below"), {"--out", file + "/below", "Not a directory"});
  expect_refused(to("/proc/below"), {"--out", "/proc/below"});
  expect_refused(to(""), {"--out", "expected a folder", "empty"});
  EXPECT_EQ(read_text(file), "content");
}

TEST_F(BadFlags, TracesThatCannotBeWritten) {
  expect_flags_refused({"--trace", ""}, {"--trace", "expected a path, found an empty text"});
  expect_flags_refused({"--trace", place.at("")}, {"--trace", "expected a file, found a folder"});
  expect_flags_refused({"--trace", "/dev/null"}, {"--trace", "/dev/null", "found a device, pipe or socket"});
  expect_flags_refused({"--trace", place.at("none/trace.json")},
                       {"--trace", "none/trace.json", "cannot create", "No such file"});
  const std::string old = place.write("old.json", "old");
  expect_flags_refused({"--trace", old, "--format", "x"}, {"--format"});
  EXPECT_EQ(read_text(old), "old");
}

// Without an earlier run, a refused one leaves nothing behind.
TEST_F(BadFlags, NoFolderIsMadeForNothing) {
  const std::string fresh = place.at("fresh");
  const auto to_fresh = [&](const std::string& model, const std::string& data, const Arguments& more) {
    Arguments arguments{"score", model, "--data", data, "--out", fresh};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  expect_refused(to_fresh(place.at("nothing"), captions, {}), {"nothing"});
  expect_refused(to_fresh(tiny, place.at("none.txt"), {}), {"none.txt"});
  expect_refused(to_fresh(tiny, captions, {"--format", "x"}), {"--format"});
  expect_refused(to_fresh(tiny, captions, {"--memory", "1M"}), {"--memory"});
  EXPECT_FALSE(std::filesystem::exists(fresh));
}

TEST_F(BadFlags, DamagedRunsAreNotReported) {
  const std::string run = place.at("damaged");
  std::filesystem::copy(place.at("run"), run);
  const auto expect = [&](const std::string& text, const std::vector<std::string>& words) {
    place.write("damaged/scores.json", text);
    const auto before = files_in(run);
    expect_refused({"report", run}, words);
    EXPECT_TRUE(files_in(run) == before);
  };
  const std::string good = read_text(run + "/scores.json");
  expect(good.substr(0, good.size() / 2), {"damaged/scores.json", "not valid JSON"});
  expect("{}", {"damaged/scores.json", "schema"});
  expect(R"({"schema": "qsweep.scores/9"})", {"damaged/scores.json", "qsweep.scores/9", "qsweep.scores/2"});
  const auto damaged = [&](const std::function<void(io::Json&)>& damage) {
    io::Json json = io::parse_json(good, "t");
    damage(json);
    return json.dump();
  };
  expect(damaged([](io::Json& j) { j["scores"].back()["metrics"]["all"]["kl"] = -1; }),
         {"damaged/scores.json: scores[", "metrics: all: \"kl\": expected a non-negative sum, found -1"});
  expect(damaged([](io::Json& j) { j["scores"].back()["op"] = "nobody"; }),
         {"\"op\": expected the name of one of \"ops\", found \"nobody\""});
}

}  // namespace
}  // namespace qsweep::cli
