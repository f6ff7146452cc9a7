// Tests that need a GPU.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/gpu.h"

namespace qsweep::testing {

#ifdef QSWEEP_CUDA_EMULATED
inline constexpr bool kEmulatedGpu = true;
#else
inline constexpr bool kEmulatedGpu = false;
#endif

// Skips where there is no GPU, or the build is without CUDA. Names of suites begin with Cuda.
class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      gpu_ = kernels::open_gpu(0);
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
  kernels::Device device() const { return {Threads{2}, gpu_.get()}; }

 private:
  std::shared_ptr<kernels::cuda::Queue> gpu_;
};

// Whole models in every format: skips where that would take hours.
class GpuSlowTest : public GpuTest {
 protected:
  void SetUp() override {
    if (kEmulatedGpu) GTEST_SKIP() << "an emulated GPU takes hours for this";
    GpuTest::SetUp();
  }
};

}  // namespace qsweep::testing
