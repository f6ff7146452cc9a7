// A template's source as segments: text, {{ outputs }} and {% statements %}, white space control applied as
// transformers sets Jinja up (trim_blocks and lstrip_blocks).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qsweep::text::jinja {

struct Token {
  enum class Kind { name, integer, string, sign, end } kind;
  std::string text;  // of a string its value
  int64_t integer = 0;
};

struct Segment {
  enum class Kind { text, output, statement } kind;
  std::string text;
  std::vector<Token> tokens;  // without `text`; the last one is `end`
};

// Error where a tag has no end or holds what is no token.
std::vector<Segment> split_template(std::string_view source);

}  // namespace qsweep::text::jinja
