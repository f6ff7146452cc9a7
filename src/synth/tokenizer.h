// A stand-in for a tokenizer.json.
#pragma once

#include <string>

#include "io/json_fwd.h"
#include "models/model.h"

namespace qsweep::synth {

// A byte-level BPE tokenizer with as many tokens as the model has: the bytes, a few merges, fillers that no
// text gives, and the tokens of the model's prompts as special ones. They have the ids that `config`, the
// model's config.json, names; the others follow on its bos_token_id, or are the last where it has none. Text
// begins with the token that prompts begin with. Error where the tokens do not fit; `where` is the file's
// name.
io::Json tokenizer(const io::Json& config, const std::string& where, const models::Model& model);

}  // namespace qsweep::synth
