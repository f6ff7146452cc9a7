// Layers in which every token is worked on by some of many small MLPs, the experts (Shazeer et al. 2017).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "models/scope.h"
#include "models/text_config.h"

namespace qsweep::models {

struct Mixture {
  int64_t n_experts = 0;
  int64_t width = 0;  // of each expert's hidden values
  ops::router::Rule rule;
  ops::gated::Form form;
  std::vector<bool> in_layer;  // others have one MLP
  std::string_view router = "mlp.gate";
  // As gpt-oss: all experts' in one tensor, the outputs of gate and up in turns, and a bias for every op and
  // the router.
  bool biased_in_turns = false;
};

// What a family's configuration class takes for keys that are left out.
struct MixtureDefaults {
  int64_t n_experts = 128, chosen = 8, width = 768;
  bool over_chosen = false;  // weights add up to 1
};

// The keys that read_mixture reads, and those that change nothing but training.
std::span<const io::KnownKey> mixture_keys();
Mixture read_mixture(const io::ObjectReader& r, const TextConfig& text, const MixtureDefaults& defaults);

// The sum of what each token's experts make of it. Whatever the storage, an expert's ops are
// "mlp.experts.3.gate_proj" and so on: one tensor each, or all experts' in "mlp.experts.gate_up_proj", gate
// first, and "mlp.experts.down_proj", of each expert [out, in] or [in, out], as their shapes tell.
Scope::Value experts(Scope& s, const Mixture& mixture, Scope::Value x);

// A layer of Qwen3 with experts, or with one MLP (qwen3_moe.cc).
Scope::Value qwen3_moe_layer(Scope& s, const TextConfig& c, const Mixture& mixture, int64_t layer,
                             Scope::Value x);

}  // namespace qsweep::models
