#include "text/dialogue.h"

#include <algorithm>
#include <array>
#include <optional>

#include "io/json.h"
#include "text/data_keys.h"

namespace qsweep::text {
namespace {

using io::Json;
using io::ObjectReader;

constexpr std::array<std::string_view, 3> kRoles{"system", "user", "assistant"};
constexpr std::array<const char*, 4> kLocationKeys{"image", "image_url", "url", "path"};
constexpr std::array<const char*, 3> kAnswerKeys{"weight", "loss", "loss_mask"};
constexpr std::string_view kImageMark = "<image>";

// OpenAI's {"url", "detail"} where the value is no string.
std::string parse_location(const ObjectReader& part, const char* key) {
  if (!part.at(key).is_object()) return part.string(key);
  const ObjectReader object = part.object(key);
  for (const auto& [name, value] : object.json().items())
    if (name != "url" && name != "detail")
      fail("{}: key {} is not supported", object.path(), io::shortened(Json(name)));
  object.require("detail", "auto");
  return object.string("url");
}

// None where no key says where the image is.
std::optional<std::string> find_location(const ObjectReader& part) {
  std::optional<std::string> location;
  for (const char* key : kLocationKeys) {
    if (!part.has(key)) continue;
    if (location)
      fail("{}: \"{}\": expected one key that says where the image is, found several", part.path(), key);
    location = parse_location(part, key);
    if (location->empty()) fail("{}: \"{}\": expected a path, found an empty string", part.path(), key);
  }
  return location;
}

void read_size(const ObjectReader& part, ImageSource& image) {
  const auto read = [&](const char* key, std::optional<int64_t>& pixels) {
    if (part.has(key)) pixels = part.integer_in(key, 1, INT32_MAX);
  };
  read("min_pixels", image.min_pixels);
  read("max_pixels", image.max_pixels);
  read("resized_height", image.resized_height);
  read("resized_width", image.resized_width);
  if (image.resized_height.has_value() != image.resized_width.has_value())
    fail("{}: expected both \"resized_height\" and \"resized_width\", found one of them", part.path());
}

// The images of a line beside its messages, which are taken in order.
class ImageColumn {
 public:
  ImageColumn(const ObjectReader& line, const std::string& folder) : path_(line.path()) {
    if (!line.has("images")) return;
    const Json& list = line.at("images");
    if (!list.is_array()) fail("{}: \"images\": expected a list, found {}", path_, io::shortened(list));
    images_.emplace();
    for (size_t i = 0; i < list.size(); ++i)
      images_->push_back(parse_entry(list[i], fmt::format("{}: images[{}]", path_, i), folder));
  }

  bool is_there() const { return images_.has_value(); }
  size_t taken() const { return taken_; }

  ImageSource take() {
    ++taken_;
    return taken_ <= images_->size() ? (*images_)[taken_ - 1] : ImageSource{};
  }

  // That every image was taken once, after the last message.
  void check() const {
    if (images_ && images_->size() != taken_)
      fail("{}: \"images\": expected as many as {} in the messages, {}, found {}", path_, kImageMark, taken_,
           images_->size());
  }

 private:
  static ImageSource parse_entry(const Json& entry, const std::string& where, const std::string& folder) {
    ImageSource image{.location = {}, .folder = folder};
    if (!entry.is_string()) {
      const ObjectReader object(entry, where);
      check_keys(object, Place::image);
      image.location = find_location(object).value_or("");
      read_size(object, image);
    } else {
      image.location = entry.get<std::string>();
    }
    if (image.location.empty()) fail("{}: expected a path, found none", where);
    return image;
  }

  std::string path_;
  std::optional<std::vector<ImageSource>> images_;
  size_t taken_ = 0;
};

class MessageParser {
 public:
  MessageParser(const std::string& folder, ImageColumn& column) : folder_(folder), column_(column) {}

  Message parse(const ObjectReader& object) {
    check_keys(object, Place::message);
    Message message{.role = object.string("role"), .parts = {}};
    if (std::ranges::find(kRoles, message.role) == kRoles.end())
      fail("{}: \"role\": expected system, user or assistant, found {}", object.path(),
           io::shortened(Json(message.role)));
    message.answer = is_answer(object, message.role);
    const Json& content = object.at("content");
    if (content.is_string()) {
      add_text(content.get<std::string>(), message);
    } else if (content.is_array() && !content.empty()) {
      for (size_t i = 0; i < content.size(); ++i)
        add_part(ObjectReader(content[i], fmt::format("{}: content[{}]", object.path(), i)), message);
    } else {
      fail("{}: \"content\": expected a string or a list of parts, found {}", object.path(),
           content.empty() ? "an empty list" : content.type_name());
    }
    return message;
  }

 private:
  // A message of the assistant, unless it says that it is none.
  static bool is_answer(const ObjectReader& object, const std::string& role) {
    std::optional<bool> said;
    for (const char* key : kAnswerKeys) {
      if (!object.has(key)) continue;
      const std::string where = fmt::format("{}: \"{}\"", object.path(), key);
      if (said) fail("{}: expected one key that says whether this is an answer, found several", where);
      said = zero_or_one(object.at(key), where);
      if (*said && role != "assistant")
        fail("{}: expected 0, as only the assistant's messages are answers, found 1", where);
    }
    return said.value_or(role == "assistant");
  }

  void add_part(const ObjectReader& part, Message& message) {
    const std::string type = part.string("type");
    if (type == "text") {
      check_keys(part, Place::text);
      add_text(part.string("text"), message);
    } else if (type == "image" || type == "image_url") {
      check_keys(part, Place::image);
      message.parts.emplace_back(parse_image(part));
    } else {
      fail("{}: \"type\": {} is not supported; supported: text, image, image_url", part.path(),
           io::shortened(Json(type)));
    }
  }

  ImageSource parse_image(const ObjectReader& part) {
    ImageSource image;
    if (const auto location = find_location(part)) {
      part.require("index", nullptr);
      image = {.location = *location, .folder = folder_};
    } else if (column_.is_there()) {
      part.require("index", column_.taken());
      image = column_.take();
    } else {
      fail("{}: missing key \"image\"", part.path());
    }
    read_size(part, image);
    return image;
  }

  void add_text(std::string_view text, Message& message) {
    while (column_.is_there() && text.find(kImageMark) != std::string_view::npos) {
      const size_t mark = text.find(kImageMark);
      if (mark > 0) message.parts.emplace_back(std::string(text.substr(0, mark)));
      message.parts.emplace_back(column_.take());
      text.remove_prefix(mark + kImageMark.size());
      if (text.empty()) return;
    }
    message.parts.emplace_back(std::string(text));
  }

  const std::string& folder_;
  ImageColumn& column_;
};

}  // namespace

bool zero_or_one(const Json& value, const std::string& where) {
  const bool one = value == 1 || value == true;
  if (!one && value != 0 && value != false)
    fail("{}: expected 0, 1, false or true, found {}", where, io::shortened(value));
  return one;
}

std::vector<Message> parse_messages(const ObjectReader& line, const std::string& folder) {
  const Json& list = line.at("messages");
  if (!list.is_array() || list.empty())
    fail("{}: \"messages\": expected a list of at least one message, found {}", line.path(),
         list.is_array() ? "none" : list.type_name());
  ImageColumn column(line, folder);
  MessageParser parser(folder, column);
  std::vector<Message> messages;
  for (size_t i = 0; i < list.size(); ++i)
    messages.push_back(parser.parse(ObjectReader(list[i], fmt::format("{}: messages[{}]", line.path(), i))));
  column.check();
  return messages;
}

}  // namespace qsweep::text
