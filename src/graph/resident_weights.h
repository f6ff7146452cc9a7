// The checkpoint's weights where a device computes with them: on the CPU in place, for a GPU as copies in its
// memory.
#pragma once

#include <map>
#include <span>

#include "kernels/buffer.h"

namespace qsweep::graph {

class ResidentWeights {
 public:
  explicit ResidentWeights(kernels::Device device) : device_(device) {}

  // The same tensor in the device's memory, copied there now where it is not yet.
  TensorView at(const TensorView& weight);
  // Gives the copies back. What was asked for with them may still have to be computed.
  void release(std::span<const TensorView> weights);

 private:
  kernels::Device device_;
  std::map<const std::byte*, kernels::Buffer> copies_;  // by where they stand in the host's memory
};

}  // namespace qsweep::graph
