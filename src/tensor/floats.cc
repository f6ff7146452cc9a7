#include "tensor/floats.h"

#include <algorithm>
#include <bit>

namespace qsweep {
namespace {

// The bits of the exponent: all ones in NaN and infinities.
constexpr uint32_t kF32Exponent = 0x7f800000;
constexpr uint16_t kBf16Exponent = 0x7f80;
constexpr uint16_t kF16Exponent = 0x7c00;

bool is_non_finite(float x) { return (std::bit_cast<uint32_t>(x) & kF32Exponent) == kF32Exponent; }
bool is_non_finite(bf16 x) { return (x.bits & kBf16Exponent) == kBf16Exponent; }
bool is_non_finite(f16 x) { return (x.bits & kF16Exponent) == kF16Exponent; }

// Without a branch per element, so that compilers make vectors of it.
template <class T>
bool any_non_finite(std::span<const T> values) {
  unsigned found = 0;
  for (const T value : values) found |= static_cast<unsigned>(is_non_finite(value));
  return found != 0;
}

template <class T>
std::optional<int64_t> find_non_finite(std::span<const T> values) {
  constexpr size_t kBlock = 4096;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    if (!any_non_finite(block)) continue;
    const auto first = std::find_if(block.begin(), block.end(), [](T value) { return is_non_finite(value); });
    return static_cast<int64_t>(begin) + (first - block.begin());
  }
  return std::nullopt;
}

}  // namespace

bool equal_values(const TensorView& a, const TensorView& b) {
  const auto equal = [](auto x, auto y) { return to_float(x) == to_float(y); };
  return visit_floats(a, [&](auto x) {
    return visit_floats(b, [&](auto y) { return std::equal(x.begin(), x.end(), y.begin(), y.end(), equal); });
  });
}

std::optional<int64_t> first_non_finite(const TensorView& tensor) {
  if (tensor.dtype == DType::f8_e4m3) {
    const std::span codes(reinterpret_cast<const uint8_t*>(tensor.data),
                          static_cast<size_t>(tensor.elements()));
    const auto nan =
        std::find_if(codes.begin(), codes.end(), [](uint8_t code) { return (code & 0x7f) == 0x7f; });
    return nan == codes.end() ? std::nullopt : std::optional<int64_t>(nan - codes.begin());
  }
  if (tensor.dtype == DType::u8 || tensor.dtype == DType::i8 || tensor.dtype == DType::i32)
    return std::nullopt;
  return visit_floats(tensor, [](auto values) { return find_non_finite(values); });
}

}  // namespace qsweep
