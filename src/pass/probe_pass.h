// One pass of the estimators: the reference forward, random probes at its output, and their gradients at
// every op's output by one walk backward, where they meet the ops' own errors in all formats.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <tuple>

#include "kernels/probes.h"
#include "pass/setting.h"

namespace qsweep::pass {

// Probes of one kind: what they are drawn for, and how many.
struct ProbeSet {
  kernels::ProbeKind kind = kernels::ProbeKind::rademacher;
  scores::Metric metric;  // whose scope says which rows they have; hidden_sse: at the final hidden state
  int64_t probes = 1;     // 1 for cross_entropy
};

struct ProbePassInput {
  PassSetting setting;
  std::vector<int> sample_index;  // in the data: a sample's probes do not depend on its neighbours
  std::span<const ProbeSet> sets;
  std::span<const quant::Format* const> formats;
  std::function<bool(size_t op, size_t format)> wanted;  // which errors are computed
  uint64_t seed = 0;
  bool traces = false;
  int keep_every = 1;  // of so many stages one keeps its inputs; the others are computed once more
  bool keep_linear_outputs = false;  // else they are computed once more
  // What an earlier pass over the same samples has left of the reference, with the linear ops' outputs; it is
  // taken. A dry run takes it to be there; otherwise, if it is empty, this pass computes the same.
  ReferenceValues* reference = nullptr;
};

// The products of one probe's gradients g with an op's own error e, over one sample.
struct ProbeProducts {
  double whole = 0;    // sum over tokens and channels of g e; its square has no bias
  double token = 0;    // sum over tokens of (sum over channels of g e)^2; less noise
  double element = 0;  // sum over tokens and channels of (g e)^2; cross_entropy alone
};

struct ProbeSinks {
  std::function<void(int op, size_t format, size_t set, int64_t probe, int64_t sample, const ProbeProducts&)>
      products;
  std::function<void(int op, size_t format, const scores::LocalStats&)> local;
  // Squared norm of the gradient with respect to the op's weight; sum over the elements of (Q(W) - W)^2.
  std::function<void(int op, size_t set, int64_t probe, int64_t sample, double)> trace;
  std::function<void(int op, size_t format, double)> weight_error;
  // Sum over the rows in a scope of the squared logits.
  std::function<void(int64_t sample, scores::Scope, double)> logits_norm;
  std::function<void(const std::string& stage, double flops)> stage_done;
};
// Those whose calls are results.
inline auto results(ProbeSinks& sinks) {
  return std::tie(sinks.products, sinks.local, sinks.trace, sinks.weight_error, sinks.logits_norm);
}

// In a dry workspace nothing is computed and no sink but stage_done is called.
PassReport run_probe_pass(const ProbePassInput& input, graph::Workspace& workspace, const ProbeSinks& sinks);

}  // namespace qsweep::pass
