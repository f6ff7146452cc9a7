#include "text/dataset.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <unordered_map>

#include "io/json.h"
#include "io/mapped_file.h"
#include "text/data_keys.h"
#include "text/dialogue.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

using io::Json;
using io::ObjectReader;

// Calls parse_line(line, where) for the lines that are not blank until first_n samples are there.
std::vector<Sample> parse_lines(
    std::string_view text, const std::string& where, std::optional<int64_t> first_n,
    const std::function<Sample(const std::string&, int64_t, const std::string&)>& parse_line) {
  if (first_n && *first_n < 1) fail("{}: expected at least 1 sample to read, found {}", where, *first_n);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<Sample> samples;
  std::unordered_map<std::string, int64_t> line_of_id;
  for (int64_t number = 1; !text.empty() && (!first_n || std::ssize(samples) < *first_n); ++number) {
    std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.pop_back();
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string line_where = fmt::format("{}: line {}", where, number);
    samples.push_back(parse_line(line, number, line_where));
    const auto [known, is_new] = line_of_id.emplace(samples.back().id, number);
    if (!is_new) fail("{}: id \"{}\" is already used in line {}", line_where, known->first, known->second);
  }
  if (samples.empty()) fail("{}: expected at least one sample, found none", where);
  return samples;
}

std::string line_id(int64_t number) { return fmt::format("line-{}", number); }

// A list of one value for each id.
const Json& values_of_ids(const ObjectReader& object, const char* key, size_t n_ids) {
  const Json& values = object.at(key);
  if (!values.is_array() || values.size() != n_ids)
    fail("{}: \"{}\": expected a list of {} values, one for each id, found {}", object.path(), key, n_ids,
         values.is_array() ? fmt::format("{} values", values.size()) : values.type_name());
  return values;
}

std::vector<uint8_t> parse_mask(const ObjectReader& object, const char* key, size_t n_ids) {
  std::vector<uint8_t> mask;
  for (const Json& value : values_of_ids(object, key, n_ids))
    mask.push_back(zero_or_one(value, fmt::format("{}: \"{}\"", object.path(), key)));
  return mask;
}

// As transformers has labels: the ids that count, at their own places, and -100 for the others.
constexpr int kNoLabel = -100;

std::vector<uint8_t> parse_labels(const ObjectReader& object, const std::vector<int32_t>& ids) {
  const Json& labels = values_of_ids(object, "labels", ids.size());
  std::vector<uint8_t> mask;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (labels[i] != kNoLabel && labels[i] != ids[i])
      fail("{}: \"labels\": expected {} or the id of the same place, {}, found {}", object.path(), kNoLabel,
           ids[i], io::shortened(labels[i]));
    mask.push_back(labels[i] != kNoLabel);
  }
  return mask;
}

TokenIds parse_token_ids(const ObjectReader& object) {
  TokenIds tokens;
  for (const int64_t id : object.integers("input_ids")) {
    if (id < 0 || id > INT32_MAX)
      fail("{}: \"input_ids\": expected ids from 0 to {}, found {}", object.path(), INT32_MAX, id);
    tokens.ids.push_back(static_cast<int32_t>(id));
  }
  if (tokens.ids.empty()) fail("{}: \"input_ids\": expected at least one id, found none", object.path());
  if (object.has("answer_mask") && object.has("labels"))
    fail("{}: expected \"answer_mask\" or \"labels\", found both", object.path());
  if (object.has("answer_mask")) tokens.answer_mask = parse_mask(object, "answer_mask", tokens.ids.size());
  if (object.has("labels")) tokens.answer_mask = parse_labels(object, tokens.ids);
  if (object.has("attention_mask")) {
    const std::vector<uint8_t> attended = parse_mask(object, "attention_mask", tokens.ids.size());
    if (std::ranges::find(attended, 0) != attended.end())
      fail("{}: \"attention_mask\": expected 1 for every id, as there is no padding, found 0", object.path());
  }
  return tokens;
}

// The id is only a name, and a number is the usual one.
std::string parse_id(const ObjectReader& object, int64_t line) {
  if (!object.has("id")) return line_id(line);
  const Json& id = object.at("id");
  if (id.is_number_integer()) return id.dump();
  if (!id.is_string())
    fail("{}: \"id\": expected a string or a whole number, found {}", object.path(), io::shortened(id));
  return id.get<std::string>();
}

Sample parse_json_line(const std::string& line, int64_t number, const std::string& where,
                       const std::string& folder) {
  const Json json = io::parse_json(line, where);
  const ObjectReader object(json, where);
  Sample sample{parse_id(object, number), {}};
  const bool dialogue = object.has("messages"), tokens = object.has("input_ids");
  if (dialogue && tokens) fail("{}: expected either \"messages\" or \"input_ids\", found both", where);
  check_keys(object, tokens ? Place::token_ids : Place::dialogue);
  if (tokens) {
    sample.content = parse_token_ids(object);
  } else if (dialogue) {
    sample.content = Dialogue{parse_messages(object, folder)};
  } else {
    fail("{}: expected either \"messages\" or \"input_ids\", found neither", where);
  }
  return sample;
}

}  // namespace

std::vector<Sample> parse_dataset_txt(std::string_view text, const std::string& where,
                                      std::optional<int64_t> first_n) {
  return parse_lines(text, where, first_n,
                     [](const std::string& line, int64_t number, const std::string& line_where) {
                       with_context(line_where, [&] { check_utf8(line); });
                       return Sample{line_id(number), Caption{line}};
                     });
}

std::vector<Sample> parse_dataset_jsonl(std::string_view text, const std::string& where,
                                        const std::string& folder, std::optional<int64_t> first_n) {
  return parse_lines(text, where, first_n,
                     [&](const std::string& line, int64_t number, const std::string& line_where) {
                       return parse_json_line(line, number, line_where, folder);
                     });
}

std::vector<Sample> read_dataset(const std::string& path, std::optional<int64_t> first_n) {
  const std::filesystem::path name(path);
  const bool txt = name.extension() == ".txt";
  if (!txt && name.extension() != ".jsonl")
    fail("{}: expected a data file that ends in .txt or .jsonl, found \"{}\"", path,
         name.extension().string());
  const io::MappedFile file = io::MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (txt) return parse_dataset_txt(text, path, first_n);
  return parse_dataset_jsonl(text, path, name.parent_path().string(), first_n);
}

std::vector<ImageSource> images_of(const Sample& sample) {
  std::vector<ImageSource> images;
  const auto* dialogue = std::get_if<Dialogue>(&sample.content);
  if (dialogue == nullptr) return images;
  for (const Message& message : dialogue->messages)
    for (const ContentPart& part : message.parts)
      if (const auto* image = std::get_if<ImageSource>(&part)) images.push_back(*image);
  return images;
}

}  // namespace qsweep::text
