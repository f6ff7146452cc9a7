#include "tensor/tensor.h"

#include <cstdlib>
#include <new>

#include <fmt/ranges.h>
#include <sys/mman.h>

#include "base/checked.h"

namespace qsweep {

int64_t element_count(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) {
    if (extent < 0) fail("shape {} has a negative extent", to_string(shape));
    n = checked_mul(n, extent);
  }
  return n;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

namespace {
constexpr size_t kAlignment = 64;
constexpr size_t kMapFromBytes = size_t{1} << 20;
}  // namespace

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  const auto bytes = static_cast<size_t>(checked_mul(element_count(shape_), qsweep::size_bytes(dtype)));
  if (bytes >= kMapFromBytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) fail("out of memory: {} bytes for a tensor of shape {}", bytes, to_string(shape_));
    data_ = {static_cast<std::byte*>(p), Release{bytes}};
  } else {
    const size_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
    auto* p = static_cast<std::byte*>(std::aligned_alloc(kAlignment, padded));
    if (p == nullptr) fail("out of memory: {} bytes for a tensor of shape {}", bytes, to_string(shape_));
    data_ = {p, Release{0}};
  }
}

void Tensor::Release::operator()(std::byte* p) const {
  if (mapped_bytes > 0) {
    munmap(p, mapped_bytes);
  } else {
    std::free(p);
  }
}

}  // namespace qsweep
