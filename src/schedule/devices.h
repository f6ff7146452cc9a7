// What a run computes on.
#pragma once

#include <vector>

#include "base/error.h"
#include "kernels/gemm.h"
#include "ops/context.h"

namespace qsweep::schedule {

// One device, or several of a kind that share the passes of a run; a pass is on one of them. The first makes
// the plans.
class Devices {
 public:
  Devices(const ops::Context& only) : contexts_{only} {}  // NOLINT: a device is a list of one
  explicit Devices(std::vector<ops::Context> contexts) : contexts_(std::move(contexts)) {
    QSWEEP_CHECK(!contexts_.empty(), "no device");
  }

  size_t size() const { return contexts_.size(); }
  const ops::Context& operator[](size_t device) const { return contexts_[device]; }
  const ops::Context& first() const { return contexts_.front(); }

  void set_f32_rows(kernels::F32Rows how) {
    for (ops::Context& context : contexts_) context.f32_rows = how;
  }
  // Of all devices.
  kernels::GemmCount products(kernels::GemmPurpose purpose) const {
    kernels::GemmCount sum;
    for (const ops::Context& context : contexts_) sum.add(context.gemm.count(purpose));
    return sum;
  }

 private:
  std::vector<ops::Context> contexts_;
};

}  // namespace qsweep::schedule
