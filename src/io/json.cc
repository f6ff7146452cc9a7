#include "io/json.h"

#include <fstream>
#include <set>
#include <sstream>

namespace qsweep::io {
namespace {

constexpr int kMaxDepth = 100;

// Builds the document through nlohmann's callback, which sees every key: duplicates and depth are checked there.
Json parse_checked(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto callback = [&keys](int depth, nlohmann::detail::parse_event_t event, Json& parsed) {
    using Event = nlohmann::detail::parse_event_t;
    if (depth > kMaxDepth) fail("nesting is deeper than {} levels", kMaxDepth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second)
      fail("duplicate key \"{}\"", parsed.get<std::string>());
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), callback);
  } catch (const nlohmann::json::exception& e) {
    const std::string what = e.what();
    const size_t bracket = what.find("] ");
    fail("not valid JSON: {}", bracket == std::string::npos ? what : what.substr(bracket + 2));
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  return with_context(where, [&] { return parse_checked(text); });
}

Json read_json_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("{}: cannot open the file", path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) fail("{}: cannot read the file", path);
  return parse_json(text.str(), path);
}

ObjectReader::ObjectReader(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (!object.is_object()) fail("{}: expected a JSON object, found {}", path_, object.type_name());
}

bool ObjectReader::has(const std::string& key) const {
  const auto it = object_->find(key);
  return it != object_->end() && !it->is_null();
}

const Json& ObjectReader::at(const std::string& key) const {
  if (!has(key)) fail("{}: missing key \"{}\"", path_, key);
  return *object_->find(key);
}

const Json& ObjectReader::typed(const std::string& key, bool (*is)(const Json&), const char* expected) const {
  const Json& value = at(key);
  if (!is(value)) fail("{}: \"{}\": expected {}, found {}", path_, key, expected, value.dump());
  return value;
}

int64_t ObjectReader::integer(const std::string& key) const {
  const Json& value = typed(key, [](const Json& j) { return j.is_number_integer(); }, "an integer");
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    fail("{}: \"{}\": {} is too large", path_, key, value.dump());
  return value.get<int64_t>();
}

int64_t ObjectReader::integer_in(const std::string& key, int64_t low, int64_t high) const {
  const int64_t value = integer(key);
  if (value < low || value > high)
    fail("{}: \"{}\": expected a value from {} to {}, found {}", path_, key, low, high, value);
  return value;
}

double ObjectReader::number(const std::string& key) const {
  return typed(key, [](const Json& j) { return j.is_number(); }, "a number").get<double>();
}

bool ObjectReader::boolean(const std::string& key) const {
  return typed(key, [](const Json& j) { return j.is_boolean(); }, "true or false").get<bool>();
}

std::string ObjectReader::string(const std::string& key) const {
  return typed(key, [](const Json& j) { return j.is_string(); }, "a string").get<std::string>();
}

std::vector<int64_t> ObjectReader::integers(const std::string& key) const {
  const auto is = [](const Json& j) {
    if (!j.is_array()) return false;
    for (const Json& item : j)
      if (!item.is_number_integer()) return false;
    return true;
  };
  return typed(key, is, "an array of integers").get<std::vector<int64_t>>();
}

std::vector<double> ObjectReader::numbers(const std::string& key) const {
  const auto is = [](const Json& j) {
    if (!j.is_array()) return false;
    for (const Json& item : j)
      if (!item.is_number()) return false;
    return true;
  };
  return typed(key, is, "an array of numbers").get<std::vector<double>>();
}

ObjectReader ObjectReader::object(const std::string& key) const {
  return {typed(key, [](const Json& j) { return j.is_object(); }, "an object"), path_ + ": " + key};
}

void ObjectReader::require(const std::string& key, const Json& supported) const {
  if (has(key) && at(key) != supported)
    fail("{}: \"{}\": {} is not supported; supported: {}", path_, key, at(key).dump(), supported.dump());
}

}  // namespace qsweep::io
