// Tests that run once per instruction set: TEST_P(PerTarget, ...) after INSTANTIATE_PER_TARGET.
#pragma once

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "support/targets.h"

namespace qsweep::kernels {

class PerTarget : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { target_.emplace(GetParam()); }
  void TearDown() override { target_.reset(); }

 private:
  std::optional<qsweep::testing::OnTarget> target_;
};

inline std::string target_of(const ::testing::TestParamInfo<int64_t>& test) {
  return qsweep::testing::target_name(test.param);
}

#define INSTANTIATE_PER_TARGET(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(qsweep::testing::all_targets()), target_of)

}  // namespace qsweep::kernels
