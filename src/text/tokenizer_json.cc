#include "text/tokenizer_json.h"

#include <array>
#include <unordered_set>
#include <utility>

#include "io/json.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

using io::Json;
using io::ObjectReader;
using Vocab = std::unordered_map<std::string, int32_t>;

constexpr int64_t kMaxId = (1 << 24) - 1;
constexpr size_t kMaxAddedTokenBytes = 1024;

// GPT-2's words, as the ByteLevel pre-tokenizer has them.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The items of an optional list of steps: {"type": "Sequence", list_key: [...]}, one step, or none.
std::vector<ObjectReader> steps_of(const ObjectReader& root, const std::string& key,
                                   const std::string& list_key) {
  std::vector<ObjectReader> steps;
  if (!root.has(key)) return steps;
  const ObjectReader step = root.object(key);
  if (step.string("type") != "Sequence") return {step};
  const Json& list = step.at(list_key);
  if (!list.is_array())
    fail("{}: \"{}\": expected an array, found {}", step.path(), list_key, list.type_name());
  for (size_t i = 0; i < list.size(); ++i)
    steps.emplace_back(list[i], fmt::format("{}: {}[{}]", step.path(), list_key, i));
  return steps;
}

[[noreturn]] void refuse_type(const ObjectReader& step, const char* supported) {
  fail("{}: \"{}\" is not supported; supported: {}", step.path(), step.string("type"), supported);
}

bool flag(const ObjectReader& object, const std::string& key, bool absent) {
  return object.has(key) ? object.boolean(key) : absent;
}

// A text that stands for itself where it is looked for or put.
std::string plain_text(const ObjectReader& object, const std::string& key) {
  std::string text = object.string(key);
  if (text.empty()) fail("{}: \"{}\": expected a text, found an empty one", object.path(), key);
  return text;
}

void read_normalizer(const ObjectReader& root, TokenizerParts& parts) {
  for (const ObjectReader& step : steps_of(root, "normalizer", "normalizers")) {
    const std::string type = step.string("type");
    if (type == "NFC") {
      parts.normalizer.emplace_back(Compose{});
    } else if (type == "Prepend") {
      parts.normalizer.emplace_back(Prepend{plain_text(step, "prepend")});
    } else if (type == "Replace") {
      parts.normalizer.emplace_back(
          Replace{plain_text(step.object("pattern"), "String"), plain_text(step, "content")});
    } else {
      refuse_type(step, "null, NFC, Prepend, Replace, Sequence of these");
    }
  }
}

constexpr std::pair<const char*, Split::Behavior> kBehaviors[] = {
    {"Isolated", Split::Behavior::isolated},
    {"MergedWithPrevious", Split::Behavior::merged_with_previous},
    {"MergedWithNext", Split::Behavior::merged_with_next},
    {"Contiguous", Split::Behavior::contiguous},
};

Split::Behavior read_behavior(const ObjectReader& step) {
  const std::string name = step.string("behavior");
  for (const auto& [known, behavior] : kBehaviors)
    if (name == known) return behavior;
  fail(
      "{}: \"behavior\": {} is not supported; supported: Isolated, MergedWithPrevious, MergedWithNext, "
      "Contiguous",
      step.path(), io::shortened(Json(name)));
}

Split read_split(const ObjectReader& step) {
  const Split::Behavior behavior = read_behavior(step);
  const bool inverted = flag(step, "invert", false);
  const ObjectReader pattern = step.object("pattern");
  if (pattern.has("String")) return {plain_text(pattern, "String"), behavior, inverted};
  return with_context(step.path(), [&] { return Split(Regex(pattern.string("Regex")), behavior, inverted); });
}

Split read_digits(const ObjectReader& step) {
  const bool single = flag(step, "individual_digits", false);
  return {Regex(single ? R"(\p{N})" : R"(\p{N}+)"), Split::Behavior::isolated, false};
}

Metaspace read_metaspace(const ObjectReader& step) {
  using Prefix = Metaspace::Prefix;
  Metaspace metaspace{.space = plain_text(step, "replacement"), .prefix = Prefix::always, .split = {}};
  if (step.has("prepend_scheme")) {
    const std::string scheme = step.string("prepend_scheme");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      fail("{}: \"prepend_scheme\": expected always, first or never, found {}", step.path(),
           io::shortened(Json(scheme)));
    metaspace.prefix = scheme == "always"  ? Prefix::always
                       : scheme == "first" ? Prefix::first
                                           : Prefix::never;
  }
  if (!flag(step, "add_prefix_space", true)) metaspace.prefix = Prefix::never;  // of older files
  if (flag(step, "split", true))
    metaspace.split.emplace(metaspace.space, Split::Behavior::merged_with_next, false);
  return metaspace;
}

void read_pre_tokenizer(const ObjectReader& root, TokenizerParts& parts) {
  const std::vector<ObjectReader> steps = steps_of(root, "pre_tokenizer", "pretokenizers");
  parts.byte_level = false;
  for (size_t i = 0; i < steps.size(); ++i) {
    const ObjectReader& step = steps[i];
    const bool last = i + 1 == steps.size();
    const std::string type = step.string("type");
    if (type == "Split") {
      parts.splits.push_back(read_split(step));
    } else if (type == "Digits") {
      parts.splits.push_back(read_digits(step));
    } else if (type == "ByteLevel" && last) {
      parts.byte_level = true;
      parts.add_prefix_space = flag(step, "add_prefix_space", true);
      if (flag(step, "use_regex", true)) parts.byte_level_split.emplace(kGpt2Pattern);
    } else if (type == "Metaspace" && last) {
      parts.metaspace = read_metaspace(step);
    } else {
      refuse_type(step, "any number of Split and Digits, then at most one ByteLevel or Metaspace");
    }
  }
}

// How tokens become text is of no use here, but that it fits to how text became tokens is a check.
void read_decoder(const ObjectReader& root, const TokenizerParts& parts) {
  if (!parts.byte_level) return;
  const std::vector<ObjectReader> steps = steps_of(root, "decoder", "decoders");
  if (steps.size() != 1)
    fail("{}: \"decoder\": expected ByteLevel, found {} steps", root.path(), steps.size());
  if (steps[0].string("type") != "ByteLevel") refuse_type(steps[0], "ByteLevel");
}

Vocab read_vocab(const ObjectReader& model) {
  const ObjectReader entries = model.object("vocab");
  Vocab vocab;
  vocab.reserve(entries.json().size());
  std::unordered_set<int32_t> ids;
  for (const auto& [token, value] : entries.json().items()) {
    if (!value.is_number_integer() || value < 0 || value > kMaxId)
      fail("{}: \"{}\": expected an id from 0 to {}, found {}", entries.path(), token, kMaxId,
           value.is_number() ? value.dump() : value.type_name());
    const auto id = value.get<int32_t>();
    if (!ids.insert(id).second) fail("{}: \"{}\": id {} is used more than once", entries.path(), token, id);
    vocab.emplace(token, id);
  }
  return vocab;
}

int32_t token_id(const Vocab& vocab, const std::string& token, const std::string& where) {
  const auto it = vocab.find(token);
  if (it == vocab.end()) fail("{}: \"{}\" is not in the vocabulary", where, token);
  return it->second;
}

// A merge is written as "left right" or ["left", "right"].
std::pair<std::string, std::string> read_merge(const Json& merge, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail("{}: expected \"left right\" or [\"left\", \"right\"], found {}", where,
       merge.is_string() ? merge.dump() : merge.type_name());
}

// -1 for bytes without a token, which some vocabularies have.
std::array<int32_t, 256> byte_ids_of(const Vocab& vocab, bool byte_level) {
  std::array<int32_t, 256> byte_ids;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const auto known = vocab.find(byte_level ? to_byte_level({&byte, 1}) : fmt::format("<0x{:02X}>", b));
    byte_ids[b] = known == vocab.end() ? -1 : known->second;
  }
  return byte_ids;
}

Bpe read_bpe(const ObjectReader& model, const Vocab& vocab, bool byte_level) {
  Bpe bpe(byte_ids_of(vocab, byte_level));
  if (!byte_level)
    for (const auto& [token, id] : vocab)
      if (!token.empty() && utf8_first(token).bytes == token.size())
        bpe.add_character(utf8_first(token).code_point, id);
  const Json& merges = model.at("merges");
  if (!merges.is_array())
    fail("{}: \"merges\": expected an array, found {}", model.path(), merges.type_name());
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::string where = fmt::format("{}: merges[{}]", model.path(), i);
    const auto [left, right] = read_merge(merges[i], where);
    const int32_t left_id = token_id(vocab, left, where), right_id = token_id(vocab, right, where);
    bpe.add_merge(left_id, right_id, token_id(vocab, left + right, where));
  }
  return bpe;
}

AddedToken read_added_token(const ObjectReader& object) {
  AddedToken token{.content = object.string("content"),
                   .id = static_cast<int32_t>(object.integer_in("id", 0, kMaxId)),
                   .special = flag(object, "special", false),
                   .normalized = flag(object, "normalized", false),
                   .lstrip = flag(object, "lstrip", false),
                   .rstrip = flag(object, "rstrip", false)};
  object.require("single_word", false);
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
    fail("{}: \"content\": expected 1 to {} bytes, found {}", object.path(), kMaxAddedTokenBytes,
         token.content.size());
  return token;
}

// An added token either repeats an entry of the vocabulary or brings an id of its own.
void read_added_tokens(const ObjectReader& root, TokenizerParts& parts) {
  if (!root.has("added_tokens")) return;
  const Json& list = root.at("added_tokens");
  if (!list.is_array())
    fail("{}: \"added_tokens\": expected an array, found {}", root.path(), list.type_name());
  std::unordered_set<std::string> contents;
  std::unordered_set<int32_t> used_ids;
  for (const auto& [token, id] : parts.vocab) used_ids.insert(id);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("{}: added_tokens[{}]", root.path(), i);
    AddedToken token = read_added_token(ObjectReader(list[i], where));
    if (!contents.insert(token.content).second) fail("{}: \"{}\" is added twice", where, token.content);
    const auto known = parts.vocab.find(token.content);
    if (known != parts.vocab.end() && known->second != token.id)
      fail("{}: \"{}\" has id {}, but id {} in the vocabulary", where, token.content, token.id,
           known->second);
    if (known == parts.vocab.end() && !used_ids.insert(token.id).second)
      fail("{}: \"{}\": id {} belongs to another token", where, token.content, token.id);
    parts.added.push_back(std::move(token));
  }
}

// Appends the ids of a template's special token.
void append_template_token(const ObjectReader& tmpl, const ObjectReader& item, std::vector<int32_t>& ids) {
  const ObjectReader token = tmpl.object("special_tokens").object(item.string("id"));
  for (const int64_t id : token.integers("ids")) {
    if (id < 0 || id > kMaxId) fail("{}: \"ids\": expected 0 to {}, found {}", token.path(), kMaxId, id);
    ids.push_back(static_cast<int32_t>(id));
  }
}

void read_template(const ObjectReader& tmpl, TokenizerParts& parts) {
  const Json& single = tmpl.at("single");
  int sequences = 0;
  for (size_t i = 0; single.is_array() && i < single.size(); ++i) {
    const ObjectReader item(single[i], fmt::format("{}: single[{}]", tmpl.path(), i));
    if (item.has("Sequence")) {
      ++sequences;
    } else {
      append_template_token(tmpl, item.object("SpecialToken"), sequences == 0 ? parts.prefix : parts.suffix);
    }
  }
  if (sequences != 1)
    fail("{}: \"single\": expected an array with one Sequence, found {}", tmpl.path(), sequences);
}

void read_post_processor(const ObjectReader& root, TokenizerParts& parts) {
  bool has_template = false;
  for (const ObjectReader& step : steps_of(root, "post_processor", "processors")) {
    const std::string type = step.string("type");
    if (type == "ByteLevel") continue;  // changes offsets only
    if (type != "TemplateProcessing" || has_template)
      refuse_type(step, "null, ByteLevel, at most one TemplateProcessing");
    has_template = true;
    read_template(step, parts);
  }
}

// What is without a token, for itself and for its bytes, is refused where a text has it, so that what is said
// of unknown tokens has no use.
void check_model(const ObjectReader& model, bool byte_level) {
  if (model.has("type") && model.string("type") != "BPE") refuse_type(model, "BPE");
  if (!byte_level && !flag(model, "byte_fallback", false))
    fail("{}: \"byte_fallback\": expected true, as there is no ByteLevel pre-tokenizer, found false",
         model.path());
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) model.require(key, "");
  model.require("dropout", nullptr);
}

}  // namespace

TokenizerParts parse_tokenizer_json(const Json& json, const std::string& where) {
  const ObjectReader root(json, where);
  const ObjectReader model = root.object("model");
  TokenizerParts parts{.bpe = Bpe({})};
  read_normalizer(root, parts);
  read_pre_tokenizer(root, parts);
  read_decoder(root, parts);
  check_model(model, parts.byte_level);
  parts.vocab = read_vocab(model);
  parts.bpe = read_bpe(model, parts.vocab, parts.byte_level);
  parts.ignore_merges = flag(model, "ignore_merges", false);
  read_added_tokens(root, parts);
  read_post_processor(root, parts);
  return parts;
}

}  // namespace qsweep::text
