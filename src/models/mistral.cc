// Mistral (Jiang et al. 2023): Llama whose layers may look back through a window.
#include "models/assembly.h"
#include "models/decoder_layers.h"

namespace qsweep::models {
namespace {

constexpr io::KnownKey kKeys[] = {{"attention_bias", io::KeyUse::only, "false"}, {"sliding_window"}};
// Of MistralConfig: without the key there is a window, with null there is none.
constexpr TextRules::Default kDefaults[] = {{"sliding_window", "4096"}};
constexpr TextRules kRules{.keys = kKeys, .defaults = kDefaults, .sliding = Sliding::everywhere};

}  // namespace

TextConfig read_mistral_text(const io::ObjectReader& text) { return read_text(text, kRules); }

Model load_mistral(Source source) {
  const TextConfig c = read_mistral_text({source.config, source.config_path()});
  return language_model(
      std::move(source), "mistral", c,
      {.layer = [&](Scope& s, int64_t layer, Scope::Value x) { return llama_layer(s, c, layer, x); }},
      "mistral");
}

}  // namespace qsweep::models
