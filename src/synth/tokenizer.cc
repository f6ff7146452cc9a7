#include "synth/tokenizer.h"

#include <algorithm>
#include <map>
#include <vector>

#include "io/json.h"
#include "text/unicode.h"

namespace qsweep::synth {
namespace {

using io::Json;
using io::ObjectReader;

// Qwen2's words.
constexpr const char* kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Common English letters side by side, so that text has fewer tokens than bytes.
constexpr std::pair<const char*, const char*> kMerges[] = {
    {" ", "t"}, {" ", "a"}, {"h", "e"},  {"i", "n"}, {"r", "e"},  {"o", "n"},  {" t", "he"}, {"e", "r"},
    {"a", "t"}, {" ", "s"}, {"o", "u"},  {"e", "n"}, {" ", "w"},  {"i", "s"},  {" ", "o"},   {"n", "d"},
    {"i", "t"}, {"o", "r"}, {"in", "g"}, {"e", "s"}, {" o", "f"}, {" a", "nd"}};

// A special token stands at the id under the key, or so many ids later.
struct Special {
  const char* content;
  const char* key;
  int64_t offset;
  bool always;  // without the key at some id, as prompts need it
};
constexpr Special kSpecials[] = {
    {"<|endoftext|>", "bos_token_id", 0, true},
    {"<|im_start|>", "bos_token_id", 1, true},
    {"<|im_end|>", "bos_token_id", 2, true},
    {"<|vision_start|>", "vision_start_token_id", 0, true},
    {"<|vision_end|>", "vision_end_token_id", 0, true},
    {"<|image_pad|>", "image_token_id", 0, false},
    {"<|video_pad|>", "video_token_id", 0, false},
};

// The bytes' characters, in the order of GPT-2's and Qwen2's ids.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    tokens.push_back(text::to_byte_level({&byte, 1}));
  }
  std::sort(tokens.begin(), tokens.end());  // UTF-8 sorts as code points do
  return tokens;
}

std::map<int64_t, std::string> special_tokens(const Json& config, const std::string& where,
                                              int64_t vocab_size) {
  const ObjectReader top(config, where);
  std::map<int64_t, std::string> tokens;
  std::vector<std::string> elsewhere;
  for (const Special& special : kSpecials) {
    const bool nested = !top.has(special.key) && top.has("text_config");
    const ObjectReader r = nested ? top.object("text_config") : top;
    if (!r.has(special.key)) {
      if (special.always) elsewhere.emplace_back(special.content);
      continue;
    }
    const int64_t id = r.integer_in(special.key, 0, vocab_size - 1 - special.offset) + special.offset;
    if (!tokens.emplace(id, special.content).second)
      fail("{}: \"{}\": {} and {} would both have id {}", r.path(), special.key, tokens[id], special.content,
           id);
  }
  int64_t id = vocab_size - 1;
  for (const std::string& content : elsewhere) {
    while (tokens.contains(id)) --id;
    tokens[id] = content;
  }
  return tokens;
}

Json added_token(int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

Json tokenizer(const Json& config, const std::string& where, int64_t vocab_size) {
  const std::map<int64_t, std::string> specials = special_tokens(config, where, vocab_size);
  Json::object_t vocab;  // its operator[] would search all of it
  Json merges = Json::array(), added = Json::array();
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
  if (next > vocab_size)
    fail("{}: a stand-in tokenizer.json needs a \"vocab_size\" of {}, found {}", where, next, vocab_size);
  while (static_cast<int64_t>(vocab.size() + specials.size()) < vocab_size)
    add(fmt::format("filler{}", next));
  for (const auto& [id, content] : specials) added.push_back(added_token(id, content));
  const Json bytes{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  const Json split{
      {"type", "Split"}, {"pattern", {{"Regex", kPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}}},
          {"post_processor", bytes},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

}  // namespace qsweep::synth
