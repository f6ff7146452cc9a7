// JSON input with errors that say where and what: parsing text, and reading objects key by key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json_fwd.h"

// Its members are compiled once, in json.cc, and not by everyone who uses some.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace qsweep::io {

// Parses `text`; `where` names its source in errors. Duplicate keys, trailing text, invalid UTF-8 and nesting
// deeper than 100 levels are Errors.
Json parse_json(std::string_view text, const std::string& where);
// Reads and parses a whole file.
Json read_json_file(const std::string& path);

// A value as an error may quote it: at most a few hundred bytes of printable ASCII.
std::string shortened(const Json& value);

// Reads the members of one JSON object. `path` is the dotted place of the object ("config.json:
// vision_config"), used in every error. A mandatory key has no default.
class ObjectReader {
 public:
  // Error unless `object` is a JSON object.
  ObjectReader(const Json& object, std::string path);

  bool has(const std::string& key) const;  // present and not null
  int64_t integer(const std::string& key) const;
  int64_t integer_in(const std::string& key, int64_t low, int64_t high) const;  // Error outside [low, high]
  double number(const std::string& key) const;
  bool boolean(const std::string& key) const;
  std::string string(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  const Json& at(const std::string& key) const;  // mandatory, any type
  ObjectReader object(const std::string& key) const;

  // Error unless the key is absent, null, or equal to the only supported value.
  void require(const std::string& key, const Json& supported) const;

  const std::string& path() const { return path_; }
  const Json& json() const { return *object_; }

 private:
  const Json& typed(const std::string& key, bool (*is)(const Json&), const char* expected) const;
  const Json* object_;
  std::string path_;
};

}  // namespace qsweep::io
