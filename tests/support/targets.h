// Running row kernels on a chosen instruction set instead of the machine's best one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <hwy/highway.h>

namespace qsweep::testing {

// The instruction sets that the kernels were compiled for and that this machine has.
inline std::vector<int64_t> all_targets() { return hwy::SupportedAndGeneratedTargets(); }

inline std::string target_name(int64_t target) { return hwy::TargetName(target); }

// While it lives, row kernels run on this instruction set.
class OnTarget {
 public:
  explicit OnTarget(int64_t target) { choose(target); }
  ~OnTarget() { choose(0); }
  OnTarget(const OnTarget&) = delete;
  OnTarget& operator=(const OnTarget&) = delete;

 private:
  static void choose(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

}  // namespace qsweep::testing
