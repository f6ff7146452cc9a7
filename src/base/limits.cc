#include "base/limits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include "base/process.h"

namespace qsweep {
namespace {

// None too for "max", which says that there is no limit.
std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

// A mounted hierarchy of control groups.
struct Mount {
  bool unified = false;     // version 2
  std::string controllers;  // of version 1, between commas
  std::string top;          // the group that is seen at `folder`
  std::string folder;
};

// Of /proc/self/mountinfo, which writes some characters of a path as \ and three octal digits.
std::string unescaped(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 3 < path.size()) {
      text += static_cast<char>((path[i + 1] - '0') * 64 + (path[i + 2] - '0') * 8 + (path[i + 3] - '0'));
      i += 3;
    } else {
      text += path[i];
    }
  }
  return text;
}

std::vector<Mount> mounts(const std::string& root) {
  std::vector<Mount> all;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string id, parent, device, top, folder, word;
    words >> id >> parent >> device >> top >> folder;
    while (words >> word && word != "-") {
    }
    std::string type, source, options;
    words >> type >> source >> options;
    if (type == "cgroup" || type == "cgroup2")
      all.push_back({type == "cgroup2", "," + options + ",", unescaped(top), unescaped(folder)});
  }
  return all;
}

// The folder of a group and those of the groups around it, as far as the mount shows them.
std::vector<std::string> path_of(const std::string& root, const Mount& mount, const std::string& group) {
  std::string below;  // the group as seen from the mount
  if (mount.top == "/") {
    below = group;
  } else if (group.starts_with(mount.top + "/")) {
    below = group.substr(mount.top.size());
  }
  // A group outside of what is mounted here, as a container may see its own: the topmost one that there is.
  if (below == "/" || below.find("/..") != std::string::npos) below.clear();
  std::vector<std::string> folders;
  for (;; below.resize(below.rfind('/'))) {
    folders.push_back(root + mount.folder + below);
    if (below.empty()) return folders;
  }
}

struct Level {
  bool unified = false;
  std::string folder;
};

// The groups on the path of this process that a controller may limit: of either version.
std::vector<Level> levels(const std::string& root, const std::string& controller) {
  const std::vector<Mount> all = mounts(root);
  const std::string name = "," + controller + ",";
  std::vector<Level> levels;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // number:controllers:group
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string of = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const bool unified = of == ",,";
    if (!unified && of.find(name) == std::string::npos) continue;
    for (const Mount& mount : all) {
      if (mount.unified != unified || (!unified && mount.controllers.find(name) == std::string::npos))
        continue;
      for (std::string& folder : path_of(root, mount, line.substr(second + 1)))
        levels.push_back({unified, std::move(folder)});
    }
  }
  return levels;
}

// What the files of a group are called, by version.
struct MemoryFiles {
  std::vector<const char*> limits;  // of which the lowest one counts
  const char* used;
  std::array<const char*, 2> files;  // of memory.stat: pages of files
};
// Beyond memory.high a group is slowed down until it has given memory back.
MemoryFiles memory_files(bool unified) {
  if (unified) return {{"/memory.max", "/memory.high"}, "/memory.current", {"active_file", "inactive_file"}};
  return {{"/memory.limit_in_bytes"}, "/memory.usage_in_bytes", {"total_active_file", "total_inactive_file"}};
}

int64_t left_in(const Level& level) {
  const MemoryFiles names = memory_files(level.unified);
  const std::string stat = level.folder + "/memory.stat";
  int64_t limit = INT64_MAX;
  for (const char* name : names.limits)
    limit = std::min(limit, number_in(level.folder + name).value_or(INT64_MAX));
  // Version 1 says here what groups limit that cannot be seen.
  limit = std::min(limit, number_behind(stat, "hierarchical_memory_limit").value_or(INT64_MAX));
  if (limit == INT64_MAX) return limit;
  int64_t used = number_in(level.folder + names.used).value_or(0);
  for (const char* name : names.files) used -= number_behind(stat, name).value_or(0);
  return std::max<int64_t>(0, limit - std::max<int64_t>(0, used));
}

std::optional<int64_t> number_of_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return {};
  int64_t value = 0;
  std::istringstream stream(text);
  return stream >> value && value > 0 ? std::optional(value) : std::nullopt;  // 0: all that the node has
}

// What a Slurm job has asked for, less what this process has. A login shell of `salloc` has the variables
// too, and then takes less than it might; that is the safe side.
int64_t left_in_slurm_job() {
  if (std::getenv("SLURM_JOB_ID") == nullptr) return INT64_MAX;
  std::optional<int64_t> mib = number_of_environment("SLURM_MEM_PER_NODE");
  if (!mib) {
    const auto per_cpu = number_of_environment("SLURM_MEM_PER_CPU"),
               cpus = number_of_environment("SLURM_CPUS_ON_NODE");
    if (per_cpu && cpus) mib = *per_cpu * *cpus;
  }
  return mib ? std::max<int64_t>(0, (*mib << 20) - resident_bytes()) : INT64_MAX;
}

std::optional<double> quota_of(const Level& level) {
  int64_t quota = 0, period = 0;  // microseconds
  if (level.unified) {
    std::ifstream file(level.folder + "/cpu.max");
    if (!(file >> quota >> period)) return {};  // "max": no quota
  } else {
    quota = number_in(level.folder + "/cpu.cfs_quota_us").value_or(-1);  // -1: no quota
    period = number_in(level.folder + "/cpu.cfs_period_us").value_or(0);
  }
  if (quota <= 0 || period <= 0) return {};
  return static_cast<double>(quota) / static_cast<double>(period);
}

}  // namespace

std::optional<double> processor_quota(const std::string& root) {
  std::optional<double> tightest;
  for (const Level& level : levels(root, "cpu"))
    if (const std::optional<double> quota = quota_of(level))
      tightest = std::min(tightest.value_or(*quota), *quota);
  return tightest;
}

int usable_processors(const std::string& root) {
  const int affinity = omp_get_num_procs();
  const std::optional<double> quota = processor_quota(root);
  if (!quota || *quota >= affinity) return affinity;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

int64_t available_memory_bytes(const std::string& root) {
  int64_t least = number_behind(root + "/proc/meminfo", "MemAvailable:").value_or(0) * 1024;
  for (const Level& level : levels(root, "memory")) least = std::min(least, left_in(level));
  return std::min(least, left_in_slurm_job());
}

}  // namespace qsweep
