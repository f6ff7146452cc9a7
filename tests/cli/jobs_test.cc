// What jobs and scripts rely on: names of models and ops, time, --quiet, --json, --fail-above, generated
// files.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Jobs : public ::testing::Test {
 protected:
  // Scores lm_head of one caption unless `more` says otherwise.
  Arguments score(const std::string& model, const std::string& out, const Arguments& more = {}) const {
    Arguments arguments{"score",     model, "--data",    testdata("data/captions.txt"),
                        "--out",     out,   "--threads", "1",
                        "--samples", "1",   "--memory",  "1G"};
    if (std::ranges::find(more, "--ops") == more.end())
      arguments.insert(arguments.end(), {"--ops", "lm_head"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  io::Json scores_of(const Arguments& arguments, const std::string& out,
                     const Surroundings& where = {}) const {
    const Outcome outcome = run_qsweep(arguments, where);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? io::read_json_file(out + "/scores.json") : io::Json();
  }

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const Workplace place;
};

TEST_F(Jobs, TheModelHasTheNameOfItsFolderHoweverItIsGiven) {
  const std::string model = place.copy_model("my-model"), out = place.at("run");
  for (const std::string& given :
       {model, model + "/", model + "//", model + "/.", model + "/../my-model/", model + "/./"})
    EXPECT_EQ(scores_of(score(given, out), out)["model"]["path_name"], "my-model") << given;
  for (const std::string given : {".", "./", "../my-model", "../my-model/."})
    EXPECT_EQ(scores_of(score(given, out), out, {.folder = model})["model"]["path_name"], "my-model")
        << given;
  EXPECT_THAT(read_text(out + "/report.md"), HasSubstr("`my-model`"));
}

TEST_F(Jobs, PathsMayBeNoUtf8) {
  const std::string model = place.copy_model("m\xff"), out = place.at("out\xfe"),
                    data = place.at("d\xfd.txt");
  std::filesystem::copy(testdata("data/captions.txt"), data);
  Arguments arguments = score(model, out, {"--trace", place.at("t\xfc.json")});
  *(std::ranges::find(arguments, testdata("data/captions.txt"))) = data;
  const io::Json run = scores_of(arguments, out);
  EXPECT_EQ(run["model"]["path_name"], "m\\xff");
  EXPECT_EQ(run["data"]["file_name"], "d\\xfd.txt");
  EXPECT_THAT(run["settings"]["out"].get<std::string>(), ::testing::EndsWith("/out\\xfe"));
  arguments.push_back("--resume");
  EXPECT_EQ(run_qsweep(arguments).code, 0);
  const Outcome compared = run_qsweep({"compare", out, out});
  EXPECT_EQ(compared.code, 0) << compared.err;
  const std::string recipe =
      place.write("r\xfb.json", R"({"name": "a", "rules": [{"ops": "*", "format": "w8a8"}]})");
  const Outcome eval = run_qsweep({"eval", model, "--data", data, "--samples", "1", "--recipe", recipe,
                                   "--out", out, "--json", "--memory", "1G"});
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(io::read_json_file(out + "/eval.json")["recipes"][0]["rules_file"], "r\\xfb.json");
  EXPECT_THAT(io::parse_json(eval.out, "stdout")["files"][0].get<std::string>(),
              HasSubstr("out\\xfe/eval.md"));
  const Outcome missing = run_qsweep(score(place.at("none\xff"), out));
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr("none\\xff"));
}

TEST_F(Jobs, OpsMayBeNamedAsInNewerCheckpoints) {
  const auto scored = [&](const std::string& pattern, const Arguments& more = {}) {
    Arguments flags{"--ops", pattern};
    flags.insert(flags.end(), more.begin(), more.end());
    return score_run(place, "run", tiny, flags).ops_with("ok");
  };
  const auto layer = scored("model.layers.0.*");
  EXPECT_EQ(layer.size(), 7u);
  EXPECT_EQ(scored("model.language_model.layers.0.*"), layer);
  EXPECT_EQ(scored("language_model.model.layers.0.*"), layer);
  EXPECT_THAT(scored("model.language_model.layers.0.self_attn.qkv_proj.weight"),
              ::testing::ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                                     "model.layers.0.self_attn.v_proj"));
  const Arguments requantize{"--mode", "requantize", "--keep-float", "model.language_model.layers.0.mlp.*"};
  EXPECT_EQ(scored("*", requantize).size(), 3u);
  const ScoreRun vision =
      score_run(place, "vision", tiny,
                {"--ops", "model.visual.merger.*", "--data", testdata("data/eval.jsonl"), "--samples", "1"});
  EXPECT_EQ(vision.ops_with("ok").size(), 2u);
  const std::string recipe = place.write(
      "new.json",
      R"({"name": "new", "rules": [{"ops": "model.language_model.layers.0.*", "format": "w8a8"}]})");
  EXPECT_EQ(eval_run(place, "eval", tiny, {"--recipe", recipe, "--samples", "1"}).recipe(0)["quantized_ops"],
            7);
}

TEST_F(Jobs, ThePlanAndTheTimeComeFirst) {
  const Outcome run = run_qsweep(score(tiny, place.at("run")));
  EXPECT_THAT(run.out,
              ContainsRegex("^qwen2_5_vl: 76 ops, 1 score to compute, and all:w8a8; about [0-9]+ s on "
                            "this machine\nmemory plan: "));
  const Outcome dry = run_qsweep(score(tiny, place.at("none"), {"--dry-run"}));
  EXPECT_THAT(dry.out, ContainsRegex("; about [0-9]+ s on this machine\n"));
  const Outcome inspected = run_qsweep({"inspect", tiny});
  EXPECT_THAT(inspected.out,
              ContainsRegex("\ntime: about [0-9.]+ (s|min) on this machine, whose rate on the main products "
                            "alone is [0-9.e+]+ GFLOP/s\n$"));
  const std::string recipe =
      place.write("a.json", R"({"name": "a", "rules": [{"ops": "*", "format": "w8a8"}]})");
  const Outcome eval = run_qsweep({"eval", tiny, "--data", testdata("data/captions.txt"), "--samples", "1",
                                   "--recipe", recipe, "--out", place.at("none"), "--dry-run"});
  EXPECT_THAT(eval.out,
              ContainsRegex("^qwen2_5_vl: 1 recipe; about [0-9]+ s on this machine\nmemory plan: "));
}

// Time grows with the data, and with more of it other methods are named.
TEST_F(Jobs, LongRunsNameWhatTakesLess) {
  std::string captions;
  for (int line = 0; line < 80; ++line) {
    for (int i = 0; i < 40; ++i)
      captions += "A red circle stands beside a blue square, and a green one below. ";
    captions += '\n';
  }
  const std::string many = place.write("many.txt", captions);
  const Outcome outcome = run_qsweep({"score", tiny, "--data", many, "--out", place.at("none"), "--dry-run",
                                      "--memory", "1G", "--threads", "1", "--format", "all"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, ContainsRegex("; about [0-9.]+ (min|h) on this machine\n"));
  EXPECT_THAT(outcome.out,
              ContainsRegex("\n  instead, --method auto takes about [0-9.]+ (min|h) \\([0-9]+ scores exact, "
                            "the others estimated\\), --method adjoint about [0-9.]+ (min|h|s)\n"));
}

TEST_F(Jobs, ATimeBudgetSaysHowManyScoresBecomeExact) {
  const auto exact = [&](const std::string& budget) {
    const Outcome outcome =
        run_qsweep({"score", tiny, "--data", testdata("data/captions.txt"), "--samples", "16", "--memory",
                    "1G", "--threads", "1", "--out", place.at("none"), "--time-budget", budget, "--dry-run"});
    EXPECT_THAT(outcome.out, HasSubstr(" of 43 scores become exact within --time-budget\n")) << outcome.err;
    return number_after(outcome.out, "\n  about ");
  };
  EXPECT_EQ(exact("100h"), 43);
  EXPECT_EQ(exact("0.01s"), 0);
  const Outcome automatic =
      run_qsweep(score(tiny, place.at("none"), {"--ops", "*", "--method", "auto", "--dry-run"}));
  EXPECT_THAT(automatic.out, HasSubstr("\n  about 10 of 43 scores become exact\n"));
}

TEST_F(Jobs, QuietRunsSayNothing) {
  const Outcome outcome = run_qsweep(score(tiny, place.at("run"), {"--quiet"}));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "");
  const Outcome warned = run_qsweep(score(tiny, place.at("run"), {"--quiet", "--ops", "visual.*"}));
  EXPECT_THAT(warned.err, StartsWith("warning: "));
}

TEST_F(Jobs, JsonIsAllThatStandardOutputHas) {
  Arguments arguments = score(tiny, place.at("run"), {"--json", "--ops", "*.0.*"});
  const Outcome outcome = run_qsweep(arguments);
  const io::Json summary = io::parse_json(outcome.out, "standard output");
  EXPECT_EQ(summary["schema"], "qsweep.summary/1");
  EXPECT_EQ(summary["scores"]["ok"], 7);
  EXPECT_EQ(summary["scores"]["unexercised"], 5);
  EXPECT_EQ(summary["scores"]["skipped"], 64);
  EXPECT_GT(summary["baselines"]["all:w8a8"], 0);
  const io::Json& ranking = summary["rankings"][0]["ranking"];
  ASSERT_EQ(ranking.size(), 7u);
  EXPECT_GE(ranking[0]["value"], ranking[1]["value"]);
  EXPECT_THAT(outcome.err, HasSubstr("memory plan: ")) << "for people";
  for (const io::Json& file : summary["files"]) EXPECT_TRUE(std::filesystem::exists(file.get<std::string>()));
  arguments.push_back("--resume");
  EXPECT_EQ(run_qsweep(arguments).out, outcome.out) << "a finished run";
  arguments.back() = "--quiet";
  const Outcome quiet = run_qsweep(arguments);
  EXPECT_EQ(quiet.out, outcome.out);
  EXPECT_THAT(quiet.err, Not(HasSubstr("memory plan: ")));
  arguments.back() = "--dry-run";
  const io::Json plan = io::parse_json(run_qsweep(arguments).out, "standard output");
  EXPECT_EQ(plan["scores_to_compute"], 7);
  EXPECT_GT(plan["plan"]["peak_bytes"], 0);
}

class FailAbove : public Jobs {
 protected:
  Arguments eval(const Arguments& more) const {
    Arguments arguments{"eval",      tiny,
                        "--data",    testdata("data/captions.txt"),
                        "--samples", "1",
                        "--threads", "1",
                        "--memory",  "1G",
                        "--recipe",  recipe,
                        "--out",     place.at("eval")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  const std::string recipe =
      place.write("rough.json", R"({"name": "rough", "rules": [{"ops": "*", "format": "w4a8"}]})");
};

TEST_F(FailAbove, HasAnExitCodeOfItsOwn) {
  const Outcome good = run_qsweep(eval({"--fail-above", "kl=1000", "--fail-above", "top1_flips=1"}));
  EXPECT_EQ(good.code, 0) << good.err;
  const Outcome bad =
      run_qsweep(eval({"--fail-above", "kl=1000", "--fail-above", "kl:answer=1e-9", "--json"}));
  EXPECT_EQ(bad.code, 3);
  EXPECT_THAT(
      bad.err,
      ContainsRegex("\nerror: --fail-above: rough: kl:answer per position is [0-9.]+, above 1e-09\n$"));
  const io::Json summary = io::parse_json(bad.out, "standard output");
  EXPECT_EQ(summary["recipes"][0]["above_limit"].size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(place.at("eval/eval.json"))) << "the results are written all the same";
  EXPECT_EQ(run_qsweep(eval({"--fail-above", "kl=1e-9", "--resume"})).code, 3)
      << "limits are no part of the run";
  EXPECT_EQ(run_qsweep(eval({"--fail-above", "kl=1000", "--resume"})).code, 0);
}

TEST_F(FailAbove, ALimitIsMetricAndNumber) {
  for (const char* limit :
       {"", "kl", "kl=", "kl=x", "kl=-1", "kl=nan", "loss=1", "kl:prompt=1", "=1", "kl=1x"}) {
    const Outcome outcome = run_qsweep(eval({"--fail-above", limit}));
    EXPECT_EQ(outcome.code, 2) << limit;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("--fail-above"), HasSubstr("METRIC=VALUE"))) << limit;
  }
}

TEST_F(Jobs, RecipesThatCannotBeServedAreWarnedOf) {
  const auto recipe = [&](const std::string& name, const std::string& rules) {
    return place.write(name + ".json", R"({"name": ")" + name + R"(", "rules": [)" + rules + "]}");
  };
  const EvalRun run = eval_run(
      place, "eval", tiny,
      {"--samples", "1", "--recipe",
       recipe("mixed",
              R"({"ops": "*", "format": "w8a8_dynamic"}, {"ops": "model.layers.0.self_attn.q_proj", "format":
                           "float"}, {"ops": "model.layers.1.mlp.gate_proj", "format": "w4a8"})"),
       recipe("good",
              R"({"ops": "*", "format": "w8a8_dynamic"}, {"ops": "*.self_attn.?_proj", "format": "w4a8"})")});
  const io::Json expected{
      {"model.layers.0.self_attn.qkv",
       {{"model.layers.0.self_attn.k_proj", "w8a8_dynamic"},
        {"model.layers.0.self_attn.q_proj", "float"},
        {"model.layers.0.self_attn.v_proj", "w8a8_dynamic"}}},
      {"model.layers.1.mlp.gate_up",
       {{"model.layers.1.mlp.gate_proj", "w4a8"}, {"model.layers.1.mlp.up_proj", "w8a8_dynamic"}}}};
  EXPECT_EQ(run.recipe(0)["mixed_groups"], expected);
  EXPECT_EQ(run.recipe(1)["mixed_groups"], io::Json::object());
  EXPECT_THAT(run.outcome.err,
              AllOf(HasSubstr("warning: mixed: several formats in model.layers.0.self_attn.qkv, "
                              "model.layers.1.mlp.gate_up"),
                    Not(HasSubstr("warning: good: several"))));
  EXPECT_THAT(read_text(run.folder + "/eval.md"),
              AllOf(HasSubstr("- `mixed` gives several formats"),
                    HasSubstr("`model.layers.1.mlp.gate_up` (`model.layers.1.mlp.gate_proj` in `w4a8`")));
}

TEST_F(Jobs, MemoryNeedsAUnit) {
  const auto dry_run = [&](const std::string& memory) {
    return run_qsweep({"score", tiny, "--data", testdata("data/captions.txt"), "--out", place.at("run"),
                       "--memory", memory, "--dry-run"});
  };
  for (const char* memory : {"16", "1000000000", "16.5", "1e9"}) {
    const Outcome outcome = dry_run(memory);
    EXPECT_EQ(outcome.code, 2) << memory;
    EXPECT_THAT(outcome.err,
                HasSubstr("expected a size with its unit, B, K, M, G or T, such as 4G, 512M or 1.5GiB, "
                          "found \"" +
                          std::string(memory) + "\""));
  }
  for (const char* memory : {"1000000000B", "1000000K", "1g", "1GiB", "1GB", "0.5G"})
    EXPECT_EQ(dry_run(memory).code, 0) << memory;
}

TEST_F(Jobs, ManualAndCompletionsHaveEveryFlag) {
  std::string help;
  for (const char* command : {"score", "recipe", "export", "import", "compare"})
    help += run_qsweep({command, "--help"}).out;
  std::map<std::string, std::string> made;
  for (const char* what : {"man", "bash", "zsh", "fish"}) {
    const Outcome outcome = run_qsweep({"--generate", what});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    made[what] = outcome.out;
  }
  size_t flags = 0;
  for (size_t at = help.find("\n  --"); at != std::string::npos; at = help.find("\n  --", at + 1), ++flags) {
    const std::string flag = help.substr(at + 5, help.find_first_of(" \n", at + 5) - at - 5);
    EXPECT_THAT(made["bash"], HasSubstr("--" + flag));
    EXPECT_THAT(made["zsh"], HasSubstr("'--" + flag + "["));
    EXPECT_THAT(made["fish"], HasSubstr("-l " + flag + " "));
    std::string dashes = "\\-\\-" + flag;
    for (size_t dash = dashes.find('-', 4); dash != std::string::npos; dash = dashes.find('-', dash + 2))
      dashes.insert(dash, "\\");
    EXPECT_THAT(made["man"], HasSubstr(dashes));
  }
  EXPECT_GT(flags, 45u);
  for (const auto& [what, text] : made) EXPECT_THAT(text, Not(HasSubstr("journal-interval"))) << what;
  EXPECT_THAT(made["man"], AllOf(StartsWith(".TH qsweep 1 "), HasSubstr(".SH EXIT STATUS\n"),
                                 HasSubstr("leave\\-one\\-out")));
  EXPECT_EQ(std::system(("bash -n " + place.write("bash", made["bash"])).c_str()), 0);
}

}  // namespace
}  // namespace qsweep::cli
