// Names of ops in other tools' files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qsweep::compare {

// The name as qsweep writes it: model.layers.0.mlp.up_proj, visual.blocks.0.attn.qkv, lm_head. Known are the
// prefixes of both layouts of a checkpoint (model.language_model., language_model.model., language_model.,
// model.visual., ...) and what tools append (.module, .quant_recipe, .weight). Other names stay as they are.
std::string canonical_name(std::string_view name);

// The ops that a serving stack stores under one canonical name: qkv_proj and gate_up_proj. Empty for others.
std::vector<std::string> fused_members(const std::string& canonical);

}  // namespace qsweep::compare
