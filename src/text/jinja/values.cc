#include "text/jinja/values.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/checked.h"
#include "base/error.h"
#include "text/unicode.h"

namespace qsweep::text::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;
constexpr size_t kMaxBytes = size_t{1} << 26;  // of a text that is put together

// Templates that ask for the date are told this one, so that a run can be repeated.
constexpr int kYear = 2024, kMonth = 7, kDay = 26, kWeekday = 5;

std::string kind_of(const Value& value) { return is_undefined(value) ? "undefined" : value.type_name(); }

void check_size(const std::string& text) {
  if (text.size() > kMaxBytes) fail("a text of more than {} bytes", kMaxBytes);
}

int64_t integer(const Value& value, std::string_view what) {
  if (!value.is_number_integer()) fail("{}: expected a whole number, found {}", what, kind_of(value));
  return value.get<int64_t>();
}

const std::string& string(const Value& value, std::string_view what) {
  if (!value.is_string()) fail("{}: expected a string, found {}", what, kind_of(value));
  return value.get_ref<const std::string&>();
}

std::vector<Value> characters(std::string_view text) {
  std::vector<Value> all;
  while (!text.empty()) {
    const size_t bytes = utf8_first(text).bytes;
    all.emplace_back(std::string(text.substr(0, bytes)));
    text.remove_prefix(bytes);
  }
  return all;
}

int64_t size_of(const Value& value) {
  if (value.is_string()) return static_cast<int64_t>(characters(value.get_ref<const std::string&>()).size());
  if (!value.is_structured()) fail("length: expected a string, list or mapping, found {}", kind_of(value));
  return static_cast<int64_t>(value.size());
}

// Division rounds down, and the remainder has the divisor's sign.
Value divide(std::string_view op, int64_t a, int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1) return op == "%" ? Value(0) : Value(checked_mul(a, int64_t{-1}));
  const bool down = a % b != 0 && (a % b < 0) != (b < 0);
  return op == "%" ? Value(a % b + (down ? b : 0)) : Value(a / b - (down ? 1 : 0));
}

[[noreturn]] void refuse_operands(std::string_view op, const Value& left, const Value& right) {
  fail("{} {} {} is not supported", kind_of(left), op, kind_of(right));
}

Value add(const Value& left, const Value& right) {
  if (left.is_string() && right.is_string()) return left.get<std::string>() + right.get<std::string>();
  if (left.is_array() && right.is_array()) {
    Value both = left;
    both.insert(both.end(), right.begin(), right.end());
    return both;
  }
  refuse_operands("+", left, right);
}

bool less(std::string_view op, const Value& left, const Value& right) {
  const bool comparable = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
  if (!comparable) refuse_operands(op, left, right);
  return left < right;
}

// Python's strip of one or both ends: of white space, or of the given characters.
std::string stripped(const std::string& text, const Value& of, bool left, bool right) {
  std::vector<Value> all = characters(text);
  const auto goes = [&](const Value& c) {
    const auto& character = c.get_ref<const std::string&>();
    return of.is_null() ? trimmed(character).empty()
                        : string(of, "strip").find(character) != std::string::npos;
  };
  auto begin = all.begin(), end = all.end();
  while (left && begin != end && goes(*begin)) ++begin;
  while (right && begin != end && goes(*(end - 1))) --end;
  std::string out;
  for (; begin != end; ++begin) out += begin->get_ref<const std::string&>();
  return out;
}

Value split(std::string_view text, const Value& separator, int64_t most) {
  Value parts = Value::array();
  if (separator.is_null()) fail("split: expected what to split at, found none");
  const std::string& at = string(separator, "split");
  if (at.empty()) fail("split: empty separator");
  for (size_t found = text.find(at); found != std::string_view::npos && most-- != 0; found = text.find(at)) {
    parts.push_back(std::string(text.substr(0, found)));
    text.remove_prefix(found + at.size());
  }
  parts.push_back(std::string(text));
  return parts;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) fail("replace: empty text");
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
    check_size(out);
  }
  return out.append(text, done);
}

std::string mapped(std::string text, int (*letter)(int)) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) fail("upper and lower case are supported for ASCII only");
    c = static_cast<char>(letter(c));
  }
  return text;
}

Value joined(const Value& list, const std::string& between) {
  std::string text;
  bool first = true;
  for (const Value& item : items_of(list)) {
    if (!first) text += between;
    first = false;
    text += to_text(item);
    check_size(text);
  }
  return text;
}

Value pairs_of(const Value& mapping) {
  if (!mapping.is_object()) fail("items: expected a mapping, found {}", kind_of(mapping));
  Value pairs = Value::array();
  for (const auto& [key, value] : mapping.items()) pairs.push_back(Value::array({key, value}));
  return pairs;
}

// selectattr and rejectattr: those whose attribute passes the test, or is true where none is named.
Value selected(const Value& list, const CallArguments& arguments, bool wanted) {
  const std::string attribute = string(arguments.get(0, "", undefined()), "selectattr");
  const Value test = arguments.get(1, "", Value());
  const CallArguments rest{{arguments.values.begin() + std::min<ptrdiff_t>(2, std::ssize(arguments.values)),
                            arguments.values.end()},
                           {}};
  Value left = Value::array();
  for (const Value& item : items_of(list)) {
    const Value value = element(item, attribute);
    const bool passes = test.is_null() ? is_true(value) : apply_test(string(test, "selectattr"), value, rest);
    if (passes == wanted) left.push_back(item);
  }
  return left;
}

Value attributes(const Value& list, const CallArguments& arguments) {
  const Value attribute = arguments.get(1, "attribute", undefined());
  if (is_undefined(attribute)) fail("map: supported: map(attribute=...)");
  Value all = Value::array();
  for (const Value& item : items_of(list)) all.push_back(element(item, attribute));
  return all;
}

Value end_of(const Value& list, bool first) {
  const std::vector<Value> items = items_of(list);
  if (items.empty()) return undefined();
  return first ? items.front() : items.back();
}

Value range(const CallArguments& arguments) {
  const bool one = arguments.values.size() == 1;
  const int64_t begin = one ? 0 : integer(arguments.get(0, "", undefined()), "range");
  const int64_t end = integer(arguments.get(one ? 0 : 1, "", undefined()), "range");
  const int64_t step = integer(arguments.get(2, "", 1), "range");
  if (step == 0) fail("range: step 0");
  Value list = Value::array();
  for (int64_t i = begin; step > 0 ? i < end : i > end; i = checked_add(i, step)) {
    if (std::ssize(list) == kMaxRange) fail("range: more than {} numbers", kMaxRange);
    list.push_back(i);
  }
  return list;
}

Value mapping_of(const CallArguments& arguments) {
  Value all = Value::object();
  for (const auto& [name, value] : arguments.named) all[name] = value;
  return all;
}

Value date(const std::string& format) {
  std::tm day{};
  day.tm_year = kYear - 1900;
  day.tm_mon = kMonth - 1;
  day.tm_mday = kDay;
  day.tm_wday = kWeekday;
  std::array<char, 256> text{};
  return std::string(text.data(), std::strftime(text.data(), text.size(), format.c_str(), &day));
}

}  // namespace

Value undefined() { return Value(Value::value_t::discarded); }
bool is_undefined(const Value& value) { return value.is_discarded(); }

std::string to_text(const Value& value) {
  if (is_undefined(value)) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_null()) return "None";
  if (value.is_structured()) fail("a {} as text is not supported", kind_of(value));
  return value.dump();
}

bool is_true(const Value& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return value.is_structured() && !value.empty();
}

Value binary(std::string_view op, const Value& left, const Value& right) {
  if (op == "==") return left == right || (is_undefined(left) && is_undefined(right));
  if (op == "!=") return !is_true(binary("==", left, right));
  if (op == "in") return contains(right, left);
  if (op == "~") return to_text(left) + to_text(right);
  if (op == "<") return less(op, left, right);
  if (op == ">") return less(op, right, left);
  if (op == "<=") return !less(op, right, left);
  if (op == ">=") return !less(op, left, right);
  const bool integers = left.is_number_integer() && right.is_number_integer();
  if (op == "+" && !integers) return add(left, right);
  if (!integers) refuse_operands(op, left, right);
  const auto a = left.get<int64_t>(), b = right.get<int64_t>();
  if (op == "+") return checked_add(a, b);
  if (op == "-") return checked_add(a, checked_mul(b, int64_t{-1}));
  if (op == "*") return checked_mul(a, b);
  return divide(op, a, b);
}

bool contains(const Value& container, const Value& item) {
  if (container.is_string())
    return container.get_ref<const std::string&>().find(string(item, "in")) != std::string::npos;
  if (container.is_array()) return std::ranges::find(container, item) != container.end();
  if (container.is_object()) return item.is_string() && container.contains(item.get<std::string>());
  fail("in: expected a string, list or mapping, found {}", kind_of(container));
}

Value element(const Value& of, const Value& key) {
  if (is_undefined(of))
    fail("{} of what is undefined", key.is_string() ? key.get<std::string>() : key.dump());
  if (of.is_object() && key.is_string()) {
    const auto found = of.find(key.get<std::string>());
    return found == of.end() ? undefined() : *found;
  }
  if (!key.is_number_integer() || (!of.is_array() && !of.is_string())) return undefined();
  const std::vector<Value> items = of.is_string() ? items_of(of) : std::vector<Value>();
  const auto size = static_cast<int64_t>(of.is_string() ? items.size() : of.size());
  auto at = key.get<int64_t>();
  if (at < 0) at += size;
  if (at < 0 || at >= size) return undefined();
  return of.is_string() ? items[static_cast<size_t>(at)] : of[static_cast<size_t>(at)];
}

Value slice(const Value& of, std::optional<int64_t> begin, std::optional<int64_t> end,
            std::optional<int64_t> step) {
  const int64_t by = step.value_or(1);
  if (by == 0) fail("a slice of step 0");
  if (!of.is_string() && !of.is_array()) fail("a slice of {}", kind_of(of));
  const std::vector<Value> items = items_of(of);
  const int64_t size = std::ssize(items);
  const int64_t low = by > 0 ? 0 : -1, high = by > 0 ? size : size - 1;
  const auto place = [&](std::optional<int64_t> at, int64_t absent) {
    return at ? std::clamp(*at < 0 ? *at + size : *at, low, high) : absent;
  };
  const int64_t first = place(begin, by > 0 ? low : high), last = place(end, by > 0 ? high : low);
  Value list = Value::array();
  std::string text;
  for (int64_t i = first; by > 0 ? i < last : i > last; i = checked_add(i, by)) {
    const Value& item = items[static_cast<size_t>(i)];
    if (of.is_string())
      text += item.get_ref<const std::string&>();
    else
      list.push_back(item);
  }
  return of.is_string() ? Value(std::move(text)) : list;
}

std::vector<Value> items_of(const Value& value) {
  if (is_undefined(value)) return {};
  if (value.is_array()) return {value.begin(), value.end()};
  if (value.is_string()) return characters(value.get_ref<const std::string&>());
  if (!value.is_object()) fail("expected a list, found {}", kind_of(value));
  std::vector<Value> keys;
  for (const auto& [key, unused] : value.items()) keys.emplace_back(key);
  return keys;
}

Value CallArguments::get(size_t place, std::string_view name, Value absent) const {
  if (place < values.size()) return values[place];
  const auto found =
      std::ranges::find_if(named, [&](const auto& argument) { return argument.first == name; });
  if (found == named.end()) return absent;
  return found->second;
}

Value apply_filter(std::string_view name, const Value& of, const CallArguments& arguments) {
  if (name == "trim") return stripped(to_text(of), arguments.get(0, "chars", Value()), true, true);
  if (name == "length" || name == "count") return size_of(of);
  if (name == "string" || name == "safe") return to_text(of);
  if (name == "upper" || name == "lower") return call_method(name, to_text(of), arguments);
  if (name == "replace") return call_method(name, to_text(of), arguments);
  if (name == "join") return joined(of, to_text(arguments.get(0, "d", "")));
  if (name == "first" || name == "last") return end_of(of, name == "first");
  if (name == "list") return items_of(of);
  if (name == "items") return pairs_of(of);
  if (name == "map") return attributes(of, arguments);
  if (name == "selectattr" || name == "rejectattr") return selected(of, arguments, name == "selectattr");
  if (name == "default" || name == "d") {
    const bool absent = is_undefined(of) || (is_true(arguments.get(1, "boolean", false)) && !is_true(of));
    return absent ? arguments.get(0, "default_value", "") : of;
  }
  fail("the filter \"{}\" is not supported", name);
}

bool apply_test(std::string_view name, const Value& of, const CallArguments& arguments) {
  if (name == "defined") return !is_undefined(of);
  if (name == "undefined") return is_undefined(of);
  if (name == "none") return of.is_null();
  if (name == "string") return of.is_string();
  if (name == "mapping") return of.is_object();
  if (name == "iterable" || name == "sequence")
    return of.is_string() || of.is_structured() || is_undefined(of);
  if (name == "boolean") return of.is_boolean();
  if (name == "true") return of == true;
  if (name == "false") return of == false;
  if (name == "integer") return of.is_number_integer();
  if (name == "number") return of.is_number();
  if (name == "in") return contains(arguments.get(0, "", undefined()), of);
  if (name == "equalto" || name == "eq" || name == "sameas")
    return is_true(binary("==", of, arguments.get(0, "", undefined())));
  if (name == "ne") return !is_true(binary("==", of, arguments.get(0, "", undefined())));
  if (name == "odd") return integer(of, "odd") % 2 != 0;
  if (name == "even") return integer(of, "even") % 2 == 0;
  fail("the test \"{}\" is not supported", name);
}

Value call_method(std::string_view name, const Value& of, const CallArguments& arguments) {
  const Value first = arguments.get(0, "", Value());
  if (of.is_object()) {
    if (name == "items") return pairs_of(of);
    if (name == "keys") return items_of(of);
    if (name == "get") {
      Value found = element(of, first);
      return is_undefined(found) ? arguments.get(1, "default", Value()) : found;
    }
  }
  if (of.is_string()) {
    const auto& text = of.get_ref<const std::string&>();
    if (name == "startswith") return text.starts_with(string(first, name));
    if (name == "endswith") return text.ends_with(string(first, name));
    if (name == "strip" || name == "lstrip" || name == "rstrip")
      return stripped(text, first, name != "rstrip", name != "lstrip");
    if (name == "split") return split(text, first, integer(arguments.get(1, "maxsplit", -1), name));
    if (name == "replace") return replaced(text, string(first, name), string(arguments.get(1, "", {}), name));
    if (name == "upper") return mapped(text, std::toupper);
    if (name == "lower") return mapped(text, std::tolower);
    if (name == "join") return joined(first, text);
  }
  fail("the method \"{}\" of {} is not supported", name, kind_of(of));
}

bool is_function(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kFunctions{"raise_exception", "strftime_now", "range",
                                                              "namespace", "dict"};
  return std::ranges::find(kFunctions, name) != kFunctions.end();
}

std::optional<Value> call_function(std::string_view name, const CallArguments& arguments) {
  if (name == "raise_exception") fail("{}", to_text(arguments.get(0, "message", "")));
  if (name == "strftime_now") return date(string(arguments.get(0, "format", undefined()), name));
  if (name == "range") return range(arguments);
  if (name == "namespace" || name == "dict") return mapping_of(arguments);
  return std::nullopt;
}

}  // namespace qsweep::text::jinja
