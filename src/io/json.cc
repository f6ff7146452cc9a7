#include "io/json.h"

#include <algorithm>
#include <utility>

#include "io/mapped_file.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace qsweep::io {
namespace {

constexpr size_t kMaxDepth = 100;
// A value of two bytes of text takes some hundred bytes in memory: a hostile file must not exhaust it. The
// largest tokenizers have about two million values.
constexpr size_t kMaxValues = 5'000'000;
constexpr size_t kMaxQuotedBytes = 200;

// Text from the input as it may appear in an error: a line or two of printable ASCII.
std::string shortened_text(const std::string& text) {
  std::string line = text.size() <= kMaxQuotedBytes ? text : text.substr(0, kMaxQuotedBytes) + "...";
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

bool is_object(const Json& value) { return value.is_object(); }
bool is_boolean(const Json& value) { return value.is_boolean(); }
bool is_string(const Json& value) { return value.is_string(); }
bool is_number(const Json& value) { return value.is_number(); }
// An integer of the signed 64-bit range.
bool is_integer(const Json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
}
bool is_integers(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), is_integer);
}
bool is_numbers(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), is_number);
}

// Builds the document from the parser's events. The library's own builder searches an ordered object at every
// new key, so it needs quadratic time for a vocabulary; here an object is checked for duplicates once, when
// it is complete.
class DocumentBuilder final : public nlohmann::json_sax<Json> {
 public:
  // Errors say the column only where the text is one_line: the caller may know which line of a file it is.
  explicit DocumentBuilder(bool one_line) : one_line_(one_line) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }

  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool key(string_t& value) override {
    open_.back().keys.push_back(std::move(value));
    return true;
  }
  bool end_object() override {
    auto [keys, values] = close();
    refuse_duplicates(keys);
    Json::object_t object;
    object.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) object.emplace_back(std::move(keys[i]), std::move(values[i]));
    return place(std::move(object));
  }
  bool end_array() override { return place(close().values); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    std::string what =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (const size_t bracket = what.find("] "); bracket != std::string::npos) what.erase(0, bracket + 2);
    constexpr std::string_view kFirstLine = "line 1, ";
    if (const size_t line = what.find(kFirstLine); one_line_ && line != std::string::npos)
      what.erase(line, kFirstLine.size());
    fail("not valid JSON: {}", shortened_text(what));
  }

  Json document;

 private:
  // An object or array that is not complete yet. Members are kept apart until then: an ordered object cannot
  // move its members when it grows, it would copy all that is below them.
  struct Open {
    std::vector<std::string> keys;  // of an object
    std::vector<Json> values;
  };

  void count_value() {
    if (++values_ > kMaxValues) fail("more than {} values", kMaxValues);
  }
  bool add(Json value) {
    count_value();
    return place(std::move(value));
  }
  bool open() {
    count_value();
    if (open_.size() == kMaxDepth) fail("nesting is deeper than {} levels", kMaxDepth);
    open_.emplace_back();
    return true;
  }
  Open close() {
    Open complete = std::move(open_.back());
    open_.pop_back();
    return complete;
  }
  bool place(Json value) {
    if (open_.empty()) {
      document = std::move(value);
    } else {
      open_.back().values.push_back(std::move(value));
    }
    return true;
  }
  static void refuse_duplicates(const std::vector<std::string>& keys) {
    std::vector<std::string_view> sorted(keys.begin(), keys.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) fail("duplicate key {}", shortened(Json(*twice)));
  }

  bool one_line_;
  std::vector<Open> open_;
  size_t values_ = 0;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  return with_context(where, [&] {
    DocumentBuilder builder(text.find('\n') == std::string_view::npos);
    Json::sax_parse(text.begin(), text.end(), &builder);
    return std::move(builder.document);
  });
}

std::string shortened(const Json& value) {
  return value.is_structured() && value.size() > kMaxQuotedBytes
             ? fmt::format("{} of {} values", value.type_name(), value.size())
             : shortened_text(value.dump(-1, ' ', true));
}

Json read_json_file(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
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
  if (!is(value)) fail("{}: \"{}\": expected {}, found {}", path_, key, expected, shortened(value));
  return value;
}

int64_t ObjectReader::integer(const std::string& key) const {
  return typed(key, is_integer, "a 64-bit integer").get<int64_t>();
}

int64_t ObjectReader::integer_in(const std::string& key, int64_t low, int64_t high) const {
  const int64_t value = integer(key);
  if (value < low || value > high)
    fail("{}: \"{}\": expected a value from {} to {}, found {}", path_, key, low, high, value);
  return value;
}

double ObjectReader::number(const std::string& key) const {
  return typed(key, is_number, "a number").get<double>();
}

bool ObjectReader::boolean(const std::string& key) const {
  return typed(key, is_boolean, "true or false").get<bool>();
}

std::string ObjectReader::string(const std::string& key) const {
  return typed(key, is_string, "a string").get<std::string>();
}

std::vector<int64_t> ObjectReader::integers(const std::string& key) const {
  return typed(key, is_integers, "an array of 64-bit integers").get<std::vector<int64_t>>();
}

std::vector<double> ObjectReader::numbers(const std::string& key) const {
  return typed(key, is_numbers, "an array of numbers").get<std::vector<double>>();
}

ObjectReader ObjectReader::object(const std::string& key) const {
  return {typed(key, is_object, "an object"), path_ + ": " + key};
}

void ObjectReader::require(const std::string& key, const Json& supported) const {
  if (has(key) && at(key) != supported)
    fail("{}: \"{}\": {} is not supported; supported: {}", path_, key, shortened(at(key)), supported.dump());
}

}  // namespace qsweep::io
