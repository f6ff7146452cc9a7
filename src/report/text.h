// Short numbers and Markdown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scores/record.h"

namespace qsweep::report {

using scores::kUndefined;  // number(kUndefined) is "–"

// Three significant digits; "–" for NaN, "∞" for an infinity.
std::string number(double value);
std::string percent(double fraction);
std::string seconds(double value);
std::string bytes(double value);
// "0.120 [0.100, 0.150]", without the interval where there is none.
std::string with_interval(double value, const std::optional<scores::Interval>& interval);
std::string with_interval(const scores::Measurement& measured, scores::Metric metric);  // per position
// "1 op", "2 ops".
std::string counted(int64_t n, const std::string& noun);

// "a, b and 3 more": at most a dozen names.
std::string shortened_list(const std::vector<std::string>& names);

// `text` as inline code that is safe inside a table; backticks and line breaks are replaced.
std::string code(const std::string& text);
// Free text that is safe inside a table.
std::string plain(const std::string& text);

// A Markdown table. Columns whose header starts with '>' are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // As many cells as the header.
  void row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string text() const;  // ends with an empty line

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace qsweep::report
