// Gemma 3's decoder, which two families have.
#pragma once

#include <string>

#include "models/assembly.h"

namespace qsweep::models {

TextConfig read_gemma3_text(const io::ObjectReader& text);
// `config` must outlive the decoder. spans: of tokens that see each other both ways (SampleInputs); empty:
// none.
Decoder gemma3_decoder(const TextConfig& config, const std::string& spans);

}  // namespace qsweep::models
