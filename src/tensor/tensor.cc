#include "tensor/tensor.h"

#include <cstdlib>
#include <map>
#include <mutex>

#include <fmt/ranges.h>
#include <malloc.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "tensor/usage.h"

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
constexpr size_t kMapFromBytes = size_t{128} << 10;
constexpr size_t kPage = 4096;

// Mapped blocks by size, those that are free. A block is resized to what is asked for, so that nothing is
// resident beyond what is in use or kept.
class Blocks {
 public:
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    used_ += bytes;
    most_used_ = std::max(most_used_, used_);
    void* block = reuse(bytes);
    while (used_ + kept_ > most_used_) drop(std::prev(free_.end()));
    if (block == nullptr)
      block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) used_ -= bytes;
    return block;
  }

  void give_back(void* block, size_t bytes) {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
    kept_ += bytes;
    free_.emplace(bytes, block);
  }

  size_t most_used() {
    const std::lock_guard lock(mutex_);
    return most_used_;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    while (!free_.empty()) drop(free_.begin());
    most_used_ = used_;
  }

 private:
  using Free = std::multimap<size_t, void*>;

  // A free block between half and twice the size, the next larger one first; null where there is none.
  void* reuse(size_t bytes) {
    auto found = free_.lower_bound(bytes);
    if (found == free_.end() || found->first > 2 * bytes) {
      if (found == free_.begin()) return nullptr;
      --found;
      if (found->first < bytes / 2) return nullptr;
    }
    const auto [size, block] = *found;
    kept_ -= size;
    free_.erase(found);
    if (size == bytes) return block;
    void* resized = mremap(block, size, bytes, MREMAP_MAYMOVE);
    if (resized == MAP_FAILED) munmap(block, size);
    return resized == MAP_FAILED ? nullptr : resized;
  }
  void drop(Free::iterator block) {
    munmap(block->second, block->first);
    kept_ -= block->first;
    free_.erase(block);
  }

  std::mutex mutex_;
  Free free_;
  size_t used_ = 0, kept_ = 0, most_used_ = 0;
};

// Never destroyed: tensors of static storage may be freed after it would be.
Blocks& blocks() {
  static auto* const all = new Blocks;
  return *all;
}

}  // namespace

void release_kept_memory() {
  blocks().release();
  malloc_trim(0);
}

int64_t most_tensor_bytes() { return static_cast<int64_t>(blocks().most_used()); }

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  const auto bytes = static_cast<size_t>(checked_mul(element_count(shape_), qsweep::size_bytes(dtype)));
  void* block = nullptr;
  size_t mapped = 0;
  if (bytes >= kMapFromBytes) {
    mapped = (bytes + kPage - 1) / kPage * kPage;
    block = blocks().take(mapped);
    if (block == MAP_FAILED) block = nullptr;
  } else {
    block = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment);
  }
  if (block == nullptr) fail("out of memory: {} bytes for a tensor of shape {}", bytes, to_string(shape_));
  data_ = {static_cast<std::byte*>(block), Release{mapped}};
}

void Tensor::Release::operator()(std::byte* p) const {
  if (mapped_bytes > 0) {
    blocks().give_back(p, mapped_bytes);
  } else {
    std::free(p);
  }
}

}  // namespace qsweep
