#include "synth/tokenizer.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "io/json.h"
#include "text/unicode.h"

namespace qsweep::synth {
namespace {

using io::Json;
using io::ObjectReader;
using models::PromptToken;

// Qwen2's words.
constexpr const char* kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Common English letters side by side, so that text has fewer tokens than bytes.
constexpr std::pair<const char*, const char*> kMerges[] = {
    {" ", "t"}, {" ", "a"}, {"h", "e"},  {"i", "n"}, {"r", "e"},  {"o", "n"},  {" t", "he"}, {"e", "r"},
    {"a", "t"}, {" ", "s"}, {"o", "u"},  {"e", "n"}, {" ", "w"},  {"i", "s"},  {" ", "o"},   {"n", "d"},
    {"i", "t"}, {"o", "r"}, {"in", "g"}, {"e", "s"}, {" o", "f"}, {" a", "nd"}};

constexpr int kBytes = 256;
constexpr const char* kBosKey = "bos_token_id";

// The bytes' characters, in the order of GPT-2's and Qwen2's ids.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  for (int b = 0; b < kBytes; ++b) {
    const char byte = static_cast<char>(b);
    tokens.push_back(text::to_byte_level({&byte, 1}));
  }
  std::sort(tokens.begin(), tokens.end());  // UTF-8 sorts as code points do
  return tokens;
}

using Specials = std::map<int64_t, std::string>;  // by id

std::optional<int64_t> bos_of(const Json& config, const std::string& where, int64_t vocab_size) {
  const ObjectReader top(config, where);
  const bool nested = !top.has(kBosKey) && top.has("text_config");
  const ObjectReader r = nested ? top.object("text_config") : top;
  if (!r.has(kBosKey)) return std::nullopt;
  return r.integer_in(kBosKey, 0, vocab_size - 1);
}

// Puts the tokens that config.json names at their ids, and returns the others.
std::vector<PromptToken> place_named(std::span<const PromptToken> tokens, std::optional<int64_t> bos,
                                     const std::string& where, Specials& specials) {
  std::vector<PromptToken> others;
  const auto place = [&](int64_t id, std::string_view key, const std::string& text) {
    const auto [at, is_free] = specials.emplace(id, text);
    if (!is_free) fail("{}: \"{}\": {} and {} would both have id {}", where, key, at->second, text, id);
  };
  for (const PromptToken& token : tokens) {
    if (!token.key.empty()) {
      place(token.id, token.key, token.text);
    } else if (token.begins && bos) {
      place(*bos, kBosKey, token.text);
    } else {
      others.push_back(token);
    }
  }
  return others;
}

Specials special_tokens(std::span<const PromptToken> tokens, std::optional<int64_t> bos,
                        const std::string& where, int64_t vocab_size) {
  Specials specials;
  const std::vector<PromptToken> others = place_named(tokens, bos, where, specials);
  int64_t id = std::min(bos.value_or(vocab_size) + 1, vocab_size - std::ssize(tokens));
  for (const PromptToken& token : others) {
    while (specials.contains(id)) ++id;
    specials[id] = token.text;
  }
  return specials;
}

Json added_token(int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
}

Json pre_tokenizer() {
  const Json split{
      {"type", "Split"}, {"pattern", {{"Regex", kPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level()}}};
}

// Puts `begin` before every text.
Json begin_template(int64_t id, const std::string& begin) {
  const Json special{{"SpecialToken", {{"id", begin}, {"type_id", 0}}}};
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", {special, sequence("A", 0)}},
          {"pair", {special, sequence("A", 0), sequence("B", 1)}},
          {"special_tokens",
           {{begin, {{"id", begin}, {"ids", Json::array({id})}, {"tokens", Json::array({begin})}}}}}};
}

Json post_processor(std::span<const PromptToken> tokens, const Specials& specials) {
  const auto first = std::ranges::find(tokens, true, &PromptToken::begins);
  if (first == tokens.end()) return byte_level();
  const auto placed = std::ranges::find(specials, first->text, &Specials::value_type::second);
  return begin_template(placed->first, first->text);
}

// Bytes and merges have the lowest ids that are free, fillers the others. Special tokens are in the
// vocabulary too: the tokenizers library would give them new ids otherwise.
Json bpe_model(const Specials& specials, int64_t vocab_size) {
  Json::object_t vocab;  // its operator[] would search all of it
  for (const auto& [id, content] : specials) vocab.emplace(content, id);
  Json merges = Json::array();
  int64_t next = 0;
  const auto add = [&](const std::string& token) {
    while (specials.contains(next)) ++next;
    vocab.emplace_back(token, next++);
  };
  for (const std::string& token : byte_tokens()) add(token);
  for (const auto& [left, right] : kMerges) {
    const std::string a = text::to_byte_level(left), b = text::to_byte_level(right);
    merges.push_back({a, b});
    add(a + b);
  }
  while (std::ssize(vocab) < vocab_size) add(fmt::format("filler{}", next));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", ""},
          {"end_of_word_suffix", ""},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"vocab", vocab},
          {"merges", merges}};
}

}  // namespace

Json tokenizer(const Json& config, const std::string& where, const models::Model& model) {
  const std::vector<PromptToken> tokens = model.inputs->prompt_tokens();
  const int64_t needed = kBytes + std::ssize(kMerges) + std::ssize(tokens);
  if (needed > model.vocab_size)
    fail("{}: a stand-in tokenizer.json needs a \"vocab_size\" of {}, found {}", where, needed,
         model.vocab_size);
  const Specials specials =
      special_tokens(tokens, bos_of(config, where, model.vocab_size), where, model.vocab_size);
  Json added = Json::array();
  for (const auto& [id, content] : specials) added.push_back(added_token(id, content));
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", pre_tokenizer()},
          {"post_processor", post_processor(tokens, specials)},
          {"decoder", byte_level()},
          {"model", bpe_model(specials, model.vocab_size)}};
}

}  // namespace qsweep::synth
