#include "text/dataset.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <unordered_map>

#include "io/json.h"
#include "io/mapped_file.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

using io::Json;
using io::ObjectReader;

constexpr std::array<std::string_view, 3> kRoles{"system", "user", "assistant"};
constexpr std::array<std::string_view, 4> kVisionTokens{"<|image_pad|>", "<|video_pad|>", "<|vision_start|>",
                                                        "<|vision_end|>"};

// They would be tokenized as if an image stood there.
void refuse_vision_tokens(const std::string& text, const std::string& where) {
  for (const std::string_view token : kVisionTokens)
    if (text.find(token) != std::string::npos)
      fail("{}: special image token written as text: {}", where, token);
}

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

std::optional<int64_t> optional_pixels(const ObjectReader& part, const char* key) {
  if (!part.has(key)) return std::nullopt;
  return part.integer_in(key, 1, INT32_MAX);
}

ImageSource parse_image(const ObjectReader& part, const std::string& folder) {
  ImageSource image{.location = part.string("image"),
                    .folder = folder,
                    .min_pixels = optional_pixels(part, "min_pixels"),
                    .max_pixels = optional_pixels(part, "max_pixels"),
                    .resized_height = optional_pixels(part, "resized_height"),
                    .resized_width = optional_pixels(part, "resized_width")};
  if (image.location.empty()) fail("{}: \"image\": expected a path, found an empty string", part.path());
  if (image.resized_height.has_value() != image.resized_width.has_value())
    fail("{}: expected both \"resized_height\" and \"resized_width\", found one of them", part.path());
  return image;
}

ContentPart parse_part(const ObjectReader& part, const std::string& folder) {
  const std::string type = part.string("type");
  if (type == "text") return part.string("text");
  if (type == "image") return parse_image(part, folder);
  fail("{}: \"type\": \"{}\" is not supported; supported: text, image", part.path(), type);
}

Message parse_message(const ObjectReader& object, const std::string& folder) {
  Message message{object.string("role"), {}};
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end())
    fail("{}: \"role\": expected system, user or assistant, found \"{}\"", object.path(), message.role);
  const Json& content = object.at("content");
  if (content.is_string()) {
    message.parts.emplace_back(content.get<std::string>());
  } else if (content.is_array() && !content.empty()) {
    for (size_t i = 0; i < content.size(); ++i)
      message.parts.push_back(
          parse_part(ObjectReader(content[i], fmt::format("{}: content[{}]", object.path(), i)), folder));
  } else {
    fail("{}: \"content\": expected a string or a list of parts, found {}", object.path(),
         content.empty() ? "an empty list" : content.type_name());
  }
  for (const ContentPart& part : message.parts)
    if (const auto* text = std::get_if<std::string>(&part)) refuse_vision_tokens(*text, object.path());
  return message;
}

Dialogue parse_dialogue(const ObjectReader& object, const std::string& folder) {
  const Json& messages = object.at("messages");
  if (!messages.is_array() || messages.empty())
    fail("{}: \"messages\": expected a list of at least one message, found {}", object.path(),
         messages.is_array() ? "none" : messages.type_name());
  Dialogue dialogue;
  for (size_t i = 0; i < messages.size(); ++i)
    dialogue.messages.push_back(
        parse_message(ObjectReader(messages[i], fmt::format("{}: messages[{}]", object.path(), i)), folder));
  return dialogue;
}

std::vector<uint8_t> parse_answer_mask(const ObjectReader& object, size_t n_ids) {
  const Json& values = object.at("answer_mask");
  if (!values.is_array() || values.size() != n_ids)
    fail("{}: \"answer_mask\": expected a list of {} values, one for each id, found {}", object.path(), n_ids,
         values.is_array() ? fmt::format("{} values", values.size()) : values.type_name());
  std::vector<uint8_t> mask;
  for (const Json& value : values) {
    const bool one = value == 1 || value == true;
    if (!one && value != 0 && value != false)
      fail("{}: \"answer_mask\": expected 0, 1, false or true, found {}", object.path(), value.dump());
    mask.push_back(one);
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
  if (object.has("answer_mask")) tokens.answer_mask = parse_answer_mask(object, tokens.ids.size());
  return tokens;
}

Sample parse_json_line(const std::string& line, int64_t number, const std::string& where,
                       const std::string& folder) {
  const Json json = io::parse_json(line, where);
  const ObjectReader object(json, where);
  Sample sample{object.has("id") ? object.string("id") : line_id(number), {}};
  const bool dialogue = object.has("messages"), tokens = object.has("input_ids");
  if (dialogue == tokens)
    fail("{}: expected either \"messages\" or \"input_ids\", found {}", where, dialogue ? "both" : "neither");
  if (dialogue) {
    sample.content = parse_dialogue(object, folder);
  } else {
    sample.content = parse_token_ids(object);
  }
  return sample;
}

}  // namespace

std::vector<Sample> parse_dataset_txt(std::string_view text, const std::string& where,
                                      std::optional<int64_t> first_n) {
  return parse_lines(text, where, first_n,
                     [](const std::string& line, int64_t number, const std::string& line_where) {
                       with_context(line_where, [&] { check_utf8(line); });
                       refuse_vision_tokens(line, line_where);
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
