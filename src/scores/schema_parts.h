// What the schemas of this module share: reading and writing of the parts that several files have.
#pragma once

#include <string>
#include <vector>

#include "scores/run.h"

namespace qsweep::scores {

// How a verified score was chosen.
inline constexpr std::string_view kChosenTop = "top", kChosenRandom = "random";

// "kind" of an op that is no linear one.
inline constexpr std::string_view kCacheKind = "kv";

// Writing.
template <class T>
io::Json or_null(const std::optional<T>& value) {
  return value ? io::Json(*value) : io::Json();
}
template <class Records, class Function>
io::Json array_of(const Records& records, Function to_record) {
  io::Json array = io::Json::array();
  for (const auto& record : records) array.push_back(to_record(record));
  return array;
}
io::Json model_json(const ModelInfo& model);
io::Json data_json(const DataInfo& data);
// null without a total.
io::Json metrics_json(const Measurement& measurement);

// Reading.
int64_t count_at(const io::ObjectReader& object, const std::string& key);
// A number that cannot be negative.
double non_negative_at(const io::ObjectReader& object, const std::string& key);
// The key must be there; null means none.
bool is_null(const io::ObjectReader& object, const std::string& key);
std::vector<std::string> strings_at(const io::ObjectReader& object, const std::string& key);
// Runs `parse` on the string at `key`; its Error gains the place.
template <class Parse>
auto named(const io::ObjectReader& object, const std::string& key, Parse parse) {
  const std::string text = object.string(key);
  return with_context(object.path(), [&] { return parse(text); });
}
// Calls read(ObjectReader) for each object of the array at `key`.
template <class Read>
void each(const io::ObjectReader& root, const std::string& key, Read read) {
  const io::Json& array = root.at(key);
  if (!array.is_array()) fail("{}: \"{}\": expected an array, found {}", root.path(), key, array.type_name());
  for (size_t i = 0; i < array.size(); ++i)
    read(io::ObjectReader(array[i], fmt::format("{}: {}[{}]", root.path(), key, i)));
}
void require_schema(const io::ObjectReader& root, std::string_view schema);
ModelInfo read_model(const io::ObjectReader& root);
DataInfo read_data(const io::ObjectReader& root);
io::Json interval_json(const std::optional<Interval>& interval);  // [low, high] or null
// The object at "metrics": what was measured, total and intervals.
void read_metrics(const io::ObjectReader& owner, Measurement& measurement);

}  // namespace qsweep::scores
