#include "graph/resident_weights.h"

namespace qsweep::graph {

TensorView ResidentWeights::at(const TensorView& weight) {
  if (device_.gpu == nullptr || weight.elements() == 0) return weight;
  kernels::Buffer& copy = copies_[weight.data];
  if (copy.data() == nullptr) {
    copy = kernels::Buffer(device_, DType::u8, 1, weight.size_bytes());
    kernels::copy_to_device(device_, copy.data(), weight.data, weight.size_bytes());
  }
  QSWEEP_CHECK(copy.size_bytes() == weight.size_bytes(), "{} bytes of a weight of {}", weight.size_bytes(),
               copy.size_bytes());
  return {weight.dtype, weight.shape, static_cast<const std::byte*>(copy.data())};
}

void ResidentWeights::release(std::span<const TensorView> weights) {
  for (const TensorView& weight : weights) copies_.erase(weight.data);
}

}  // namespace qsweep::graph
