#include "base/error.h"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"

namespace qsweep {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Error, ContextsReadFromTheOutsideIn) {
  const auto load = [] {
    with_context("while loading shard 2", [] {
      with_context("while reading tensor x", [] { fail("expected {}, found {}", 3840, "3839"); });
    });
  };
  EXPECT_THAT(load, ThrowsMessage<Error>(std::string(
                        "while loading shard 2: while reading tensor x: expected 3840, found 3839")));
}

TEST(Error, ContextKeepsTheResultAndOtherExceptions) {
  EXPECT_EQ(with_context("c", [] { return 7; }), 7);
  EXPECT_THAT([] { with_context("c", [] { throw std::runtime_error("plain"); }); },
              ThrowsMessage<std::runtime_error>(std::string("plain")));
}

TEST(Check, NamesPlaceConditionAndDetail) {
  EXPECT_NO_THROW(QSWEEP_CHECK(1 + 1 == 2, "never"));
  EXPECT_THAT([] { QSWEEP_CHECK(1 + 1 == 3, "rows {}", 5); },
              ThrowsMessage<ContractError>(
                  ::testing::AllOf(HasSubstr("error_test.cc:"), HasSubstr("`1 + 1 == 3`: rows 5"))));
}

TEST(Log, GoesToTheSinkIfThereIsOne) {
  std::string said;
  const Log log = [&](LogLevel level, const std::string& text) {
    said += (level == LogLevel::warning ? "W:" : "I:") + text + ";";
  };
  log_info(log, "a");
  log_warning(log, "b");
  EXPECT_EQ(said, "I:a;W:b;");
  EXPECT_NO_THROW(log_warning({}, "nobody listens"));
}

}  // namespace
}  // namespace qsweep
