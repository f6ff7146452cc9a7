// What the system lets this process use: processors and memory, within its affinity, its control groups and
// its batch job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qsweep {

// root: the folder that the paths of /proc and /sys begin with, for tests.

// Processors' worth of time by the tightest quota on the path of this process's control group; none without a
// quota.
std::optional<double> processor_quota(const std::string& root = "");
// Threads that are worth having: the processors of the affinity, as far as the quota goes (rounded up, since
// two threads of which one waits at times are faster than one).
int usable_processors(const std::string& root = "");

// Memory that could be taken without swapping and within every limit. The system's own free memory, and at
// every group on the path in /proc/self/cgroup its limit less what is used there; pages of files do not count
// as used, since they are given up first. In a Slurm job also what was asked for: a cluster that does not
// enforce it by control groups ends jobs that are found with more.
int64_t available_memory_bytes(const std::string& root = "");

}  // namespace qsweep
