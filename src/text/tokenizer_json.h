// Reads tokenizer.json of the Hugging Face tokenizers library into the parts of a Tokenizer. What is not
// implemented is an Error that names the key, the value and what is supported.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "io/json_fwd.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/regex.h"
#include "text/split.h"

namespace qsweep::text {

// Steps of normalization.
struct Compose {};  // NFC
struct Prepend {
  std::string text;  // before a text that is not empty
};
struct Replace {
  std::string from, to;
};
using NormalizerStep = std::variant<Compose, Prepend, Replace>;

// Writes spaces as another character and puts one before a text that begins with none.
struct Metaspace {
  enum class Prefix { never, first, always };  // first: only where the whole text begins
  std::string space;
  Prefix prefix;
  std::optional<Split> split;  // into words that begin with a space
};

struct TokenizerParts {
  Bpe bpe;
  std::unordered_map<std::string, int32_t> vocab = {};  // token as written -> id
  // Tokens are written in the byte-level alphabet; else as they are, with <0x0A> for bytes of characters that
  // the vocabulary does not have.
  bool byte_level = true;
  bool ignore_merges = false;  // a word that is a token is not split by merges
  std::vector<AddedToken> added = {};
  std::vector<NormalizerStep> normalizer = {};
  std::vector<Split> splits = {};  // applied one after the other, each to the pieces of the one before
  bool add_prefix_space = false;   // then every piece gets a leading space, unless it has one,
  std::optional<Regex> byte_level_split = {};     // and is split once more
  std::optional<Metaspace> metaspace = {};        // or this happens to it
  std::vector<int32_t> prefix = {}, suffix = {};  // the template's tokens around one sequence
};

// `where` names the document in errors.
TokenizerParts parse_tokenizer_json(const io::Json& json, const std::string& where);

}  // namespace qsweep::text
