// What the operating system says about this process and this machine.
#pragma once

#include <cstdint>
#include <string>

namespace qsweep {

int64_t resident_bytes();          // now
int64_t peak_resident_bytes();     // since the process began
int64_t available_memory_bytes();  // that could be taken without swapping; the cgroup's limit counts
std::string processor_name();      // as the system has it, such as "AMD EPYC 7B13"; empty where it has none

}  // namespace qsweep
