// Command-line flags, each written once: name, help, default, validation and its echo into scores.json.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/readable.h"
#include "io/json.h"

namespace qsweep::cli {

class Flags {
 public:
  explicit Flags(CLI::App& app) : app_(app) {}

  // `value` holds the default, takes what the user gives, and is echoed under `key` as it stands when
  // settings() is called, that is, as resolved. Returns the option for further conditions.
  template <class T>
  CLI::Option* add(const std::string& key, T& value, const std::string& help) {
    echo(key, value);
    return app_.add_option("--" + key, value, help);
  }
  CLI::Option* add_switch(const std::string& key, bool& value, const std::string& help) {
    echo(key, value);
    return app_.add_flag("--" + key, value, help);
  }
  // A positional argument, shown as `NAME`.
  CLI::Option* add_argument(const std::string& key, const std::string& name, std::string& value,
                            const std::string& help) {
    echo(key, value);
    return app_.add_option(name, value, help)->required();
  }

  io::Json settings() const {
    io::Json all = io::Json::object();
    for (const auto& [key, value] : echoes_) all[key] = value();
    return all;
  }

 private:
  template <class T>
  void echo(const std::string& key, const T& value) {
    echoes_.emplace_back(key, [&value] { return json_of(value); });
  }
  // Paths may be no UTF-8, which JSON is.
  static io::Json json_of(const std::string& value) { return valid_utf8(value); }
  static io::Json json_of(const std::vector<std::string>& values) {
    io::Json all = io::Json::array();
    for (const std::string& value : values) all.push_back(json_of(value));
    return all;
  }
  template <class T>
  static io::Json json_of(const std::optional<T>& value) {
    return value ? json_of(*value) : io::Json();
  }
  template <class T>
  static io::Json json_of(const T& value) {
    return value;
  }

  CLI::App& app_;
  std::vector<std::pair<std::string, std::function<io::Json()>>> echoes_;
};

// Accepts whole numbers in decimal from `low` to `high`, both included.
CLI::Validator whole_number(uint64_t low, uint64_t high);
// Accepts any text but an empty one, which a shell makes of an unset variable.
CLI::Validator path();

// The decimal number that all of the text is; none where it is something else.
std::optional<double> number_of(std::string_view text);
// "16G", "512MiB", "4096B", binary units; Error otherwise, and without a unit.
int64_t parse_bytes(const std::string& text);
// "90s", "10m", "1.5h" in seconds; Error otherwise.
double parse_seconds(const std::string& text);
// "about 12 min": no more digits than a forecast has.
std::string about(double seconds);
// "1.5 GiB".
std::string format_bytes(int64_t bytes);

}  // namespace qsweep::cli
