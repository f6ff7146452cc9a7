#include "pass/pass.h"

#include <algorithm>
#include <map>

#include "base/trace.h"
#include "pass/head.h"
#include "pass/walk.h"

namespace qsweep::pass {
namespace {

// The reference, the carried variants that the pass needs, and their leaves; which variant each one is.
struct Branches {
  std::vector<graph::Branch> branches;
  std::vector<VariantId> variants;  // kReference first
};

Branches branches_of(const PassInput& input) {
  Branches all;
  all.branches.push_back(
      {.formats = std::vector<const quant::Format*>(input.setting.model.ops.size()), .leaves = {}});
  all.variants.push_back(kReference);
  const auto branch_of = [&](VariantId carried) -> graph::Branch& {
    const auto it = std::find(all.variants.begin(), all.variants.end(), carried);
    if (it != all.variants.end()) return all.branches[static_cast<size_t>(it - all.variants.begin())];
    all.variants.push_back(carried);
    return all.branches.emplace_back(graph::Branch{
        .formats = at(input.variants, carried).formats, .leaves = {}, .id = static_cast<int>(carried)});
  };
  for (const VariantId v : input.live) {
    const Variant& variant = at(input.variants, v);
    if (variant.carried) {
      branch_of(v);
    } else {
      branch_of(variant.parent).leaves.push_back({.id = static_cast<int>(v), .overrides = variant.overrides});
    }
  }
  return all;
}

// What a pass does with the reference's values beside writing variants as differences from them.
class ReferenceUses {
 public:
  ReferenceUses(const PassInput& input, graph::Workspace& workspace, Walk& walk, const PassSinks& sinks)
      : workspace_(workspace),
        walk_(walk),
        sinks_(sinks),
        ranges_(input.setting.ops.device(), input.setting.ranges),
        calibrates_(input.calibrates && !workspace.dry()),
        kept_(input.reference) {}

  const graph::OpRanges& ranges() const { return ranges_; }
  graph::LinearObserver observer() {
    graph::LinearObserver observer;
    if (calibrates_) observer.input = [this](int op, Matrix<const float> x) { find_range(op, x); };
    observer.output = [this](int op, const graph::Value& y) {
      walk_.check(op, y);
      if (kept_ != nullptr) kept_->linear_outputs[op] = y;
    };
    return observer;
  }
  void head_input(int op, Matrix<const float> x) {
    if (calibrates_) find_range(op, x);
  }
  void keep_inputs(size_t stage, const graph::Values& values) {
    if (kept_ != nullptr) kept_->inputs[stage] = values;
  }
  void keep_nothing() { kept_ = nullptr; }

 private:
  void find_range(int op, Matrix<const float> x) {
    const trace::Span span("row kernels", "ranges");
    const graph::LinearOp& of = walk_.pass().linear_ops[static_cast<size_t>(op)];
    for (const graph::RangedInput& part : graph::ranged_inputs(of, op, x))
      ranges_.find(
          part.range, part.x, workspace_.deferred(),
          [this, i = part.range](const quant::Range& found) { sinks_.range(i, found.min, found.max); });
  }

  graph::Workspace& workspace_;
  Walk& walk_;
  const PassSinks& sinks_;
  graph::OpRanges ranges_;
  bool calibrates_;
  ReferenceValues* kept_;  // null: nowhere
};

graph::ForkObserver fork_observer(const PassSinks& sinks) {
  if (!sinks.local) return {};
  return [&](int leaf, const scores::LocalStats& stats) { sinks.local(VariantId{leaf}, stats); };
}

}  // namespace

PassReport run_pass(const PassInput& input, graph::Workspace& workspace, const PassSinks& sinks,
                    const Boundaries& boundaries) {
  const PassSetting& setting = input.setting;
  trace::Span span("pass", "variants");
  span.arg("samples", static_cast<int64_t>(setting.samples.size()));
  span.arg("variants", static_cast<int64_t>(input.live.size()));
  Walk walk(setting, workspace);
  ReferenceUses reference(input, workspace, walk, sinks);
  Branches branches = branches_of(input);
  std::map<int, int64_t> flips;  // by variant, in a stage
  graph::Variants variants(walk.pass(), setting.dtype, reference.ranges(), std::move(branches.branches),
                           fork_observer(sinks), reference.observer(),
                           [&](const graph::Flip& flip) { ++flips[flip.id]; });
  const auto done = [&](const std::string& stage, double flops) {
    if (sinks.stage_done) sinks.stage_done(stage, flops);
  };

  const size_t restored = boundaries.restore ? boundaries.restore(variants) : 0;
  if (restored > 0) reference.keep_nothing();
  if (restored > 0) done("", variants.flops());
  const std::span<const graph::Stage> stages = walk.body();
  for (size_t i = restored; i < stages.size(); ++i) {
    reference.keep_inputs(i, variants.values(0));
    const double before = variants.flops();
    walk.forward(i, [&]() -> const graph::Values& {
      variants.run(stages[i]);
      return variants.values(0);
    });
    for (const auto& [id, rows] : flips)
      if (sinks.flips) sinks.flips(VariantId{id}, rows);
    flips.clear();
    if (boundaries.reached) boundaries.reached(i + 1, variants);
    done(stages[i].name, variants.flops() - before);
  }

  reference.keep_inputs(stages.size(), variants.values(0));
  double head_flops = 0;
  walk.head([&] {
    reference.head_input(setting.head_op(), variants.values(0).at("hidden").matrix);
    head_flops = score_head(input, walk.pass(), variants, branches.variants, sinks);
  });
  done(setting.model.stages.back().name, head_flops);
  walk.report().flops = variants.flops() + head_flops;
  return walk.report();
}

PassReport run_reference(const PassSetting& setting, graph::Workspace& workspace,
                         const std::function<void(int op, Matrix<const float> x)>& observer) {
  trace::Span span("pass", "reference");
  span.arg("samples", static_cast<int64_t>(setting.samples.size()));
  Walk walk(setting, workspace);
  graph::Forward forward(walk.pass());
  graph::Values values;
  const auto output = [&](int op, const graph::Value& y) { walk.check(op, y); };
  for (size_t i = 0; i < walk.body().size(); ++i)
    walk.forward(i, [&]() -> const graph::Values& {
      forward.run(walk.body()[i], values, {.input = observer, .output = output});
      return values;
    });
  if (!workspace.dry()) observer(setting.head_op(), values.at("hidden").matrix);
  workspace.deferred().settle();
  return walk.report();
}

}  // namespace qsweep::pass
