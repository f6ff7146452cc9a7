// Several devices without a GPU.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "schedule/devices.h"

namespace qsweep::testing {

// So many devices that are threads of the CPU.
class Cpus {
 public:
  explicit Cpus(size_t count, int threads = 1) {
    std::vector<ops::Context> contexts;
    for (size_t i = 0; i < count; ++i)
      contexts.push_back({*gemms_.emplace_back(std::make_unique<kernels::Gemm>(Threads{threads}))});
    devices_.emplace(std::move(contexts));
  }
  const schedule::Devices& operator*() const { return *devices_; }

 private:
  std::vector<std::unique_ptr<kernels::Gemm>> gemms_;
  std::optional<schedule::Devices> devices_;
};

}  // namespace qsweep::testing
