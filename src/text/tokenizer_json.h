// Reads tokenizer.json of the Hugging Face tokenizers library into the parts of a Tokenizer. What is not
// implemented is an Error that names the key, the value and what is supported.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/json_fwd.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/regex.h"

namespace qsweep::text {

struct TokenizerParts {
  Bpe bpe;
  std::unordered_map<std::string, int32_t> vocab = {};  // token as written (byte-level alphabet) -> id
  bool ignore_merges = false;                           // a word that is a token is not split by merges
  std::vector<AddedToken> added = {};
  bool nfc = false;
  std::vector<Regex> splits = {};  // applied one after the other, each to the pieces of the one before
  bool add_prefix_space = false;   // then every piece gets a leading space, unless it has one,
  std::optional<Regex> byte_level_split = {};     // and is split once more
  std::vector<int32_t> prefix = {}, suffix = {};  // the template's tokens around one sequence
};

// `where` names the document in errors.
TokenizerParts parse_tokenizer_json(const io::Json& json, const std::string& where);

}  // namespace qsweep::text
