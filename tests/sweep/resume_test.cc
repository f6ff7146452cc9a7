// Runs that are interrupted again and again and go on from their journal: the scores of a run left alone, bit
// for bit.
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "schedule/cpus.h"
#include "scores/schema.h"
#include "support/temporary_folder.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using io::Journal;
using scores::Method;
using scores::Mode;
using sweep::ScoreOptions;
using testing::scores_text;
using testing::TinyRun;

constexpr int64_t kMemory = int64_t{4} << 30;
const std::string kText = "eval-011", kImage = "eval-026";  // a small image

struct Interruption : std::exception {};

TinyRun tiny_run(const std::vector<std::string>& ids) {
  TinyRun tiny(ids);
  tiny.calibration.resize(2);
  return tiny;
}

class Resume : public ::testing::Test {
 protected:
  // What one process finds; no scores where `progress` interrupts it.
  struct Found {
    std::optional<scores::Run> run;
    std::optional<scores::Sketches> sketches;
    sweep::RunReport report;
    double delta_flops = 0;  // of the products that the process itself computed
  };
  Found process(const TinyRun& tiny, const ScoreOptions& options, Journal& journal,
                const sweep::ProgressObserver& progress) const {
    const testing::Cpus cpus(devices_, 2 / static_cast<int>(devices_));
    sweep::Sweep sweep(tiny.model, *cpus, tiny.data, tiny.calibration, options);
    sweep.keep({.journal = &journal, .boundary_s = 0});
    sweep.prepare();
    Found found;
    try {
      found.run = sweep.run(progress);
    } catch (const Interruption&) {
    }
    found.sketches = sweep.sketches();
    found.report = sweep.report();
    found.delta_flops = (*cpus).products(kernels::GemmPurpose::deltas).flops;
    return found;
  }

  // Two journals that know the plan and nothing else: it depends on the memory that the process happens to
  // hold. Here every sample has a pass of its own, on the devices in turn.
  void plan(const TinyRun& tiny, const ScoreOptions& options) const {
    Journal journal = Journal::create(interrupted_, {{"test", 1}});
    kernels::Gemm gemm({2});
    const ops::Context context{gemm};
    sweep::Sweep sweep(tiny.model, context, tiny.data, tiny.calibration, options);
    sweep.prepare();
    const schedule::Keeping keeping{.journal = &journal};
    schedule::PhaseLog(keeping, "sweep").keep(sample_by_sample(sweep.plan()));
    if (sweep.estimate_plan() != nullptr)
      schedule::PhaseLog(keeping, "estimate").keep(sample_by_sample(*sweep.estimate_plan()));
    std::filesystem::copy_file(interrupted_, left_alone_, std::filesystem::copy_options::overwrite_existing);
  }
  schedule::MemoryPlan sample_by_sample(schedule::MemoryPlan plan) const {
    EXPECT_EQ(plan.chunks.size(), 1u);
    const schedule::Chunk whole = plan.chunks.front();
    plan.chunks.clear();
    for (const int sample : whole.samples) {
      plan.chunks.push_back(whole);
      plan.chunks.back().device = static_cast<size_t>(sample) % devices_;
      plan.chunks.back().samples = {sample};
    }
    return plan;
  }

  struct Comparison {
    Found left_alone, last;
    int interruptions = 0;
    double delta_flops = 0;  // that all processes have computed
  };
  // Interrupts the run at every n-th of the places where it reports progress, once each.
  Comparison interrupt(const TinyRun& tiny, const ScoreOptions& options, size_t every) const {
    plan(tiny, options);
    Comparison c;
    Journal journal = Journal::reopen(left_alone_);
    c.left_alone = process(tiny, options, journal, {});
    std::set<std::pair<double, double>> seen;
    const auto progress = [&](const sweep::Progress& p) {
      if (seen.insert({p.total_flops, p.done_flops}).second && seen.size() % every == 0) throw Interruption();
    };
    while (!c.last.run && c.interruptions < 1000) {
      Journal again = Journal::reopen(interrupted_);
      c.last = process(tiny, options, again, progress);
      c.delta_flops += c.last.delta_flops;
      c.interruptions += c.last.run ? 0 : 1;
    }
    std::printf("%d interruptions, %.3g GFLOP instead of %.3g\n", c.interruptions, c.delta_flops * 1e-9,
                c.left_alone.delta_flops * 1e-9);
    EXPECT_EQ(scores_text(*c.last.run), scores_text(*c.left_alone.run));
    EXPECT_EQ(c.last.sketches.has_value(), options.sketch > 0);
    EXPECT_TRUE(c.last.sketches == c.left_alone.sketches);
    return c;
  }

  testing::TemporaryFolder folder_;
  size_t devices_ = 1;
  const std::string interrupted_ = folder_.at("interrupted"), left_alone_ = folder_.at("left-alone");
};

TEST_F(Resume, IsolatedScoresStageByStage) {
  const TinyRun tiny = tiny_run({kText, kImage});
  const ScoreOptions options{
      .formats = testing::formats({"w8a8"}), .ops_glob = "*.2.*", .memory_bytes = kMemory, .sketch = 4};
  const Comparison c = interrupt(tiny, options, 1);
  EXPECT_GE(c.interruptions, static_cast<int>(tiny.model.stages.size()));
  // Only the head is computed twice, and all that counts is counted once.
  EXPECT_LE(c.delta_flops, 2 * c.left_alone.delta_flops);
  EXPECT_DOUBLE_EQ(c.last.report.deltas.flops, c.left_alone.report.deltas.flops);
  EXPECT_EQ(c.last.report.deltas.calls, c.left_alone.report.deltas.calls);
  for (const char* phase : {"calibrate", "sweep"}) {
    EXPECT_GT(c.last.report.earlier_s.at(phase), 0);
    EXPECT_LT(c.last.report.earlier_s.at(phase), c.last.report.phases_s.at(phase));
  }
}

// Groups that fork once, and again and again.
TEST_F(Resume, GroupsBesideScores) {
  const TinyRun tiny = tiny_run({kText, kImage});
  const ScoreOptions options{.formats = testing::formats({"w8a8"}),
                             .ops_glob = "*.2.*",
                             .groups = {"fused", "block"},
                             .memory_bytes = kMemory,
                             .sketch = 4};
  const Comparison c = interrupt(tiny, options, 3);
  EXPECT_GE(c.interruptions, 5);
  EXPECT_EQ(std::ranges::count(c.last.run->groups, scores::Status::ok, &scores::GroupScore::status), 5);
  EXPECT_DOUBLE_EQ(c.last.report.deltas.flops, c.left_alone.report.deltas.flops);
}

TEST_F(Resume, LeaveOneOutInStrictPrecision) {
  const TinyRun tiny = tiny_run({kImage});
  const ScoreOptions options{.formats = testing::formats({"w8a8_dynamic"}),
                             .mode = Mode::leave_one_out,
                             .ops_glob = "*.2.*",
                             .strict = true,
                             .memory_bytes = kMemory};
  const Comparison c = interrupt(tiny, options, 1);
  EXPECT_GE(c.interruptions, 10);
  EXPECT_DOUBLE_EQ(c.last.report.deltas.flops, c.left_alone.report.deltas.flops);
}

// Leaves that change several ops: live pairs must be found again.
TEST_F(Resume, CumulativeScores) {
  const TinyRun tiny = tiny_run({kText});
  const ScoreOptions options{.formats = testing::formats({"w8a8_dynamic"}),
                             .mode = Mode::requantize_cumulative,
                             .keep_float = "*.layers.[23].*",
                             .memory_bytes = kMemory};
  EXPECT_GE(interrupt(tiny, options, 1).interruptions, 6);
}

TEST_F(Resume, EstimatedAndVerifiedScores) {
  const TinyRun tiny = tiny_run({kText, kImage});
  const ScoreOptions options{.formats = testing::formats({"w8a8"}),
                             .method = Method::hawq,
                             .ops_glob = "*.2.*",
                             .memory_bytes = kMemory,
                             .verify = 2};
  EXPECT_GE(interrupt(tiny, options, 5).interruptions, 8);
}

TEST_F(Resume, TwoDevices) {
  devices_ = 2;
  const TinyRun tiny = tiny_run({kText, kImage, "eval-005"});
  ScoreOptions options{
      .formats = testing::formats({"w8a8"}), .ops_glob = "*.2.*", .memory_bytes = kMemory, .sketch = 4};
  const Comparison c = interrupt(tiny, options, 3);
  EXPECT_GE(c.interruptions, 8);
  EXPECT_DOUBLE_EQ(c.last.report.deltas.flops, c.left_alone.report.deltas.flops);
  EXPECT_EQ(c.last.report.deltas.calls, c.left_alone.report.deltas.calls);
  EXPECT_LT(c.last.report.earlier_s.at("sweep"), c.last.report.phases_s.at("sweep"));
  EXPECT_EQ(c.last.report.plan.devices(), 2u);
  options.method = Method::hawq;
  options.sketch = 0;
  options.verify = 2;
  EXPECT_GE(interrupt(tiny, options, 5).interruptions, 4);
}

TEST_F(Resume, TheChoiceOfExactScoresIsKept) {
  const TinyRun tiny = tiny_run({kText});
  ScoreOptions options{.formats = testing::formats({"w8a8"}),
                       .method = Method::automatic,
                       .probes = 1,
                       .time_budget_s = 3600,
                       .ops_glob = "model.layers.2.*",
                       .memory_bytes = kMemory};
  const Comparison c = interrupt(tiny, options, 5);
  EXPECT_GE(c.interruptions, 4);
  // A process without any time left goes on with what an earlier one has chosen.
  plan(tiny, options);
  Journal journal = Journal::reopen(interrupted_);
  const auto at_last_phase = [&, phases = std::set<double>()](const sweep::Progress& p) mutable {
    phases.insert(p.total_flops);
    if (phases.size() == 3) throw Interruption();
  };
  EXPECT_FALSE(process(tiny, options, journal, at_last_phase).run);
  options.time_budget_s = 0;
  const Found late = process(tiny, options, journal, {});
  EXPECT_EQ(scores_text(*late.run), scores_text(*c.left_alone.run));
}

}  // namespace
}  // namespace qsweep
