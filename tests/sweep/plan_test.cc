// The memory plan is read off a walk without arithmetic: a pass that computes must hold the same.
#include "sweep/plan.h"

#include <numeric>

#include <gtest/gtest.h>

#include "sweep/head.h"
#include "sweep/probe_pass.h"
#include "sweep/tiny.h"
#include "tensor/usage.h"

namespace qsweep {
namespace {

using sweep::PassReport;
using testing::TinyRun;

class Plan : public ::testing::Test {
 protected:
  explicit Plan(const std::vector<std::string>& ids = {"eval-000", "eval-005"}) : tiny_(ids) {}

  sweep::Outlook outlook(scores::Mode mode, const std::string& ops = "*") const {
    return sweep::make_outlook(
        tiny_.model, tiny_.data, tiny_.calibration,
        {.formats = testing::formats({"w8a8_dynamic", "w4a16_g32"}), .mode = mode, .ops_glob = ops});
  }
  std::vector<const models::Sample*> samples() const {
    std::vector<const models::Sample*> all;
    for (const models::Sample& sample : tiny_.data) all.push_back(&sample);
    return all;
  }
  // All variants in one pass.
  PassReport run(const sweep::Outlook& outlook, graph::Workspace& workspace) const {
    std::vector<int> live(outlook.variants.size());
    std::iota(live.begin(), live.end(), 0);
    return sweep::run_pass({.model = tiny_.model,
                            .ops = context_,
                            .delta_dtype = DType::bf16,
                            .samples = samples(),
                            .variants = outlook.variants,
                            .live = live,
                            .ranges = no_ranges_},
                           workspace,
                           {.metrics = [](int, int64_t, const scores::ScopedSums&) {},
                            .range = {},
                            .local = [](int, const scores::LocalStats&) {},
                            .stage_done = {}});
  }
  const TinyRun& tiny() const { return tiny_; }
  const ops::Context& context() const { return context_; }
  const sweep::Ranges& no_ranges() const { return no_ranges_; }

 private:
  TinyRun tiny_;
  kernels::Gemm gemm_{Threads{2}};
  ops::Context context_{gemm_};
  sweep::Ranges no_ranges_{tiny_.model.ops.size()};
};

TEST_F(Plan, APassOfVariantsHoldsWhatIsPlanned) {
  for (const scores::Mode mode : {scores::Mode::isolated, scores::Mode::leave_one_out}) {
    const sweep::Outlook outlook = this->outlook(mode);
    graph::Workspace dry(/*dry=*/true), real(Threads{2});
    EXPECT_EQ(run(outlook, dry).peak_bytes, run(outlook, real).peak_bytes);
  }
}

TEST_F(Plan, APassOfProbesHoldsWhatIsPlanned) {
  const auto formats = testing::formats({"w8a8_dynamic", "w4a16_g32"});
  const std::vector<sweep::ProbeSet> sets{{kernels::ProbeKind::fisher, {}, 2}};
  const auto run = [&](graph::Workspace& workspace, int keep_every) {
    const sweep::ProbeSinks sinks{
        .products = [](int, size_t, size_t, int64_t, int64_t, const sweep::ProbeProducts&) {},
        .local = [](int, size_t, const scores::LocalStats&) {},
        .trace = {},
        .weight_error = {},
        .logits_norm = [](int64_t, scores::Scope, double) {},
        .stage_done = {}};
    return sweep::run_probe_pass({.model = tiny().model,
                                  .ops = context(),
                                  .dtype = DType::bf16,
                                  .samples = samples(),
                                  .sample_index = {0, 1},
                                  .sets = sets,
                                  .formats = formats,
                                  .wanted = [](size_t, size_t) { return true; },
                                  .ranges = no_ranges(),
                                  .keep_every = keep_every},
                                 workspace, sinks);
  };
  for (const int keep_every : {1, 4}) {
    graph::Workspace dry(/*dry=*/true), real(Threads{2});
    EXPECT_EQ(run(dry, keep_every).peak_bytes, run(real, keep_every).peak_bytes) << keep_every;
  }
}

class PlanOfText : public Plan {
 protected:
  PlanOfText() : Plan({"eval-005"}) {}
};

// Where only the head is quantized it is the largest stage; its mapped weights count.
TEST_F(PlanOfText, TheHeadsWeightsAreInIt) {
  const sweep::Outlook outlook = this->outlook(scores::Mode::isolated, "lm_head");
  graph::Workspace dry(/*dry=*/true);
  PassReport loading;
  const graph::Batch batch = sweep::load_batch(tiny().model, samples(), dry, loading);
  const int64_t peak = run(outlook, dry).peak_bytes;  // the workspace's own is that of the head
  const graph::LinearOp& head = tiny().model.lm_head();
  const int64_t tile_bytes =
      std::min(sweep::kHeadTile, head.out_features()) * head.in_features() * size_bytes(head.weight.dtype);
  EXPECT_EQ(peak, batch.size_bytes() + tile_bytes + dry.peak_bytes());
}

// Attention takes its tiles from outside of the workspace, so what tensors really take is asked for.
TEST_F(Plan, AttentionsTilesAreInIt) {
  const models::Model model = models::load(testing::kData + "/tiny-qwen2.5-vl", {.image_size = 672});
  const std::vector<models::Sample> data = testing::prepare(model, "eval.jsonl", {"eval-000"});
  const sweep::PassInput input{model, context(), DType::f32, {&data.front()}, {}, {}, no_ranges()};
  graph::Workspace dry(/*dry=*/true), real(Threads{2});
  const int64_t planned = sweep::run_reference(input, dry, {}).peak_bytes;
  release_kept_memory();
  const int64_t before = most_tensor_bytes();
  sweep::run_reference(input, real, [](int, Matrix<const float>) {});
  const int64_t taken = most_tensor_bytes() - before;
  EXPECT_LE(taken, planned);
  EXPECT_GE(taken, planned / 10 * 6);
}

}  // namespace
}  // namespace qsweep
