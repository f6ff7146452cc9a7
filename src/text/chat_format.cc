#include "text/chat_format.h"

#include <array>
#include <filesystem>

#include "base/readable.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "text/chat_template.h"

namespace qsweep::text {
namespace {

using io::Json;

constexpr std::string_view kWaysOut =
    "give data that is tokenized (\"input_ids\"), or say with --chat-template which dialect to take";

// A message's content as transformers gets it: a string, or a list of parts.
Json content_of(const Message& message, bool as_parts) {
  if (!as_parts) return said(message);
  if (message.parts.size() == 1)
    if (const auto* words = std::get_if<std::string>(&message.parts[0])) return *words;
  Json parts = Json::array();
  for (const ContentPart& part : message.parts) {
    if (const auto* words = std::get_if<std::string>(&part)) {
      parts.push_back({{"type", "text"}, {"text", *words}});
    } else {
      parts.push_back({{"type", "image"}});
    }
  }
  return parts;
}

Json json_of(std::span<const Message> messages, bool as_parts) {
  Json all = Json::array();
  for (const Message& message : messages)
    all.push_back({{"role", message.role}, {"content", content_of(message, as_parts)}});
  return all;
}

// Whether the template writes the messages as `expected`. Texts in several parts mean the same as one text to
// templates that know no parts.
bool writes(const ChatTemplate& checkpoint, std::span<const Message> messages, std::string_view expected,
            std::string& error) {
  const bool has_images = count_images(messages) > 0;
  for (const bool as_parts : {true, false}) {
    if (has_images && !as_parts) continue;
    try {
      if (checkpoint.render(json_of(messages, as_parts)) == expected) return true;
    } catch (const Error& raised) {
      error = raised.what();
    }
  }
  return false;
}

Message message_of(std::string role, std::string words) {
  return {.role = std::move(role), .parts = {std::move(words)}};
}

// What tells dialects apart; the first must be the same.
std::array<std::vector<Message>, 4> probes() {
  const Message system = message_of("system", "s"), user = message_of("user", "u"),
                assistant = message_of("assistant", "a"), spaced = message_of("user", " u\n");
  return {{{user, assistant},
           {system, user, assistant},
           {user, assistant, user, assistant},
           {spaced, assistant}}};
}

// What the template puts between head and end of a system message where the dialogue has none.
std::optional<std::string> learned_system(const ChatTemplate& checkpoint, const Dialect& dialect,
                                          std::span<const Message> messages) {
  if (dialect.system.head.empty()) return std::nullopt;
  const std::string found = checkpoint.render(json_of(messages, true));
  const std::string head =
      std::string(dialect.begin).append(dialect.system.head).append(dialect.system_prefix);
  const std::string without = write_dialogue(dialect, std::nullopt, messages, {}).text;
  const std::string tail = std::string(dialect.system.end) + without.substr(dialect.begin.size());
  if (found.size() < head.size() + tail.size() || !found.starts_with(head) || !found.ends_with(tail))
    return std::nullopt;
  return found.substr(head.size(), found.size() - head.size() - tail.size());
}

std::optional<std::string> own_system(const Dialect& dialect) {
  if (!dialect.default_system) return std::nullopt;
  return std::string(*dialect.default_system);
}

// How many of the probes the template writes as the dialect does; 0 where the first is not among them.
int agreement(const ChatTemplate& checkpoint, const Dialect& dialect,
              const std::optional<std::string>& system) {
  int agreeing = 0;
  std::string unused;
  for (const std::vector<Message>& probe : probes()) {
    if (writes(checkpoint, probe, write_dialogue(dialect, system, probe, {}).text, unused))
      ++agreeing;
    else if (agreeing == 0)
      return 0;
  }
  return agreeing;
}

void fit(const std::shared_ptr<const ChatTemplate>& checkpoint, ChatFormat& format) {
  int best = 0;
  const auto offer = [&](const Dialect& dialect, const std::optional<std::string>& system) {
    const int agreeing = agreement(*checkpoint, dialect, system);
    if (agreeing <= best) return;
    best = agreeing;
    format = {.dialect = &dialect, .default_system = system, .checked_by = checkpoint};
  };
  for (const Dialect& dialect : known_dialects()) offer(dialect, own_system(dialect));
  for (const Dialect& dialect : known_dialects())
    if (const auto system = learned_system(*checkpoint, dialect, probes()[0])) offer(dialect, system);
}

std::optional<std::string> template_in(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("chat_template") || json["chat_template"].is_null())
    return std::nullopt;
  const Json& found = json["chat_template"];
  if (found.is_string()) return found.get<std::string>();
  // Several by name, of which "default" is for chat.
  if (found.is_array())
    for (const Json& entry : found)
      if (entry.is_object() && entry.value("name", "") == "default" && entry.contains("template"))
        return entry["template"].get<std::string>();
  fail("{}: \"chat_template\": expected a string, or a list with one named \"default\", found {}", where,
       io::shortened(found));
}

std::string text_of_file(const std::string& path) {
  const io::MappedFile file = io::MappedFile::open(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Json read_if_there(const std::string& path) {
  return std::filesystem::exists(path) ? io::read_json_file(path) : Json::object();
}

// bos_token and the like: strings, or objects with the content of an added token.
Json special_tokens(const Json& config) {
  Json tokens = Json::object();
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    if (!config.is_object() || !config.contains(name)) continue;
    const Json& token = config[name];
    if (token.is_string()) tokens[name] = token;
    if (token.is_object() && token.contains("content")) tokens[name] = token["content"];
  }
  return tokens;
}

// In the order in which transformers looks.
std::optional<std::string> find_template(const std::string& folder, const Json& tokenizer_config) {
  const std::string jinja = folder + "/chat_template.jinja", json = folder + "/chat_template.json";
  if (std::filesystem::exists(jinja)) return text_of_file(jinja);
  if (std::filesystem::exists(json))
    if (auto found = template_in(io::read_json_file(json), json)) return found;
  return template_in(tokenizer_config, folder + "/tokenizer_config.json");
}

}  // namespace

ChatFormat format_of_template(std::string_view template_text, const Json& special_tokens) {
  ChatFormat format;
  std::string why = fmt::format("the checkpoint's chat template is that of none of {}", dialect_names());
  try {
    fit(std::make_shared<const ChatTemplate>(template_text, special_tokens), format);
  } catch (const Error& error) {
    why = fmt::format("the checkpoint's chat template cannot be read: {}", readable_value(error.what()));
  }
  if (format.dialect == nullptr) format.refusal = fmt::format("{}: {}", why, kWaysOut);
  return format;
}

ChatFormat find_chat_format(const std::string& folder, const std::optional<std::string>& chosen,
                            std::string_view usual) {
  const auto as_it_is = [](const Dialect& dialect) {
    return ChatFormat{.dialect = &dialect, .default_system = own_system(dialect)};
  };
  if (chosen)
    return as_it_is(
        with_context("--chat-template", [&]() -> const Dialect& { return find_dialect(*chosen); }));
  const Json config = read_if_there(folder + "/tokenizer_config.json");
  const std::optional<std::string> found = find_template(folder, config);
  return found ? format_of_template(*found, special_tokens(config)) : as_it_is(find_dialect(usual));
}

ChatPrompt write_prompt(const ChatFormat& format, std::span<const Message> messages,
                        std::span<const std::string> image_texts) {
  if (format.dialect == nullptr) fail("{}", format.refusal);
  if (format.checked_by != nullptr) {
    std::string error;
    if (!writes(*format.checked_by, messages,
                write_dialogue(*format.dialect, format.default_system, messages, {}).text, error))
      fail("the checkpoint's chat template writes this dialogue otherwise than the dialect {}{}: {}",
           format.dialect->name, error.empty() ? "" : fmt::format(" (it says: {})", readable_value(error)),
           kWaysOut);
  }
  return write_dialogue(*format.dialect, format.default_system, messages, image_texts);
}

}  // namespace qsweep::text
