// What every interpreter works with.
#pragma once

#include <span>

#include "graph/batch.h"
#include "graph/graph.h"
#include "graph/workspace.h"
#include "ops/context.h"

namespace qsweep::graph {

struct Pass {
  const ops::Context& ops;
  Workspace& workspace;
  const Batch& batch;
  std::span<const LinearOp> linear_ops;
};

}  // namespace qsweep::graph
