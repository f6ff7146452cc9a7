// Values of a template, which are JSON's and one that is undefined: what Python does with them, and Jinja's
// filters, tests, methods and functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json.h"

namespace qsweep::text::jinja {

using Value = io::Json;

Value undefined();
bool is_undefined(const Value& value);

// As Python prints it: True, None; undefined is nothing. Error for lists and mappings.
std::string to_text(const Value& value);
bool is_true(const Value& value);

Value binary(std::string_view op, const Value& left, const Value& right);
bool contains(const Value& container, const Value& item);
// Undefined where there is none; Error where `of` is undefined itself.
Value element(const Value& of, const Value& key);
// of[begin:end:step] of a list or a string, as Python has it.
Value slice(const Value& of, std::optional<int64_t> begin, std::optional<int64_t> end,
            std::optional<int64_t> step);
// What a for goes through: items of a list, keys of a mapping, characters of a string.
std::vector<Value> items_of(const Value& value);

struct CallArguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;

  // By place or name; `absent` where it is not given.
  Value get(size_t place, std::string_view name, Value absent) const;
};

Value apply_filter(std::string_view name, const Value& of, const CallArguments& arguments);
bool apply_test(std::string_view name, const Value& of, const CallArguments& arguments);
Value call_method(std::string_view name, const Value& of, const CallArguments& arguments);
// nullopt where there is no function of this name.
std::optional<Value> call_function(std::string_view name, const CallArguments& arguments);
bool is_function(std::string_view name);

}  // namespace qsweep::text::jinja
