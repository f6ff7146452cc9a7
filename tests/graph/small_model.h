// Small models of whole numbers, for which all that an interpreter computes is exact.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "graph/graph.h"
#include "graph/value.h"
#include "kernels/gemm.h"
#include "ops/context.h"

namespace qsweep::graph {

// From -limit to limit.
inline int64_t whole_number(Rng& rng, uint64_t limit) {
  return static_cast<int64_t>(rng.below(2 * limit + 1)) - static_cast<int64_t>(limit);
}
inline int64_t small(Rng& rng) { return whole_number(rng, 3); }

inline constexpr Rows kPatches{1}, kUnits{2};

// Two samples with images (8 and 4 patches, 2 and 1 units) and one without.
inline std::vector<SampleInputs> make_samples() {
  std::vector<SampleInputs> samples(3);
  samples[0].rows = {5, 8, 2};
  samples[1].rows = {3, 0, 0};
  samples[2].rows = {7, 4, 1};
  samples[0].indices["order"] = {kPatches, {7, 1, 1, 4, 0, 3, 2, 7}};  // 5 and 6 are never read
  samples[0].indices["images"] = {kUnits, {-1, 1, -1, 0, 0}};
  samples[2].indices["order"] = {kPatches, {2, 3, 0, 1}};
  samples[2].indices["images"] = {kUnits, {-1, -1, -1, -1, 0, -1, -1}};
  samples[1].indices = {{"order", {kPatches, {}}}, {"images", {kUnits, {-1, -1, -1}}}};
  for (SampleInputs& s : samples) s.token_ids.assign(static_cast<size_t>(s.rows[Rows::tokens]), 1);
  return samples;
}

// Weights of whole numbers; their memory must outlive the stages.
struct Weights {
  Rng rng{7};
  std::vector<std::unique_ptr<std::vector<float>>> kept;

  TensorView keep(std::vector<float> numbers, int64_t rows, int64_t cols) {
    kept.push_back(std::make_unique<std::vector<float>>(std::move(numbers)));
    return {DType::f32, {rows, cols}, reinterpret_cast<const std::byte*>(kept.back()->data())};
  }
  TensorView matrix(int64_t rows, int64_t cols, uint64_t limit = 3) {
    std::vector<float> numbers;
    for (int64_t i = 0; i < rows * cols; ++i) numbers.push_back(static_cast<float>(whole_number(rng, limit)));
    return keep(std::move(numbers), rows, cols);
  }
  LinearOp linear(const std::string& name, int64_t in, int64_t out) {
    LinearOp op;
    op.name = name;
    op.weight = matrix(out, in);
    return op;
  }
};

struct Model {
  Weights weights;
  std::vector<LinearOp> ops;
  kernels::Gemm gemm{{1}};
  ops::Context context{gemm};
};

inline Value random_value(Workspace& workspace, Rng& rng, int64_t rows, int64_t cols) {
  Value v{workspace.allocate(DType::f32, rows, cols), {}};
  v.matrix = {static_cast<float*>(v.block->data()), rows, cols};
  for (int64_t i = 0; i < rows * cols; ++i) v.matrix.data[i] = static_cast<float>(small(rng));
  return v;
}

}  // namespace qsweep::graph
