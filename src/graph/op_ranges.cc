#include "graph/op_ranges.h"

#include "graph/graph.h"

namespace qsweep::graph {

std::vector<RangedInput> ranged_inputs(const LinearOp& op, int index, Matrix<const float> x) {
  if (!op.cache) return {{index, x}};
  const int64_t width = op.cache->width();
  return {{index, x.cols_at(0, width)}, {op.cache->values_range, x.cols_at(width, width)}};
}

OpRanges::OpRanges(kernels::Device device, std::span<const std::optional<kernels::Range>> known)
    : device_(device) {
  std::vector<kernels::Range> ranges;
  for (const std::optional<kernels::Range>& range : known) {
    ranges.push_back(range.value_or(kernels::Range{}));
    known_.push_back(range.has_value());
  }
  const auto bytes = static_cast<int64_t>(ranges.size() * sizeof(kernels::Range));
  memory_ = kernels::Buffer(device_, DType::u8, 1, bytes);
  kernels::copy_to_device(device_, memory_.data(), ranges.data(), bytes);
}

void OpRanges::find(int range, Matrix<const float> x, kernels::Deferred& deferred,
                    std::function<void(const kernels::Range&)> then) {
  kernels::Range* const found = place(range);
  kernels::find_range(device_, x, found);
  known_[static_cast<size_t>(range)] = true;
  kernels::join_ranges(device_, {&found->min, 1}, {&found->max, 1},
                       deferred.ask<kernels::Range>(std::move(then)));
}

}  // namespace qsweep::graph
