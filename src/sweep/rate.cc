#include "sweep/rate.h"

#include <algorithm>
#include <map>

namespace qsweep::sweep {

double measure_model_rate(const models::Model& model, kernels::Gemm& gemm, DType dtype, int64_t rows) {
  constexpr size_t kShapes = 5;
  constexpr double kSecondsPerShape = 0.1;
  std::map<std::pair<int64_t, int64_t>, double> flops_of;
  for (const graph::LinearOp& op : model.ops)
    if (&op != &model.lm_head())
      flops_of[{op.in_features(), op.out_features()}] += static_cast<double>(op.weight.elements());
  std::vector<std::pair<double, std::pair<int64_t, int64_t>>> shapes;
  for (const auto& [shape, flops] : flops_of) shapes.push_back({flops, shape});
  std::sort(shapes.rbegin(), shapes.rend());
  shapes.resize(std::min(shapes.size(), kShapes));
  double flops = 0, seconds = 0;
  for (const auto& [weight, shape] : shapes) {
    flops += weight;
    seconds += weight / kernels::measure_rate(gemm, dtype, rows, shape.first, shape.second, kSecondsPerShape);
  }
  return flops / seconds;
}

}  // namespace qsweep::sweep
