// The checkpoint's weights where a device computes with them: on the CPU in place, for a GPU as copies in its
// memory.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>

#include "kernels/buffer.h"

namespace qsweep::graph {

class ResidentWeights {
 public:
  explicit ResidentWeights(kernels::Device device) : device_(device) {}

  // Begins to copy weights that are used together, unless they are there, while the device computes. Of the
  // last two groups only.
  void prefetch(std::span<const TensorView> weights);
  // The same tensor in the device's memory; what was not prefetched is copied now.
  TensorView at(const TensorView& weight);
  // Gives the copies back. What was asked for with them may still have to be computed.
  void release(std::span<const TensorView> weights);

 private:
  // Weights that were prefetched together. Two places take turns: one is computed with, one is filled.
  struct Prefetched {
    std::byte* data = nullptr;
    kernels::BackgroundCopies::Copy copy;
    bool joined = false;
  };
  struct Place {
    kernels::Buffer memory;
    std::map<const std::byte*, Prefetched> copies;  // by where they stand in the host's memory
    kernels::BackgroundCopies::Copy last;           // into it
    kernels::BackgroundCopies::Mark released;       // what was computed with the weights before
  };

  kernels::Device device_;
  std::map<const std::byte*, kernels::Buffer> copies_;  // made when they were asked for
  std::array<Place, 2> places_;
  size_t filled_ = 0;                                    // the place that was filled last
  std::optional<kernels::BackgroundCopies> background_;  // ends before what it copies to
};

}  // namespace qsweep::graph
