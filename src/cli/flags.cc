#include "cli/flags.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <string_view>

namespace qsweep::cli {

CLI::Validator whole_number(uint64_t low, uint64_t high) {
  const std::string range =
      high >= INT64_MAX ? fmt::format("of at least {}", low) : fmt::format("from {} to {}", low, high);
  const auto check = [low, high, range](const std::string& text) {
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [rest, status] = std::from_chars(text.data(), end, value);
    return status == std::errc() && rest == end && value >= low && value <= high
               ? std::string()
               : fmt::format("expected a whole number {}, found \"{}\"", range, text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator path() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.empty() ? std::string("expected a path, found an empty text") : std::string();
      },
      "");
}

std::optional<double> number_of(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  return status == std::errc() && rest == end ? std::optional(number) : std::nullopt;
}

int64_t parse_bytes(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  std::string unit(rest, end);
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const std::string_view suffix : {"IB", "B"})
    if (unit.ends_with(suffix) && unit != "B") {
      unit.resize(unit.size() - suffix.size());
      break;
    }
  const std::string_view units = "BKMGT";
  const size_t power = units.find(unit);
  if (status != std::errc() || unit.size() != 1 || power == std::string_view::npos || !(number > 0) ||
      number * std::pow(1024.0, static_cast<double>(power)) > 1e15)
    fail("expected a size with its unit, B, K, M, G or T, such as 4G, 512M or 1.5GiB, found \"{}\"", text);
  return static_cast<int64_t>(number * std::pow(1024.0, static_cast<double>(power)));
}

double parse_seconds(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  const double seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (status != std::errc() || seconds == 0 || !(number > 0) || !(number * seconds < 1e9))
    fail("expected a time such as 90s, 10m or 1.5h, found \"{}\"", text);
  return number * seconds;
}

std::string about(double seconds) {
  constexpr double kMinute = 60, kHour = 3600, kDay = 86400;
  const auto [unit, name] = seconds < 1.5 * kMinute ? std::pair(1.0, "s")
                            : seconds < 1.5 * kHour ? std::pair(kMinute, "min")
                            : seconds < 1.5 * kDay  ? std::pair(kHour, "h")
                                                    : std::pair(kDay, "days");
  const double value = seconds / unit;
  // Two digits.
  const double step = std::pow(10.0, std::floor(std::log10(std::max(value, 1.0))) - 1);
  return value < 1 ? std::string("about 1 s")
                   : fmt::format("about {:g} {}", std::round(value / step) * step, name);
}

std::string format_bytes(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.3g} {}", value, units[unit]);
}

}  // namespace qsweep::cli
