// Where the ops of a test run, and the way of its data there.
#pragma once

#include <gtest/gtest.h>

#include "kernels/runner.h"
#include "ops/context.h"

namespace qsweep::ops::testing {

class Place {
 public:
  explicit Place(Threads threads, kernels::LowPrecision low = kernels::LowPrecision::where_native) {
    gemm_ = std::make_unique<kernels::Gemm>(threads, low);
  }
  // Of a GPU: only where Runner::gpus() is not 0.
  struct Gpu {};
  explicit Place(Gpu) {
    runner_.use_gpu();
    gemm_ = std::make_unique<kernels::Gemm>(runner_.device());
  }

  kernels::Gemm& gemm() { return *gemm_; }

  // One call of an op, whose arguments `on` brings there. With its end the results are back.
  class Call {
   public:
    Call(Place& place, int64_t tile_bytes)
        : context_{place.gemm(), tile_bytes}, runner_(place.runner_), call_(place.runner_.device()) {}
    operator const Context&() const { return context_; }  // NOLINT: what ops ask for
    template <class Data>
    auto on(Data&& data) const {
      return runner_.on(std::forward<Data>(data));
    }

   private:
    Context context_;
    kernels::Runner& runner_;
    kernels::Runner::Call call_;
  };

 private:
  kernels::Runner runner_;
  std::unique_ptr<kernels::Gemm> gemm_;
};

}  // namespace qsweep::ops::testing
