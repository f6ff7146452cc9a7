// A stand-in for a tokenizer.json.
#pragma once

#include <cstdint>
#include <string>

#include "io/json_fwd.h"

namespace qsweep::synth {

// A byte-level BPE tokenizer in the form of Qwen2's with `vocab_size` tokens: the bytes, a few merges,
// fillers that no text gives, and the special tokens of prompts, at the ids that `config`, a config.json,
// names, or else at the end. Error where they do not fit; `where` is the file's name.
io::Json tokenizer(const io::Json& config, const std::string& where, int64_t vocab_size);

}  // namespace qsweep::synth
