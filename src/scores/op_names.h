// Names of ops as others write them: newer checkpoints, other tools.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scores/record.h"

namespace qsweep::scores {

// Of all ops, in their order.
std::vector<std::string> names_of(std::span<const OpRecord> ops);

// Whether an op of this name is the cache of a layer.
bool names_cache(std::string_view op);

// The name as qsweep writes it: model.layers.0.mlp.up_proj, visual.blocks.0.attn.qkv, lm_head. Known are the
// prefixes of both layouts of a checkpoint (model.language_model., language_model.model., language_model.,
// model.visual., ...) and what tools append (.module, .quant_recipe, .weight). Other names stay as they are.
std::string canonical_name(std::string_view name);

// The module that holds the op in a model of transformers from 4.52 on, whatever the checkpoint's layout:
// model.language_model.layers.0.mlp.up_proj. Of families of text alone these are the canonical names. Error
// for a family (model_type) whose modules are not known. The vision tower of gemma3 is named as from 5.x on;
// before, a `vision_model.` stood after `model.vision_tower.`.
std::string module_name(std::string_view canonical, std::string_view family);

// The ops that a serving stack stores under one canonical name: qkv_proj and gate_up_proj. Empty for others.
std::vector<std::string> fused_members(const std::string& canonical);

// Per op, whether the shell pattern matches its name; `*` also crosses dots. A pattern that matches no name
// as qsweep writes it is taken for one over the names above, fused ones included:
// model.language_model.layers.*.
std::vector<bool> matching_ops(const std::string& pattern, std::span<const std::string> names);

}  // namespace qsweep::scores
