// The ranges of the ops' inputs, in the device's memory.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kernels/deferred.h"
#include "kernels/quantize.h"

namespace qsweep::graph {

class OpRanges {
 public:
  OpRanges(kernels::Device device, std::span<const std::optional<kernels::Range>> known);

  // Null where it is not known.
  const kernels::Range* of(int op) const { return known_[static_cast<size_t>(op)] ? place(op) : nullptr; }
  // From now on the range of x, which is told with the deferred numbers.
  void find(int op, Matrix<const float> x, kernels::Deferred& deferred,
            std::function<void(const kernels::Range&)> then);

 private:
  kernels::Range* place(int op) const { return static_cast<kernels::Range*>(memory_.data()) + op; }

  kernels::Device device_;
  kernels::Buffer memory_;
  std::vector<bool> known_;
};

}  // namespace qsweep::graph
