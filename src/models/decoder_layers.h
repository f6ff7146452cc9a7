// Decoder layers that more than one family has: [tokens, hidden] to the same. Each is on the page of its
// first family.
#pragma once

#include "models/scope.h"
#include "models/text_config.h"

namespace qsweep::models {

TextConfig read_mistral_text(const io::ObjectReader& text);
// others: keys of what else the object describes.
TextConfig read_qwen3_text(const io::ObjectReader& text, std::span<const io::KnownKey> others = {});

Scope::Value llama_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x);
Scope::Value qwen2_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x);
// x with what its attention adds.
Scope::Value qwen3_attention(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x);
Scope::Value qwen3_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x);

// gate and up, SiLU(gate) * up, down (Shazeer 2020).
Scope::Value gated_mlp(Scope& s, const TextConfig& c, Scope::Value x);

}  // namespace qsweep::models
