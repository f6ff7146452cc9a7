// The ops of testdata/tiny-qwen2.5-vl.
#pragma once

#include <string>

#include "scores/op_names.h"
#include "stacks/stacks.h"

namespace qsweep::stacks {

class TinyOps {
 public:
  static std::vector<scores::OpRecord> list() {
    TinyOps ops;
    ops.add("visual.patch_embed.proj", "vision", {}, "proj", 1176, 96);
    for (int64_t block = 0; block < 6; ++block) ops.add_vision_block(block);
    ops.add("visual.merger.mlp.0", "projector", {}, "mlp.0", 384, 384);
    ops.add("visual.merger.mlp.2", "projector", {}, "mlp.2", 384, 128);
    for (int64_t layer = 0; layer < 6; ++layer) ops.add_layer(layer);
    ops.add("lm_head", "language", {}, "lm_head", 128, 1088);
    return ops.ops_;
  }

 private:
  void add(const std::string& name, const std::string& tower, std::optional<int64_t> block,
           const std::string& role, int64_t in, int64_t out, std::optional<std::string> group = {}) {
    ops_.push_back({name, tower, block, role, in, out, in * out, group});
  }
  void add_vision_block(int64_t block) {
    const std::string at = fmt::format("visual.blocks.{}.", block);
    add(at + "attn.qkv", "vision", block, "qkv", 96, 288);
    add(at + "attn.proj", "vision", block, "proj", 96, 96);
    for (const std::string role : {"gate_proj", "up_proj"})
      add(at + "mlp." + role, "vision", block, role, 96, 220, at + "mlp.gate_up");
    add(at + "mlp.down_proj", "vision", block, "down_proj", 220, 96);
  }
  void add_layer(int64_t layer) {
    const std::string at = fmt::format("model.layers.{}.", layer);
    add(at + "self_attn.q_proj", "language", layer, "q_proj", 128, 128, at + "self_attn.qkv");
    for (const std::string role : {"k_proj", "v_proj"})
      add(at + "self_attn." + role, "language", layer, role, 128, 64, at + "self_attn.qkv");
    add(at + "self_attn.o_proj", "language", layer, "o_proj", 128, 128);
    for (const std::string role : {"gate_proj", "up_proj"})
      add(at + "mlp." + role, "language", layer, role, 128, 352, at + "mlp.gate_up");
    add(at + "mlp.down_proj", "language", layer, "down_proj", 352, 128);
  }

  std::vector<scores::OpRecord> ops_;
};

inline Model tiny_model() { return {"qwen2_5_vl", true, TinyOps::list()}; }

inline const scores::OpRecord& op_of(const Model& model, const std::string& name) {
  for (const scores::OpRecord& op : model.ops)
    if (op.name == name) return op;
  fail("no op {}", name);
}

// Float, but for the ops that the patterns match, later ones overriding.
using Rules = std::vector<std::pair<std::string, std::string>>;
inline std::vector<const quant::Format*> formats_by(const Model& model, const Rules& rules) {
  std::vector<std::string> names;
  for (const scores::OpRecord& op : model.ops) names.push_back(op.name);
  std::vector<const quant::Format*> formats(names.size());
  for (const auto& [pattern, format] : rules) {
    const std::vector<bool> matching = scores::matching_ops(pattern, names);
    for (size_t op = 0; op < names.size(); ++op)
      if (matching[op]) formats[op] = format == "float" ? nullptr : &quant::find_format(format);
  }
  return formats;
}

}  // namespace qsweep::stacks
