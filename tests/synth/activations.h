// How large the values in a model are.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "graph/forward.h"
#include "models/model.h"

namespace qsweep::synth {

inline double root_mean_square(const graph::Value& value) {
  double sum = 0;
  for (int64_t r = 0; r < value.matrix.rows; ++r)
    for (int64_t c = 0; c < value.matrix.cols; ++c)
      sum += static_cast<double>(value.matrix.row(r)[c]) * static_cast<double>(value.matrix.row(r)[c]);
  return std::sqrt(sum / static_cast<double>(value.matrix.rows * value.matrix.cols));
}

// The root mean square of every stage's first output, in order, for one sample.
inline std::vector<std::pair<std::string, double>> stage_sizes(const models::Model& model,
                                                               const text::Sample& data) {
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(model.inputs->prepare(data), models::InputBuilder::Pixels::decode));
  const graph::Batch batch(std::move(inputs));
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  graph::Workspace workspace;
  graph::Forward forward({context, workspace, batch, model.ops});
  graph::Values values;
  std::vector<std::pair<std::string, double>> sizes;
  for (const graph::Stage& stage : model.stages) {
    forward.run(stage, values);
    sizes.emplace_back(stage.name, root_mean_square(values.at(stage.outputs[0].first)));
  }
  return sizes;
}

}  // namespace qsweep::synth
