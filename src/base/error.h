// The one exception for bad input: a message that says what was expected, what was found and where,
// with the chain of what was being done, outermost first. Callers at the border turn it into exit code 2.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace qsweep {

class Error : public std::exception {
 public:
  explicit Error(std::string message) : text_(std::move(message)) {}

  // Prefixes what was being done when the error passed outward ("while loading shard 2").
  void add_context(const std::string& context) { text_ = context + ": " + text_; }

  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// A device's memory does not do.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `body` and prefixes any Error that leaves it with `context`.
template <class Body>
auto with_context(const std::string& context, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (Error& error) {
    error.add_context(context);
    throw;
  }
}

// A broken contract inside the program: a defect of ours, never of the user's input.
class ContractError : public std::exception {
 public:
  ContractError(const char* file, int line, const char* condition, const std::string& detail);
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace qsweep

// QSWEEP_CHECK(condition, "what was wrong: {}", value) throws ContractError where the condition is false.
#define QSWEEP_CHECK(condition, ...)                                                             \
  do {                                                                                           \
    if (!(condition))                                                                            \
      throw ::qsweep::ContractError(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
