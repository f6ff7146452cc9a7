#include "report/text.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qsweep::report {
namespace {

constexpr const char* kMissing = "–";
constexpr size_t kListed = 12;

std::string table_line(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

}  // namespace

std::string number(double value) {
  if (std::isnan(value)) return kMissing;
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  if (value == 0) return "0";
  // The exponent after rounding to three digits: 9.996 becomes 10.0.
  const std::string scientific = fmt::format("{:.2e}", value);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent < -3 || exponent > 5) return fmt::format("{}e{}", scientific.substr(0, e), exponent);
  const double rounded = std::stod(scientific);
  return fmt::format("{:.{}f}", rounded, std::max(0, 2 - exponent));
}

std::string percent(double fraction) {
  return std::isnan(fraction) ? kMissing : number(100 * fraction) + " %";
}

std::string seconds(double value) {
  if (value < 120) return number(value) + " s";
  if (value < 7200) return number(value / 60) + " min";
  return number(value / 3600) + " h";
}

std::string bytes(double value) {
  if (value < 0x1p20) return number(value * 0x1p-10) + " KiB";
  if (value < 0x1p30) return number(value * 0x1p-20) + " MiB";
  return number(value * 0x1p-30) + " GiB";
}

std::string with_interval(double value, const std::optional<scores::Interval>& interval) {
  return interval ? fmt::format("{} [{}, {}]", number(value), number(interval->low), number(interval->high))
                  : number(value);
}

std::string with_interval(const scores::Measurement& measured, scores::Metric metric) {
  return with_interval(measured.per_position(metric), measured.intervals.of(metric));
}

std::string counted(int64_t n, const std::string& noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

std::string shortened_list(const std::vector<std::string>& names) {
  const size_t shown = std::min(kListed, names.size());
  const std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<int64_t>(shown), ", "));
  return shown < names.size() ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

std::string plain(const std::string& text) {
  std::string safe;
  for (char c : text) {
    if (c == '|') safe += '\\';
    safe += c == '\n' || c == '\r' ? ' ' : c;
  }
  return safe;
}

std::string code(const std::string& text) {
  std::string safe = plain(text);
  for (char& c : safe)
    if (c == '`') c = '\'';
  return "`" + safe + "`";
}

void Table::row(std::vector<std::string> cells) {
  QSWEEP_CHECK(cells.size() == header_.size(), "{} cells under {} headers", cells.size(), header_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::string> names, rules;
  for (const std::string& column : header_) {
    const bool right = column.starts_with('>');
    names.push_back(column.substr(right ? 1 : 0));
    rules.push_back(right ? "---:" : "---");
  }
  std::string text = table_line(names) + table_line(rules);
  for (const auto& cells : rows_) text += table_line(cells);
  return text + "\n";
}

}  // namespace qsweep::report
