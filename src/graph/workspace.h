// Metered memory of a pass. A dry workspace hands out addresses without memory behind them, so that the
// interpreters can be walked once to learn a pass's peak before it runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "graph/resident_weights.h"
#include "kernels/deferred.h"

namespace qsweep::graph {

class Workspace {
 public:
  explicit Workspace(bool dry = false) : Workspace(Threads{1}, dry) {}
  explicit Workspace(kernels::Device device, bool dry = false)
      : device_(device), dry_(dry), meter_(std::make_shared<Meter>()), weights_(device), deferred_(device) {}

  // A block that gives its bytes back to the meter when the last owner drops it.
  class Block;
  std::shared_ptr<Block> allocate(DType dtype, int64_t rows, int64_t cols);

  // Memory that something takes and returns by itself, on top of what is held now.
  void pass_through(int64_t bytes);
  // Memory of the host that something holds by itself until it drops this; beside a GPU's nothing.
  std::shared_ptr<void> hold(int64_t bytes);

  kernels::Device device() const { return device_; }
  // Not metered: a pass knows which weights it holds.
  ResidentWeights& weights() { return weights_; }
  // What kernels measure on the way, told between two stages.
  kernels::Deferred& deferred() { return deferred_; }

  bool dry() const { return dry_; }
  int64_t held_bytes() const { return meter_->held; }
  int64_t peak_bytes() const { return meter_->peak; }
  void reset_peak() { meter_->peak = meter_->held; }

 private:
  struct Meter {
    int64_t held = 0;
    int64_t peak = 0;
  };
  kernels::Device device_;
  bool dry_;
  std::shared_ptr<Meter> meter_;
  ResidentWeights weights_;
  kernels::Deferred deferred_;
};

class Workspace::Block {
 public:
  // device: null for a dry block.
  Block(std::shared_ptr<Meter> meter, const kernels::Device* device, DType dtype, int64_t rows, int64_t cols);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void* data() const { return data_; }
  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(data_), static_cast<size_t>(bytes_)}; }

 private:
  std::shared_ptr<Meter> meter_;
  int64_t bytes_;
  void* data_ = nullptr;
  kernels::Buffer buffer_;  // empty when dry
};

}  // namespace qsweep::graph
