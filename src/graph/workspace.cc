#include "graph/workspace.h"

#include <algorithm>

#include <sys/mman.h>

#include "base/checked.h"

namespace qsweep::graph {

Workspace::Block::Block(std::shared_ptr<Meter> meter, const kernels::Device* device, DType dtype,
                        int64_t rows, int64_t cols)
    : meter_(std::move(meter)), bytes_(checked_mul(checked_mul(rows, cols), size_bytes(dtype))) {
  if (device != nullptr) {
    buffer_ = kernels::Buffer(*device, dtype, rows, cols);
    data_ = buffer_.data();
  } else if (bytes_ > 0) {
    data_ = mmap(nullptr, static_cast<size_t>(bytes_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (data_ == MAP_FAILED) fail("cannot reserve {} bytes of addresses", bytes_);
  }
  meter_->held += bytes_;
  meter_->peak = std::max(meter_->peak, meter_->held);
}

Workspace::Block::~Block() {
  if (buffer_.data() == nullptr && data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
  meter_->held -= bytes_;
}

std::shared_ptr<Workspace::Block> Workspace::allocate(DType dtype, int64_t rows, int64_t cols) {
  return std::make_shared<Block>(meter_, dry_ ? nullptr : &device_, dtype, rows, cols);
}

std::shared_ptr<void> Workspace::hold(int64_t bytes) {
  if (device_.gpu != nullptr) return nullptr;
  meter_->held += bytes;
  meter_->peak = std::max(meter_->peak, meter_->held);
  return {meter_.get(), [meter = meter_, bytes](void*) { meter->held -= bytes; }};
}

void Workspace::pass_through(int64_t bytes) { meter_->peak = std::max(meter_->peak, meter_->held + bytes); }

}  // namespace qsweep::graph
