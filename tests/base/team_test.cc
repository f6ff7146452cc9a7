#include "base/team.h"

#include <gtest/gtest.h>
#include <omp.h>

namespace qsweep {
namespace {

TEST(TeamSize, IsWhatIsGivenNotWhatIsAsked) {
  omp_set_dynamic(1);
  EXPECT_EQ(team_size({1}), 1);
  EXPECT_EQ(team_size({3}), 3) << "whatever the load of the machine";
  omp_set_max_active_levels(0);  // no loop gets a second thread
  EXPECT_EQ(team_size({3}), 1);
  omp_set_max_active_levels(1);
  EXPECT_EQ(team_size({3}), 3);
}

}  // namespace
}  // namespace qsweep
