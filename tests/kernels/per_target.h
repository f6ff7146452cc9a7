// Tests that run once per instruction set, and on a GPU where the build has CUDA: TEST_P(PerTarget, ...)
// after INSTANTIATE_PER_TARGET.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/runner.h"
#include "support/targets.h"

namespace qsweep::kernels {

inline constexpr int64_t kCuda = -1;  // no instruction set of Highway

class PerTarget : public ::testing::TestWithParam<int64_t>, public Runner {
 protected:
  void SetUp() override {
    if (GetParam() != kCuda) {
      target_.emplace(GetParam());
    } else if (gpus() == 0) {
      GTEST_SKIP() << "this machine has no GPU";
    } else {
      use_gpu();
    }
  }
  void TearDown() override { target_.reset(); }

 private:
  std::optional<qsweep::testing::OnTarget> target_;
};

inline std::vector<int64_t> all_devices() {
  std::vector<int64_t> all = qsweep::testing::all_targets();
#ifdef QSWEEP_CUDA
  all.push_back(kCuda);
#endif
  return all;
}

inline std::string target_of(const ::testing::TestParamInfo<int64_t>& test) {
  return test.param == kCuda ? "CUDA" : qsweep::testing::target_name(test.param);
}

#define INSTANTIATE_PER_TARGET(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(qsweep::testing::all_targets()), target_of)
#define INSTANTIATE_PER_DEVICE(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(all_devices()), target_of)

}  // namespace qsweep::kernels
