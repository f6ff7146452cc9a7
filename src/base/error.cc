#include "base/error.h"

namespace qsweep {

ContractError::ContractError(const char* file, int line, const char* condition, const std::string& detail)
    : text_(fmt::format("{}:{}: broken contract `{}`: {}", file, line, condition, detail)) {}

}  // namespace qsweep
