// The ranges of the ops' inputs, in the device's memory.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kernels/deferred.h"
#include "kernels/quantize.h"

namespace qsweep::graph {

struct LinearOp;

// An input, or the part of it that has a range of its own, and which of the ranges that is.
struct RangedInput {
  int range = 0;
  Matrix<const float> x;
};
std::vector<RangedInput> ranged_inputs(const LinearOp& op, int index, Matrix<const float> x);

class OpRanges {
 public:
  // known: as count_ranges counts them.
  OpRanges(kernels::Device device, std::span<const std::optional<kernels::Range>> known);

  // Null where it is not known.
  const kernels::Range* of(int range) const {
    return known_[static_cast<size_t>(range)] ? place(range) : nullptr;
  }
  // From now on the range of x, which is told with the deferred numbers.
  void find(int range, Matrix<const float> x, kernels::Deferred& deferred,
            std::function<void(const kernels::Range&)> then);

 private:
  kernels::Range* place(int range) const { return static_cast<kernels::Range*>(memory_.data()) + range; }

  kernels::Device device_;
  kernels::Buffer memory_;
  std::vector<bool> known_;
};

}  // namespace qsweep::graph
