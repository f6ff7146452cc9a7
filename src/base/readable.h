// Text from outside in a form that a terminal, a log and a JSON file can take.
#pragma once

#include <string>
#include <string_view>

namespace qsweep {

// What is no UTF-8 is written as `\xNN` per byte; all else stays.
std::string valid_utf8(std::string_view text);

// Nor are there control characters, C1 ones and those that turn the direction of text included: \n, \t and so
// on are written as in C, others as \xNN per byte.
std::string printable(std::string_view text);

// A value from outside as a message may quote it: printable, and of more than 120 characters its begin and
// its end, for what tells paths apart stands there.
std::string readable_value(std::string_view value);

// A message with values from outside: printable, on one line, and of each value, a quotation or a word, what
// readable_value leaves of it.
std::string readable_message(std::string_view message);

}  // namespace qsweep
