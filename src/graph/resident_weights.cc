#include "graph/resident_weights.h"

#include <algorithm>

namespace qsweep::graph {
namespace {

constexpr int64_t kAlignment = 256;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void ResidentWeights::prefetch(std::span<const TensorView> weights) {
  const auto is_there = [&](const Place& place) { return place.copies.contains(weights.front().data); };
  if (device_.gpu == nullptr || weights.empty() || std::ranges::any_of(places_, is_there)) return;
  if (!background_) background_.emplace(device_);
  filled_ = 1 - filled_;
  Place& place = places_[filled_];
  int64_t bytes = 0;
  for (const TensorView& weight : weights) bytes += aligned(weight.size_bytes());
  if (place.memory.size_bytes() < bytes) {
    if (place.memory.size_bytes() > 0) background_->join(place.last);  // nothing is copied into freed memory
    place.memory = {};
    place.memory = kernels::Buffer(device_, DType::u8, 1, bytes);
    place.released = background_->mark();  // until then the memory is not there
  }
  place.copies.clear();
  auto* to = static_cast<std::byte*>(place.memory.data());
  for (const TensorView& weight : weights) {
    place.last = background_->copy(to, weight.data, weight.size_bytes(), place.released);
    place.copies[weight.data] = {.data = to, .copy = place.last};
    to += aligned(weight.size_bytes());
  }
}

TensorView ResidentWeights::at(const TensorView& weight) {
  if (device_.gpu == nullptr || weight.elements() == 0) return weight;
  for (Place& place : places_) {
    const auto found = place.copies.find(weight.data);
    if (found == place.copies.end()) continue;
    Prefetched& copy = found->second;
    if (!copy.joined) background_->join(copy.copy);  // those after it hold up nobody
    copy.joined = true;
    return {weight.dtype, weight.shape, copy.data};
  }
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
  for (const TensorView& weight : weights) {
    copies_.erase(weight.data);
    for (Place& place : places_)
      if (place.copies.erase(weight.data) > 0 && place.copies.empty()) place.released = background_->mark();
  }
}

}  // namespace qsweep::graph
