// Where the tests' data lies: in the source tree, or where QSWEEP_TESTDATA says for tests that were carried
// to another machine.
#pragma once

#include <cstdlib>
#include <string>

namespace qsweep::testing {

inline std::string from_environment(const char* variable, const char* otherwise) {
  const char* const value = std::getenv(variable);
  return value != nullptr ? value : otherwise;
}
inline std::string testdata_folder() { return from_environment("QSWEEP_TESTDATA", QSWEEP_TESTDATA); }

}  // namespace qsweep::testing
