// The numbers of a synthetic checkpoint: scales like those of trained models, so that activations neither
// vanish nor blow up at any depth, and outlier channels, which are what makes quantizing hard.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/codec.h"
#include "base/parallel.h"
#include "tensor/tensor.h"

namespace qsweep::synth {

// One tensor. An element depends on the seed, the tensor's name and shape and its own place only: neither on
// the piece it is drawn in nor on the threads.
class Values {
 public:
  // `name` is the checkpoint's; its end says what the tensor is. norm_mean: around which the weights of a
  // norm lie, 0 where the model adds 1 to them.
  Values(uint64_t seed, const std::string& name, const Shape& shape, double norm_mean = 1);

  // The elements from `first`, a multiple of 4, on.
  void draw(Threads threads, int64_t first, std::span<bf16> out) const;

 private:
  uint64_t key_;
  std::vector<bf16> table_;           // the distribution's 65536 quantiles
  std::map<int64_t, bf16> outliers_;  // by element
};

}  // namespace qsweep::synth
