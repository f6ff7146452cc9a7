#include "base/process.h"

#include <fstream>
#include <string>

#include <sys/resource.h>

namespace qsweep {
namespace {

// A line "key: number kB" in bytes; 0 where there is none.
int64_t kilobytes_line(const char* path, const std::string& key) {
  return number_behind(path, key).value_or(0) * 1024;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

std::optional<int64_t> number_behind(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t number = 0;
    if (word == key && file >> number) return number;
  }
  return std::nullopt;
}

int64_t resident_bytes() { return kilobytes_line("/proc/self/status", "VmRSS:"); }

int64_t peak_resident_bytes() { return kilobytes_line("/proc/self/status", "VmHWM:"); }

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  return "";
}

ProcessUsage process_usage() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.user_s = seconds(usage.ru_utime),
          .system_s = seconds(usage.ru_stime),
          .page_faults = usage.ru_minflt,
          .page_faults_read = usage.ru_majflt,
          .storage_read_bytes = number_behind("/proc/self/io", "read_bytes:")};
}

}  // namespace qsweep
