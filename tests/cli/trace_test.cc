// Where a run says that its time went.
#include <filesystem>
#include <map>
#include <set>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

class TraceRun : public ::testing::Test {
 protected:
  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const Arguments few_ops{"--data", testdata("data/eval.jsonl"), "--samples", "1", "--ops", "*.2.*"};
  const Workplace place;

  ScoreRun traced(const std::string& name, Arguments flags) const {
    flags.insert(flags.end(), few_ops.begin(), few_ops.end());
    flags.insert(flags.end(), {"--trace", place.at(name) + "/trace.json"});
    return score_run(place, name, tiny, flags);
  }
};

// The kinds of work that a trace has in a phase.
std::set<std::string> kinds_within(const io::Json& trace, const std::string& phase) {
  const io::Json* span = nullptr;
  for (const io::Json& event : trace["traceEvents"])
    if (event["ph"] == "X" && event["cat"] == "phase" && event["name"] == phase) span = &event;
  std::set<std::string> kinds;
  if (span == nullptr) return kinds;
  const double begin = (*span)["ts"], end = begin + (*span)["dur"].get<double>();
  for (const io::Json& event : trace["traceEvents"])
    if (event["ph"] == "X" && event["ts"] > begin &&
        event["ts"].get<double>() + event["dur"].get<double>() < end)
      kinds.insert(event["cat"]);
  return kinds;
}

TEST_F(TraceRun, HasTheWorkOfEveryPhase) {
  const ScoreRun run = traced("run", {});
  const io::Json trace = io::read_json_file(run.folder + "/trace.json");
  EXPECT_THAT(kinds_within(trace, "sweep"),
              IsSupersetOf({"pass", "stage", "linear", "gemm deltas", "gemm reference", "attention",
                            "row kernels", "quantize weights", "head"}));
  std::set<std::string> ops;
  for (const io::Json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    if (event["cat"] == "linear") ops.insert(event["name"]);
    if (event["cat"] != "gemm deltas") continue;
    const io::Json& args = event["args"];
    EXPECT_THAT(args["dtype"], ::testing::AnyOf("F32", "BF16", "U8"));
    EXPECT_EQ(args["flops"].get<double>(), 2.0 * args["batch"].get<double>() * args["rows"].get<double>() *
                                               args["in"].get<double>() * args["out"].get<double>())
        << event;
  }
  EXPECT_THAT(ops, IsSupersetOf({"visual.blocks.2.attn.qkv", "model.layers.2.mlp.down_proj"}));
}

TEST_F(TraceRun, EveryRunSaysWhereItsTimeWent) {
  Arguments with_calibration = few_ops;  // data of its own, for a phase of its own
  with_calibration.insert(with_calibration.end(), {"--calib", testdata("data/captions.txt")});
  const ScoreRun run = score_run(place, "run", tiny, with_calibration);
  EXPECT_FALSE(std::filesystem::exists(run.folder + "/trace.json"));
  const io::Json& provenance = run.json["provenance"];
  for (const char* phase : {"load", "plan", "rate", "calibrate", "sweep", "statistics"}) {
    double seconds = 0;
    for (const auto& [kind, work] : provenance["work"][phase].items())
      seconds += work["seconds"].get<double>();
    EXPECT_NEAR(seconds, provenance["phases_s"][phase].get<double>(), 1e-6) << phase;
  }
  double flops = 0;
  for (const char* kind : {"gemm deltas", "gemm reference"})
    flops += provenance["work"]["sweep"][kind]["flops"].get<double>();
  EXPECT_NEAR(flops, provenance["gemm"]["gflop"].get<double>() * 1e9, 1);
  EXPECT_GT(provenance["work"]["sweep"]["weights"]["bytes"], 0);
  EXPECT_EQ(provenance["gemm"]["peak_of"].size(), 5u);
  EXPECT_THAT(run.outcome.out, AllOf(HasSubstr(" in the phase "), HasSubstr("of what they reach alone\n")));
  EXPECT_THAT(read_text(run.folder + "/report.md"),
              AllOf(HasSubstr("## Where the time went"), HasSubstr("| GEMM of deltas |"),
                    HasSubstr("main products alone: "), HasSubstr("Processor time: ")));
}

TEST_F(TraceRun, IsWrittenByDryRunsAndEvaluations) {
  const std::string path = place.at("trace.json");
  Arguments dry{"score", tiny, "--out", place.at("none"), "--dry-run", "--trace", path};
  dry.insert(dry.end(), few_ops.begin(), few_ops.end());
  EXPECT_EQ(run_qsweep(dry).code, 0);
  const io::Json planning = io::read_json_file(path);
  EXPECT_THAT(kinds_within(planning, "plan"), ::testing::Contains("pass"));
  EXPECT_TRUE(kinds_within(planning, "sweep").empty());
  const EvalRun eval = eval_run(
      place, "eval", tiny, {"--samples", "1", "--recipe", testdata("recipes/mixed.json"), "--trace", path});
  EXPECT_THAT(kinds_within(io::read_json_file(path), "sweep"), ::testing::Contains("gemm reference"));
  EXPECT_THAT(read_text(eval.folder + "/eval.md"), HasSubstr("## Where the time went"));
}

}  // namespace
}  // namespace qsweep::cli
