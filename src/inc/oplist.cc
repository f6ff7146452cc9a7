#include "inc/oplist.h"

#include <algorithm>

#include "scores/op_names.h"

namespace qsweep::inc {
namespace {

constexpr char kFamily[] = "qwen2_5_vl";
constexpr char kPatchEmbedding[] = "visual.patch_embed.proj";
constexpr char kTokenEmbedding[] = "model.embed_tokens";

// INC quantizes the largest modules that torch.fx can trace. An MLP, the merger and the patch embedding are
// traced whole, their ops keep their names. Attention and the model itself cannot be traced: what stands
// directly in them is traced alone, and a lone op is wrapped in a QuantWrapper, whose member is "module".
bool wrapped(const std::string& canonical) {
  return canonical.find("attn.") != std::string::npos || canonical == kTokenEmbedding ||
         canonical == "lm_head";
}

}  // namespace

std::string inc_name(const std::string& canonical) {
  return scores::module_name(canonical, kFamily) + (wrapped(canonical) ? ".module" : "");
}

std::vector<ListedOp> list_ops(const models::Model& model, const graph::Batch& batch) {
  if (model.family != kFamily)
    fail("Intel Neural Compressor's op names are known for \"{}\", found \"{}\"", kFamily, model.family);
  std::vector<bool> reached(model.ops.size());
  for (const graph::Stage& stage : model.stages)
    for (const graph::Node& node : stage.nodes)
      if (const auto* linear = std::get_if<graph::Linear>(&node.operation))
        reached[static_cast<size_t>(linear->op)] = batch.rows(node.rows) > 0;
  std::vector<ListedOp> list;
  bool embedding_listed = false;
  for (size_t i = 0; i < model.ops.size(); ++i) {
    const graph::LinearOp& op = model.ops[i];
    if (op.tower == graph::Tower::language && !embedding_listed) {
      list.push_back({inc_name(kTokenEmbedding), kEmbedding, true});
      embedding_listed = true;
    }
    if (op.name == kPatchEmbedding && reached[i]) continue;
    list.push_back({inc_name(op.name), static_cast<int>(i), reached[i]});
  }
  return list;
}

}  // namespace qsweep::inc
