// The modes, methods and presets of `score`, as its files and its summary show them.
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kMetrics{"hidden_sse", "logits_sse", "kl", "nll_delta", "top1_flips"};

// The metrics of a score or baseline that are not null, such as "kl:all".
std::vector<std::string> names_of(const io::Json& metrics) {
  std::vector<std::string> names;
  for (const char* scope : {"all", "answer"})
    for (const std::string& metric : kMetrics)
      if (!metrics[scope][metric].is_null()) names.push_back(metric + ":" + scope);
  return names;
}

// Of the scores with status ok.
std::vector<io::Json> ok_scores(const ScoreRun& run) {
  std::vector<io::Json> ok;
  for (const io::Json& score : run.scores())
    if (score["status"] == "ok") ok.push_back(score);
  return ok;
}

// Ranks are 1 to n, in the order of `value`, and only scored ops have one.
void expect_ranks(const ScoreRun& run, bool ascending, const std::function<double(const io::Json&)>& value) {
  std::map<int64_t, double> by_rank;
  const auto ok = ok_scores(run);
  for (const io::Json& score : ok) by_rank[score["rank"].get<int64_t>()] = value(score);
  ASSERT_EQ(by_rank.size(), ok.size());
  EXPECT_EQ(by_rank.begin()->first, 1);
  EXPECT_EQ(by_rank.rbegin()->first, static_cast<int64_t>(ok.size()));
  for (auto next = std::next(by_rank.begin()), at = by_rank.begin(); next != by_rank.end(); ++at, ++next)
    EXPECT_TRUE(ascending ? at->second <= next->second : at->second >= next->second) << next->first;
  for (const io::Json& score : run.scores())
    if (score["status"] != "ok") {
      EXPECT_TRUE(score["rank"].is_null() && score["metrics"].is_null()) << score;
    }
}

std::vector<std::string> baseline_names(const ScoreRun& run) {
  std::vector<std::string> names;
  for (const io::Json& baseline : run.json["baselines"]) names.push_back(baseline["name"]);
  return names;
}

class Modes : public ::testing::Test {
 protected:
  ScoreRun score(const std::string& name, Arguments flags) const {
    const Arguments few{"--samples", "2", "--threads", "1"};
    flags.insert(flags.end(), few.begin(), few.end());
    return score_run(place, name, tiny, flags);
  }
  // The files can be read: the report comes out of them as it was.
  void expect_reads_back(const ScoreRun& run) const {
    const auto before = files_in(run.folder);
    const Outcome outcome = run_qsweep({"report", run.folder});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(files_in(run.folder) == before);
  }

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const std::string with_images = testdata("data/eval.jsonl");
  const Workplace place;
};

TEST_F(Modes, LeaveOneOut) {
  const ScoreRun run = score("run", {"--mode", "leave-one-out"});
  EXPECT_EQ(run.ops_with("ok").size(), kLanguageOps);
  EXPECT_THAT(baseline_names(run), ElementsAre("all:w8a8"));
  for (const io::Json& score : ok_scores(run)) {
    EXPECT_EQ(score["mode"], "leave-one-out");
    EXPECT_EQ(names_of(score["metrics"]).size(), 10u);
    EXPECT_FALSE(score["local"].is_null());
  }
  expect_ranks(run, /*ascending=*/true, kl);
  // Nothing comes after the head: its return to float leaves the error of the hidden state.
  const io::Json &head = run.scores().back(), &all = run.json["baselines"][0];
  EXPECT_EQ(head["metrics"]["all"]["hidden_sse"], all["metrics"]["all"]["hidden_sse"]);
  EXPECT_NE(kl(head), kl(all));
  EXPECT_THAT(run.outcome.out, AllOf(HasSubstr("43 scores to compute, and all:w8a8"),
                                     HasSubstr("kl:all per position that is left with the op in float")));
  EXPECT_THAT(read_text(run.folder + "/report.md"),
              AllOf(HasSubstr("| Taken off all:w8a8 |"), HasSubstr("the smallest remaining error")));
  expect_reads_back(run);
}

TEST_F(Modes, RequantizeOfSomeOps) {
  const ScoreRun run =
      score("run", {"--mode", "requantize", "--keep-float", "model.layers.1.*", "--format", "w8a8_dynamic"});
  EXPECT_EQ(run.ops_with("ok").size(), 7u);
  EXPECT_EQ(run.ops_with("skipped").size(), 69u);
  EXPECT_THAT(baseline_names(run), ElementsAre("all:w8a8_dynamic", "all-but-float:w8a8_dynamic"));
  EXPECT_EQ(run.json["baselines"][0]["format"], "w8a8_dynamic");
  EXPECT_TRUE(run.json["baselines"][1]["format"].is_null());
  for (const io::Json& score : ok_scores(run)) EXPECT_EQ(score["mode"], "requantize");
  expect_ranks(run, /*ascending=*/false, kl);
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("| Of all:w8a8_dynamic |"));
  expect_reads_back(run);
}

// With everything in float there is nothing around the scored op that is quantized.
TEST_F(Modes, RequantizeOfEverythingIsIsolated) {
  const Arguments flags{"--format", "w4a8", "--ops", "*.1.*"};
  Arguments requantize{"--mode", "requantize"};
  requantize.insert(requantize.end(), flags.begin(), flags.end());
  const ScoreRun run = score("requantize", requantize), isolated = score("isolated", flags);
  EXPECT_EQ(run.kl_sums().size(), 7u);
  EXPECT_EQ(run.kl_sums(), isolated.kl_sums());
  EXPECT_THAT(baseline_names(run), ElementsAre("all:w4a8"));
}

TEST_F(Modes, RequantizeCumulative) {
  const ScoreRun run = score("run", {"--mode", "requantize", "--cumulative", "--keep-float",
                                     "model.layers.1.*", "--format", "w4a16_g32"});
  const auto ok = ok_scores(run);
  ASSERT_EQ(ok.size(), 7u);
  for (const io::Json& score : ok) {
    EXPECT_EQ(score["mode"], "requantize-cumulative");
    EXPECT_TRUE(score["local"].is_null()) << "several ops are quantized: " << score;
  }
  for (const std::string& metric : kMetrics)
    EXPECT_EQ(ok.back()["metrics"]["all"][metric], run.json["baselines"][0]["metrics"]["all"][metric])
        << "with the last one, everything is quantized";
  EXPECT_THAT(run.outcome.out, HasSubstr("the largest errors of 7 scored ops"));
  expect_ranks(run, /*ascending=*/false, kl);
  expect_reads_back(run);
}

TEST_F(Modes, OpsWithoutCalibrationStayFloatInTheBaseline) {
  const std::string calib = place.write("calib.txt", "A red circle.\nA blue square.\n");
  const ScoreRun run = score("run", {"--data", with_images, "--calib", calib, "--mode", "leave-one-out",
                                     "--format", "w8a8", "--format", "w8a8_dynamic", "--ops", "*.merger.*"});
  ASSERT_EQ(run.json["baselines"].size(), 2u);
  EXPECT_EQ(run.json["baselines"][0]["float_ops"].size(), 33u);
  EXPECT_EQ(run.json["baselines"][0]["float_ops"][0], "visual.patch_embed.proj");
  EXPECT_EQ(run.json["baselines"][1]["float_ops"], io::Json::array());
  EXPECT_EQ(run.ops_with("uncalibrated").size(), 2u);
  EXPECT_EQ(run.ops_with("ok").size(), 2u);
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("`all:w8a8` is not everything"));
  expect_reads_back(run);
}

TEST_F(Modes, Presets) {
  const auto formats = [&](const Arguments& names) {
    Arguments arguments{"score",     tiny,
                        "--data",    testdata("data/captions.txt"),
                        "--out",     place.at("none"),
                        "--samples", "1",
                        "--dry-run", "--ops",
                        "lm_head"};
    for (const std::string& name : names) arguments.insert(arguments.end(), {"--format", name});
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const size_t first = outcome.out.find("and ") + 4;
    return outcome.out.substr(first, outcome.out.find(';') - first);
  };
  const std::string integers = formats({"int"}), floats = formats({"fp"});
  EXPECT_EQ(
      integers,
      "all:w8a8, all:w8a8_static, all:w8a8_dynamic, all:w8a16, all:w4a16_g32, all:w4a16_g128, all:w4a8");
  EXPECT_EQ(
      floats,
      "all:fp8, all:fp8_tensor, all:fp8_dynamic, all:nvfp4, all:nvfp4a16, all:mxfp4, all:mxfp6, all:mxfp8, "
      "all:mxfp4a16");
  EXPECT_EQ(formats({"all"}), integers + ", " + floats);
  EXPECT_EQ(formats({"w8a16", "int", "inc_w8a8"}),
            "all:w8a16, all:w8a8, all:w8a8_static, all:w8a8_dynamic, all:w4a16_g32, all:w4a16_g128, "
            "all:w4a8, all:inc_w8a8");
}

struct MethodCase {
  std::string method;
  Arguments flags;
  std::vector<std::string> metrics;    // what is measured
  std::vector<std::string> estimates;  // beside them

  friend void PrintTo(const MethodCase& c, std::ostream* out) {
    *out << c.method << " " << ::testing::PrintToString(c.flags);
  }
};

class Methods : public Modes, public ::testing::WithParamInterface<MethodCase> {};

TEST_P(Methods, MarkTheirScores) {
  const auto& [method, flags, metrics, estimates] = GetParam();
  Arguments arguments{"--method", method, "--ops", "model.layers.1.*"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const ScoreRun run = score("run", arguments);
  const auto ok = ok_scores(run);
  ASSERT_EQ(ok.size(), 7u);
  for (const io::Json& score : ok) {
    EXPECT_EQ(score["method"], method);
    EXPECT_EQ(names_of(score["metrics"]), metrics) << score;
    EXPECT_GT(score["metrics"]["all"]["positions"], 0);
    EXPECT_FALSE(score["local"].is_null());
    EXPECT_EQ(score["flags"].back(), "approximate") << score;
    std::vector<std::string> keys;
    if (!score["estimates"].is_null())
      for (const auto& [key, value] : score["estimates"].items()) keys.push_back(key);
    EXPECT_EQ(keys, estimates);
  }
  if (method == "local")
    expect_ranks(run, false, [](const io::Json& score) {
      return score["local"]["error_sse"].get<double>() / score["local"]["output_sse"].get<double>();
    });
  else
    expect_ranks(run, false, kl);
  EXPECT_EQ(names_of(run.json["baselines"][0]["metrics"]).size(), 10u) << "baselines are always measured";
  EXPECT_THAT(run.outcome.out, HasSubstr("  of the estimates: "));
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("### `w8a8`, isolated, " + method));
  expect_reads_back(run);
}

INSTANTIATE_TEST_SUITE_P(
    All, Methods,
    ::testing::Values(
        MethodCase{
            "adjoint", {}, {"kl:all"}, {"token_form", "whole_form", "coherence", "relative_standard_error"}},
        MethodCase{"adjoint",
                   {"--metrics", "logits_sse,kl:answer", "--metrics", "hidden_sse", "--probes", "2"},
                   {"hidden_sse:all", "logits_sse:all", "kl:all", "kl:answer"},
                   {"token_form", "whole_form", "coherence", "relative_standard_error"}},
        MethodCase{"fisher", {}, {"kl:all"}, {"token_form", "whole_form", "element_form"}},
        MethodCase{"hawq", {}, {"kl:all"}, {"fisher_trace", "weight_error_sse"}},
        MethodCase{
            "hawq", {"--hutchinson", "--probes", "2"}, {"kl:all"}, {"fisher_trace", "weight_error_sse"}},
        MethodCase{"local", {}, {}, {}}),
    [](const auto& test) { return test.param.method + std::to_string(test.index); });

// The limit is 1e-3 nats per position.
TEST_F(Modes, LargeEstimatesAreFlagged) {
  const ScoreRun run = score("run", {"--method", "adjoint", "--format", "w8a16", "--format", "w4a8"});
  std::set<bool> seen;
  for (const io::Json& score : ok_scores(run)) {
    const bool large = kl(score) > 1e-3 * score["metrics"]["all"]["positions"].get<double>();
    EXPECT_EQ(score["flags"], large ? io::Json({"nonlinear", "approximate"}) : io::Json({"approximate"}))
        << score;
    seen.insert(large);
  }
  EXPECT_EQ(seen.size(), 2u) << "some are small, some are large";
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("Flagged `nonlinear`"));
}

TEST_F(Modes, ProbesComeFromTheSeed) {
  const auto with_seed = [&](const std::string& name, const std::string& seed) {
    return score(name, {"--method", "adjoint", "--ops", "*.1.*", "--seed", seed});
  };
  const ScoreRun first = with_seed("first", "7"), second = with_seed("second", "7"),
                 other = with_seed("other", "8");
  EXPECT_TRUE(first.scores() == second.scores());
  const auto a = first.kl_sums(), b = other.kl_sums();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NE(a[i], b[i]);
  EXPECT_TRUE(median_relative_difference(a, b) <= 1) << "estimates of the same";
  EXPECT_TRUE(first.json["baselines"] == other.json["baselines"]) << "measured, not estimated";
}

TEST_F(Modes, ThreadsChangeEstimatesByRoundingAlone) {
  const Arguments flags{"--method", "adjoint", "--precision", "strict", "--samples", "2"};
  const auto with = [&](const std::string& threads) {
    Arguments more = flags;
    more.insert(more.end(), {"--threads", threads});
    return score_run(place, "run" + threads, tiny, more).kl_sums();
  };
  EXPECT_TRUE(median_relative_difference(with("1"), with("2")) <= 1e-3);
}

TEST_F(Modes, AutoRefinesWhatMattersMostWhileThereIsTime) {
  const auto methods = [](const ScoreRun& run) {
    std::map<std::string, int> counts;
    for (const io::Json& score : ok_scores(run)) ++counts[score["method"].get<std::string>()];
    return counts;
  };
  const ScoreRun enough = score("enough", {"--method", "auto", "--format", "w8a16"});
  // A quarter of the ops, and those that are flagged.
  const auto counts = methods(enough);
  EXPECT_EQ(counts.at("exact") + counts.at("adjoint"), 43);
  EXPECT_GE(counts.at("exact"), 10);
  for (const io::Json& score : ok_scores(enough)) {
    const bool exact = score["method"] == "exact";
    EXPECT_EQ(score["flags"], exact ? io::Json::array() : io::Json({"approximate"})) << score;
    EXPECT_EQ(names_of(score["metrics"]).size(), exact ? 10u : 1u);
  }
  expect_ranks(enough, false, kl);
  EXPECT_THAT(enough.outcome.out, HasSubstr(fmt::format("of 43 scored ops ({} exact, {} adjoint)",
                                                        counts.at("exact"), counts.at("adjoint"))));
  EXPECT_THAT(read_text(enough.folder + "/report.md"),
              AllOf(HasSubstr("| Method |"), HasSubstr("isolated, auto")));
  expect_reads_back(enough);

  const ScoreRun all = score("all", {"--method", "auto", "--format", "w8a16", "--time-budget", "1h"});
  EXPECT_THAT(methods(all), ElementsAre(::testing::Pair("exact", 43)));

  const ScoreRun none = score("none", {"--method", "auto", "--format", "w8a16", "--time-budget", "0.001s"});
  EXPECT_THAT(methods(none), ElementsAre(::testing::Pair("adjoint", 43)));
  expect_ranks(none, false, kl);
}

// To refine all that it would like to takes several times what is left.
TEST_F(Modes, SlowAutoEndsInTime) {
  constexpr double kBudget = 1.5;
  const ScoreRun run = score_run(place, "run", tiny,
                                 {"--method", "auto", "--format", "int", "--data", with_images, "--samples",
                                  "4", "--time-budget", fmt::format("{}s", kBudget), "--probes", "1"});
  EXPECT_EQ(ok_scores(run).size(), run.scores().size()) << "every op has a score";
  const io::Json& phases = run.json["provenance"]["phases_s"];
  double before = 0;
  for (const char* phase : {"plan", "calibrate", "sweep", "estimate"}) before += phases.value(phase, 0.0);
  const double refine = phases.contains("refine") ? phases["refine"].get<double>() : 0;
  // What is left is divided by a rate that other work on the machine changes.
  EXPECT_TRUE(refine <= 3 * std::max(0.0, kBudget - before) + 0.5) << phases;
}

TEST_F(Modes, VerifiedScoresAreShownBesideTheOthers) {
  const ScoreRun run =
      score("run", {"--verify", "5", "--method", "adjoint", "--format", "w8a16", "--ops", "*.2.*"});
  const io::Json& verified = run.json["verification"];
  ASSERT_EQ(verified.size(), 5u);
  EXPECT_EQ(run.json["settings"]["verify"], 5);
  for (const io::Json& v : verified) {
    const auto scores = run.scores();
    const auto found =
        std::find_if(scores.begin(), scores.end(), [&](const io::Json& s) { return s["op"] == v["op"]; });
    ASSERT_NE(found, scores.end());
    const io::Json& score = *found;
    EXPECT_EQ(v["score"], score["metrics"]["all"]["kl"]);
    EXPECT_EQ(v["method"], "adjoint");
    // Estimates of small effects are right within a factor of two or so.
    EXPECT_TRUE(std::fabs(v["deviation"].get<double>()) <= 2) << v;
    EXPECT_EQ(v["chosen"] == "top", score["rank"] <= 3) << v << score["rank"];
  }
  EXPECT_GT(run.json["provenance"]["phases_s"]["verify"], 0);
  EXPECT_THAT(run.outcome.out,
              AllOf(HasSubstr("  of the verification: at most "),
                    HasSubstr("5 scores measured again, exactly and with f32 deltas: median ")));
  EXPECT_THAT(read_text(run.folder + "/report.md"),
              AllOf(HasSubstr("## Verification"), HasSubstr("Deviations of estimates are their errors")));
  expect_reads_back(run);
}

TEST_F(Modes, IncWritesItsMapsBesideTheScores) {
  const ScoreRun run = score("run", {"--inc", "--ops", "lm_head"});
  EXPECT_EQ(files_in(run.folder).size(), 6u);  // the journal is one
  EXPECT_THAT(run.outcome.out, HasSubstr(run.folder + "/inc_mse_v2.json"));
  const io::Json maps = io::read_json_file(run.folder + "/inc_mse_v2.json");
  ASSERT_EQ(maps.size(), 2u);
  std::vector<std::string> ops[2];
  for (const auto& [i, key] : {std::pair{0, "fallback"}, std::pair{1, "requant"}})
    for (const auto& [op, score] : maps[key].items()) {
      ops[i].push_back(op);
      // Ops that no token reaches do not re-quantize anything.
      EXPECT_TRUE(score.get<double>() > 0 || (i == 1 && score == 0.0 && op.starts_with("model.visual.")))
          << op;
    }
  EXPECT_EQ(ops[0], ops[1]);
  EXPECT_THAT(ops[0],
              ::testing::IsSupersetOf({"model.language_model.embed_tokens.module", "lm_head.module"}));
  EXPECT_THAT(run.json["provenance"]["phases_s"]["inc"].get<double>(), ::testing::Gt(0));
  expect_reads_back(run);

  const ScoreRun without = score("without", {"--ops", "lm_head"});
  EXPECT_TRUE(without.scores() == run.scores());
  EXPECT_THAT(without.outcome.out, Not(HasSubstr("inc_mse_v2.json")));
}

}  // namespace
}  // namespace qsweep::cli
