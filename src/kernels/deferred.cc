#include "kernels/deferred.h"

#include <algorithm>

namespace qsweep::kernels {
namespace {

constexpr int64_t kBytes = int64_t{256} << 10;
constexpr int64_t kAlignment = 16;

}  // namespace

int64_t Deferred::reserve(int64_t bytes) {
  if (used_ + bytes > memory_.size_bytes()) settle();
  if (bytes > memory_.size_bytes()) memory_ = Buffer(device_, DType::u8, 1, std::max(bytes, kBytes));
  const int64_t at = used_;
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return at;
}

void Deferred::settle() {
  std::vector<std::byte> numbers(static_cast<size_t>(std::min(used_, memory_.size_bytes())));
  if (!numbers.empty())
    copy_to_host(device_, numbers.data(), memory_.data(), static_cast<int64_t>(numbers.size()));
  used_ = 0;
  for (const auto& call : std::exchange(calls_, {})) call(numbers.data());
}

}  // namespace qsweep::kernels
