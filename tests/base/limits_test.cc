#include "base/limits.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "base/process.h"

namespace qsweep {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// A machine of files: what is not written is not there. In a Slurm job only where a test says so.
class Limits : public ::testing::Test {
 protected:
  Limits() {
    for (const char* name : {"SLURM_JOB_ID", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"})
      unsetenv(name);
    write("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
  }
  ~Limits() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  // Version 2 alone, as current systems have it.
  void unified(const std::string& group, const std::string& top = "/") const {
    write("/proc/self/mountinfo", "24 1 0:5 / /proc rw - proc proc rw\n31 24 0:28 " + top +
                                      " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    write("/proc/self/cgroup", "0::" + group + "\n");
  }
  // Version 1 with cpu and cpuacct in one hierarchy, as distributions mount them.
  void versioned(const std::string& group, const std::string& top = "/") const {
    write("/proc/self/mountinfo",
          "33 31 0:30 " + top + " /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct\n" +
              "34 31 0:31 " + top + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
              "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    write("/proc/self/cgroup", "9:memory:" + group + "\n4:cpu,cpuacct:" + group +
                                   "\n1:name=systemd:/init.scope\n0::/init.scope\n");
  }
  std::optional<double> quota() const { return processor_quota(root_); }
  int64_t memory() const { return available_memory_bytes(root_); }
  const std::string& root() const { return root_; }

 private:
  std::string root_ = [] {
    std::string name = (std::filesystem::temp_directory_path() / "qsweep-limits-XXXXXX").string();
    return std::string(mkdtemp(name.data()));
  }();
};

TEST_F(Limits, WithoutGroupsThereIsWhatTheMachineHas) {
  EXPECT_EQ(quota(), std::nullopt);
  EXPECT_EQ(memory(), 8192 * kMiB);
  EXPECT_EQ(usable_processors(root()), omp_get_num_procs());
}

TEST_F(Limits, TheTightestQuotaOnThePathCounts) {
  unified("/kubepods.slice/pod1/container");
  write("/sys/fs/cgroup/kubepods.slice/pod1/container/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("/sys/fs/cgroup/kubepods.slice/cpu.max", "350000 100000\n");
  EXPECT_EQ(quota(), 3.5);
  write("/sys/fs/cgroup/kubepods.slice/pod1/cpu.max", "150000 100000\n");
  write("/sys/fs/cgroup/other/cpu.max", "10000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(Limits, ThreadsAreTheQuotaRoundedUpWithinTheAffinity) {
  unified("/a");
  const auto with = [&](const std::string& text) {
    write("/sys/fs/cgroup/a/cpu.max", text);
    return usable_processors(root());
  };
  EXPECT_EQ(with("20000 100000\n"), 1);
  EXPECT_EQ(with("110000 100000\n"), std::min(2, omp_get_num_procs()));
  EXPECT_EQ(with("900000000 100000\n"), omp_get_num_procs());
}

TEST_F(Limits, QuotasOfVersion1) {
  versioned("/slurm/job_7/step_0");
  write("/sys/fs/cgroup/cpu,cpuacct/slurm/job_7/step_0/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/slurm/job_7/step_0/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("/sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us", "25000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_period_us", "10000\n");
  EXPECT_EQ(quota(), 2.5);
}

TEST_F(Limits, MemoryIsWhatTheTightestGroupHasLeft) {
  unified("/system.slice/slurmstepd.scope/job_5/step_0/user/task_0");
  const std::string job = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_5";
  write(job + "/step_0/user/task_0/memory.max", "max\n");
  write(job + "/memory.max", std::to_string(4096 * kMiB) + "\n");
  EXPECT_EQ(memory(), 4096 * kMiB);
  write(job + "/memory.current", std::to_string(1024 * kMiB) + "\n");
  EXPECT_EQ(memory(), 3072 * kMiB);
  write(job + "/step_0/memory.max", std::to_string(512 * kMiB) + "\n");
  EXPECT_EQ(memory(), 512 * kMiB);
  write(job + "/step_0/memory.high", std::to_string(256 * kMiB) + "\n");
  EXPECT_EQ(memory(), 256 * kMiB);
}

TEST_F(Limits, PagesOfFilesAreNoLoss) {
  unified("/a");
  write("/sys/fs/cgroup/a/memory.max", std::to_string(1000 * kMiB) + "\n");
  write("/sys/fs/cgroup/a/memory.current", std::to_string(990 * kMiB) + "\n");
  write("/sys/fs/cgroup/a/memory.stat", "anon 1\nactive_file " + std::to_string(300 * kMiB) +
                                            "\ninactive_file " + std::to_string(600 * kMiB) + "\n");
  EXPECT_EQ(memory(), 910 * kMiB);
}

TEST_F(Limits, MemoryOfVersion1) {
  versioned("/docker/abc");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(memory(), 8192 * kMiB);
  write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", std::to_string(2000 * kMiB) + "\n");
  write("/sys/fs/cgroup/memory/docker/memory.usage_in_bytes", std::to_string(700 * kMiB) + "\n");
  write("/sys/fs/cgroup/memory/docker/memory.stat",
        "total_inactive_file " + std::to_string(100 * kMiB) + "\n");
  EXPECT_EQ(memory(), 1400 * kMiB);
}

// A container without a namespace of its own sees its group at the mount, and the path from outside.
TEST_F(Limits, APathFromOutsideIsFoundAtTheMount) {
  versioned("/docker/abc/inner", "/docker/abc");
  write("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", std::to_string(700 * kMiB) + "\n");
  EXPECT_EQ(memory(), 700 * kMiB);
  write("/sys/fs/cgroup/memory/memory.stat",
        "hierarchical_memory_limit " + std::to_string(600 * kMiB) + "\n");
  EXPECT_EQ(memory(), 600 * kMiB);
  unified("/../../elsewhere");
  write("/sys/fs/cgroup/memory.max", std::to_string(500 * kMiB) + "\n");
  EXPECT_EQ(memory(), 500 * kMiB);
}

TEST_F(Limits, WhatASlurmJobAskedForCountsLessWhatIsTaken) {
  setenv("SLURM_MEM_PER_NODE", "4000", 1);
  EXPECT_EQ(memory(), 8192 * kMiB);  // no job
  setenv("SLURM_JOB_ID", "17", 1);
  // The kernel's count of resident pages lags a little behind, so more is taken than it may be off by.
  const std::vector<char> taken(200 * kMiB, 1);
  const auto expect_about = [&](int64_t limit) {
    EXPECT_NEAR(static_cast<double>(memory()), static_cast<double>(limit - resident_bytes()), 20 * kMiB);
  };
  expect_about(4000 * kMiB);
  setenv("SLURM_MEM_PER_NODE", "0", 1);  // --mem=0: all of the node's
  EXPECT_EQ(memory(), 8192 * kMiB);
  unsetenv("SLURM_MEM_PER_NODE");
  setenv("SLURM_MEM_PER_CPU", "1000", 1);
  setenv("SLURM_CPUS_ON_NODE", "3", 1);
  expect_about(3000 * kMiB);
  unified("/a");
  write("/sys/fs/cgroup/a/memory.max", std::to_string(500 * kMiB) + "\n");
  EXPECT_EQ(memory(), 500 * kMiB);
}

}  // namespace
}  // namespace qsweep
