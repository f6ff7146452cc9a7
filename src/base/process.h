// What the operating system says about this process and this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qsweep {

// The number behind `key` in a file of keys and numbers, such as /proc/self/status.
std::optional<int64_t> number_behind(const std::string& path, const std::string& key);

int64_t resident_bytes();       // now
int64_t peak_resident_bytes();  // since the process began
std::string processor_name();   // as the system has it, such as "AMD EPYC 7B13"; empty where it has none

// Of this process since it began.
struct ProcessUsage {
  double user_s = 0, system_s = 0;  // processor time of all threads
  int64_t page_faults = 0;          // first touches of memory, and pages of files that were in memory already
  int64_t page_faults_read = 0;     // those that waited for storage
  std::optional<int64_t> storage_read_bytes;  // where the system tells
};
ProcessUsage process_usage();

}  // namespace qsweep
