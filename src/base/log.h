// Where a library says something: the caller hands in the sink, so libraries never print.
#pragma once

#include <functional>
#include <string>

namespace qsweep {

enum class LogLevel { info, warning };

// Empty: nothing is said.
using Log = std::function<void(LogLevel, const std::string&)>;

inline void log_info(const Log& log, const std::string& text) {
  if (log) log(LogLevel::info, text);
}
inline void log_warning(const Log& log, const std::string& text) {
  if (log) log(LogLevel::warning, text);
}

}  // namespace qsweep
