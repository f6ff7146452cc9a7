#include "stacks/yaml.h"

#include <charconv>
#include <cmath>

#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/readable.h"
#include "io/mapped_file.h"

namespace qsweep::stacks {
namespace {

using io::Json;

constexpr int kMaxDepth = 100, kMaxNodes = 1'000'000;

template <class Number>
bool parse_whole(const std::string& text, Number& number) {
  const char* const begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

Json scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() != "?") return text;  // in quotes
  if (text == "~" || text == "null" || text == "Null" || text == "NULL" || text.empty()) return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  int64_t integer = 0;
  double real = 0;
  if (parse_whole(text, integer)) return integer;
  if (parse_whole(text, real) && std::isfinite(real)) return real;
  return text;
}

class Converter {
 public:
  explicit Converter(const std::string& where) : where_(where) {}

  Json convert(const YAML::Node& node, int depth = 0) {
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes) fail("{}: the document is too large or too deep", where_);
    if (node.IsNull()) return nullptr;
    if (const std::string& tag = node.Tag(); !tag.empty() && tag != "?" && tag != "!")
      fail("{}:{}: the tag {} is not supported", where_, node.Mark().line + 1,
           io::shortened(valid_utf8(tag)));
    if (node.IsScalar()) {
      check_text(node);
      return scalar(node);
    }
    return node.IsSequence() ? sequence(node, depth) : mapping(node, depth);
  }

 private:
  // An escape may spell what is no character.
  void check_text(const YAML::Node& node) const {
    if (valid_utf8(node.Scalar()) != node.Scalar())
      fail("{}:{}: expected UTF-8, found {}", where_, node.Mark().line + 1,
           io::shortened(valid_utf8(node.Scalar())));
  }

  Json sequence(const YAML::Node& node, int depth) {
    Json items = Json::array();
    for (const YAML::Node& item : node) items.push_back(convert(item, depth + 1));
    return items;
  }

  Json mapping(const YAML::Node& node, int depth) {
    Json object = Json::object();
    for (const auto& item : node) {
      if (!item.first.IsScalar()) fail("{}:{}: expected a plain key", where_, item.first.Mark().line + 1);
      check_text(item.first);
      const std::string& key = item.first.Scalar();
      if (object.contains(key))
        fail("{}:{}: the key {} is there twice", where_, item.first.Mark().line + 1, io::shortened(key));
      object[key] = convert(item.second, depth + 1);
    }
    return object;
  }

  const std::string& where_;
  int nodes_ = 0;
};

}  // namespace

Json parse_yaml(const std::string& text, const std::string& where) {
  try {
    return Converter(where).convert(YAML::Load(text));
  } catch (const YAML::Exception& e) {
    fail("{}:{}: {}", where, e.mark.line + 1, io::shortened(valid_utf8(e.msg)));
  }
}

Json read_yaml_file(const std::string& path) {
  const io::MappedFile file = io::MappedFile::open(path);
  const std::span<const std::byte> bytes = file.bytes();
  return parse_yaml({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace qsweep::stacks
