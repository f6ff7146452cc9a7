// The stages of a model one after the other, for one batch of samples: what all kinds of passes share.
#pragma once

#include <functional>
#include <span>

#include "graph/workspace.h"
#include "pass/finite.h"
#include "pass/setting.h"

namespace qsweep::pass {

class Walk {
 public:
  // Loads what the samples' stages read. Both must outlive the walk.
  Walk(const PassSetting& setting, graph::Workspace& workspace);
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  const graph::Batch& batch() const { return batch_; }
  const graph::Pass& pass() const { return pass_; }
  const PassReport& report() const { return report_; }
  PassReport& report() { return report_; }
  // All stages but the head.
  std::span<const graph::Stage> body() const {
    return std::span(setting_.model.stages).first(setting_.model.stages.size() - 1);
  }

  // Stage i of the body on the way forward: compute() says what values it has left of the reference. Error
  // where one of them, or what check() was told meanwhile, is not finite.
  void forward(size_t i, const std::function<const graph::Values&()>& compute);
  void check(int op, const graph::Value& output) { finite_.op_output(op, output.matrix); }
  // Stage i of the body on the way back.
  void backward(size_t i, const std::function<void()>& compute);
  // The head, whose weights are read twice, tile by tile.
  void head(const std::function<void()>& compute);

 private:
  void stage(const graph::Stage& stage, const graph::Stage* next, const std::function<void()>& compute);
  void read(const graph::Stage& stage, const graph::Stage* next);
  int64_t weight_bytes(const graph::Stage* stage) const;
  void note_peak(int64_t weight_bytes);

  const PassSetting& setting_;
  graph::Workspace& workspace_;
  PassReport report_;
  graph::Batch batch_;
  graph::Pass pass_;
  ReferenceCheck finite_;
};

}  // namespace qsweep::pass
