#include "base/process.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace qsweep {
namespace {

// The number behind `key` in a file of "key: number kB" lines, in bytes; 0 where there is none.
int64_t kilobytes_line(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t kilobytes = 0;
    if (word == key && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

int64_t number_in(const char* path, int64_t otherwise) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : otherwise;
}

}  // namespace

int64_t resident_bytes() { return kilobytes_line("/proc/self/status", "VmRSS:"); }

int64_t peak_resident_bytes() { return kilobytes_line("/proc/self/status", "VmHWM:"); }

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  return "";
}

int64_t available_memory_bytes() {
  const int64_t machine = kilobytes_line("/proc/meminfo", "MemAvailable:");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max", INT64_MAX);  // "max" is not a number: no limit
  const int64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
  return limit == INT64_MAX ? machine : std::min(machine, limit - std::min(used, limit));
}

}  // namespace qsweep
