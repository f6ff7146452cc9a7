// Numbers that cannot be: where a weight or a value of the float model is NaN or infinite, no score means
// anything.
#pragma once

#include <string>

#include "base/parallel.h"
#include "graph/value.h"
#include "graph/workspace.h"
#include "pass/setting.h"

namespace qsweep::pass {

// Reads every weight of the model once. Error that names the first tensor, in the order of the stages, with
// an element that is not finite.
void check_weights(const models::Model& model, Threads threads);

// Watches the values of the reference in a pass. What it finds out is known once the workspace's deferred
// numbers are told.
class ReferenceCheck {
 public:
  // All must outlive it. batch: of the setting's samples.
  ReferenceCheck(const PassSetting& setting, const graph::Batch& batch, graph::Workspace& workspace)
      : setting_(setting), batch_(batch), workspace_(workspace) {}

  void op_output(int op, Matrix<const float> y);
  // What a stage has left.
  void outputs(const graph::Stage& stage, const graph::Values& left);
  // Error where something was not finite, with the op or stage at which it happened first and the sample.
  void tell(const graph::Stage& stage, const graph::Values& left) const;

 private:
  void watch(const std::string& what, Matrix<const float> y);

  const PassSetting& setting_;
  const graph::Batch& batch_;
  graph::Workspace& workspace_;
  std::string first_;  // what was not finite; empty: nothing
};

}  // namespace qsweep::pass
