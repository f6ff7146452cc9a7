#include "base/process.h"

#include <vector>

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(Process, UsageGrowsWithWhatIsDone) {
  constexpr size_t kBytes = size_t{64} << 20, kPage = 4096;
  const ProcessUsage before = process_usage();
  const int64_t resident = resident_bytes();
  std::vector<char> memory(kBytes);
  volatile char* touched = memory.data();
  for (size_t i = 0; i < kBytes; i += kPage) touched[i] = 1;
  const ProcessUsage after = process_usage();
  EXPECT_GE(resident_bytes() - resident, int64_t{kBytes} / 2);
  EXPECT_GE(peak_resident_bytes(), int64_t{kBytes});
  EXPECT_GT(after.page_faults, before.page_faults);
  EXPECT_GT(after.user_s + after.system_s, before.user_s + before.system_s);
  EXPECT_GE(after.page_faults_read, before.page_faults_read);
}

}  // namespace
}  // namespace qsweep
