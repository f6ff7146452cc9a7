// A config.json with one thing changed, and the words by which that is refused.
#pragma once

#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/json.h"

namespace qsweep::models {

struct BadConfig {
  const char* pointer;  // JSON pointer of what is changed
  const char* value;    // JSON text; empty: removed
  const char* message;

  void apply(io::Json& config) const {
    const io::Json::json_pointer at(pointer);
    if (*value == '\0') {
      config.at(at.parent_pointer()).erase(at.back());
    } else {
      config[at] = io::Json::parse(value);
    }
  }
  // read() must throw an Error with the message.
  template <class Read>
  void expect_refusal(Read&& read) const {
    try {
      read();
      FAIL() << pointer << " was accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(message), std::string::npos) << e.what();
    }
  }
};

inline void PrintTo(const BadConfig& bad, std::ostream* out) { *out << bad.pointer << ' ' << bad.value; }

}  // namespace qsweep::models
