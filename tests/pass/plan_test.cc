// A memory plan is read off a walk without arithmetic: a pass that computes must hold the same.
#include <gtest/gtest.h>

#include "pass/head_tiles.h"
#include "pass/pass.h"
#include "pass/probe_pass.h"
#include "pass/tiny.h"
#include "pass/walk.h"
#include "tensor/usage.h"

namespace qsweep::pass {
namespace {

using testing::Tiny;

class Plan : public ::testing::Test {
 protected:
  explicit Plan(const std::vector<std::string>& ids = {"eval-000", "eval-005"}) : tiny_(ids) {}

  // In each format everything at once, and every op from the first one on alone: in the format, or in float
  // of everything.
  std::vector<Variant> variants(bool leave_one_out, size_t first = 0) const {
    const size_t ops = tiny_.model.ops.size();
    std::vector<Variant> all;
    for (const quant::Format* format : formats_)
      all.push_back({.carried = true, .formats = std::vector<const quant::Format*>(ops, format)});
    for (size_t op = first; op < ops; ++op)
      for (size_t f = 0; f < formats_.size(); ++f)
        all.push_back({.parent = leave_one_out ? VariantId{static_cast<int>(f)} : kReference,
                       .overrides = {{static_cast<int>(op), leave_one_out ? nullptr : formats_[f]}}});
    return all;
  }
  std::vector<const models::Sample*> samples() const {
    std::vector<const models::Sample*> all;
    for (const models::Sample& sample : tiny_.data) all.push_back(&sample);
    return all;
  }
  // All variants in one pass.
  PassReport run(const std::vector<Variant>& variants, graph::Workspace& workspace) const {
    return run_pass({.setting = setting(), .variants = variants, .live = all_of(variants)}, workspace,
                    {.metrics = [](VariantId, int64_t, const scores::ScopedSums&) {},
                     .range = {},
                     .local = [](VariantId, const scores::LocalStats&) {},
                     .stage_done = {}});
  }
  PassSetting setting() const {
    return {.model = tiny_.model,
            .ops = context_,
            .dtype = DType::bf16,
            .samples = samples(),
            .ranges = no_ranges_};
  }
  const Tiny& tiny() const { return tiny_; }
  const std::vector<const quant::Format*>& formats() const { return formats_; }
  const ops::Context& context() const { return context_; }
  const Ranges& no_ranges() const { return no_ranges_; }

 private:
  Tiny tiny_;
  std::vector<const quant::Format*> formats_ = testing::formats({"w8a8_dynamic", "w4a16_g32"});
  kernels::Gemm gemm_{Threads{2}};
  ops::Context context_{gemm_};
  Ranges no_ranges_{tiny_.model.ops.size()};
};

TEST_F(Plan, APassOfVariantsHoldsWhatIsPlanned) {
  for (const bool leave_one_out : {false, true}) {
    const std::vector<Variant> variants = this->variants(leave_one_out);
    graph::Workspace dry(/*dry=*/true), real(Threads{2});
    EXPECT_EQ(run(variants, dry).peak_bytes, run(variants, real).peak_bytes);
  }
}

TEST_F(Plan, APassOfProbesHoldsWhatIsPlanned) {
  const std::vector<ProbeSet> sets{{kernels::ProbeKind::fisher, {}, 2}};
  const auto run = [&](graph::Workspace& workspace, int keep_every) {
    const ProbeSinks sinks{.products = [](int, size_t, size_t, int64_t, int64_t, const ProbeProducts&) {},
                           .local = [](int, size_t, const scores::LocalStats&) {},
                           .trace = {},
                           .weight_error = {},
                           .logits_norm = [](int64_t, scores::Scope, double) {},
                           .stage_done = {}};
    return run_probe_pass({.setting = setting(),
                           .sample_index = {0, 1},
                           .sets = sets,
                           .formats = formats(),
                           .wanted = [](size_t, size_t) { return true; },
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
  const std::vector<Variant> variants = this->variants(/*leave_one_out=*/false, tiny().model.ops.size() - 1);
  graph::Workspace dry(/*dry=*/true);
  const PassSetting setting = this->setting();
  const int64_t batch_bytes = Walk(setting, dry).batch().size_bytes();
  const int64_t peak = run(variants, dry).peak_bytes;  // the workspace's own is that of the head
  const graph::LinearOp& head = tiny().model.lm_head();
  const int64_t tile_bytes =
      std::min(kHeadTile, head.out_features()) * head.in_features() * size_bytes(head.weight.dtype);
  EXPECT_EQ(peak, batch_bytes + tile_bytes + dry.peak_bytes());
}

// Attention takes its tiles from outside of the workspace, so what tensors really take is asked for.
TEST_F(Plan, AttentionsTilesAreInIt) {
  const models::Model model = models::load(testing::kData + "/tiny-qwen2.5-vl", {.image_size = 672});
  const std::vector<models::Sample> data = testing::prepare(model, "eval.jsonl", {"eval-000"});
  const PassSetting setting{
      .model = model, .ops = context(), .samples = {&data.front()}, .ranges = no_ranges()};
  graph::Workspace dry(/*dry=*/true), real(Threads{2});
  const int64_t planned = run_reference(setting, dry, {}).peak_bytes;
  release_kept_memory();
  const int64_t before = most_tensor_bytes();
  run_reference(setting, real, [](int, Matrix<const float>) {});
  const int64_t taken = most_tensor_bytes() - before;
  EXPECT_LE(taken, planned);
  EXPECT_GE(taken, planned / 10 * 6);
}

}  // namespace
}  // namespace qsweep::pass
