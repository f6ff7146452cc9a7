#include "models/qwen2_5_vl/text.h"

#include <cmath>

#include "models/qwen2_5_vl/inputs.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using graph::Builder;
using graph::LinearOp;
using graph::Rows;

struct LanguageModel {
  const TextConfig& c;
  const Weights& weights;

  TensorView embedding_table() const {
    return weights.get("model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
  }

  graph::Stage embedding(std::vector<LinearOp>& ops) const {
    Builder b("model.embed_tokens", ops);
    auto features = b.input("image_features", Rows::units, c.hidden_size);
    b.output("hidden", b.scatter(b.embedding(embedding_table()), features, kImageRows));
    return b.build();
  }

  graph::Stage layer(int64_t i, std::vector<LinearOp>& ops) const {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    const int64_t q_size = c.n_heads * c.head_dim, kv_size = c.n_kv_heads * c.head_dim;
    const auto linear = [&](const std::string& part, const std::string& role, int64_t in, int64_t out,
                            bool bias, const std::string& group = "") {
      LinearOp op = weights.linear(prefix + part + role, in, out, bias);
      op.block = i;
      op.role = role;
      if (!group.empty()) op.fusion_group = prefix + part + group;
      return op;
    };
    const auto norm = [&](const std::string& part) {
      return weights.get(prefix + part + ".weight", {c.hidden_size});
    };
    const auto attn = [&](const std::string& role, int64_t out) {
      return linear("self_attn.", role, c.hidden_size, out, true, "qkv");
    };
    const auto gated = [&](const std::string& role) {
      return linear("mlp.", role, c.hidden_size, c.intermediate_size, false, "gate_up");
    };
    const ops::attention::Spec heads{
        .n_heads = c.n_heads,
        .n_kv_heads = c.n_kv_heads,
        .head_dim = c.head_dim,
        .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim))),
        .causal = true};

    Builder b("model.layers." + std::to_string(i), ops);
    auto x = b.input("hidden", Rows::tokens, c.hidden_size);  // [tokens, hidden]
    auto h = b.rms_norm(x, norm("input_layernorm"), c.rms_norm_eps);
    auto q = b.rope(b.linear(h, attn("q_proj", q_size)), kTextCosSin);   // [tokens, heads * head_dim]
    auto k = b.rope(b.linear(h, attn("k_proj", kv_size)), kTextCosSin);  // [tokens, kv heads * head_dim]
    auto v = b.linear(h, attn("v_proj", kv_size));
    h = b.attention(q, k, v, heads, kSequence);
    x = b.add(x, b.linear(h, linear("self_attn.", "o_proj", q_size, c.hidden_size, false)));
    h = b.rms_norm(x, norm("post_attention_layernorm"), c.rms_norm_eps);
    auto gate = b.linear(h, gated("gate_proj"));
    auto up = b.linear(h, gated("up_proj"));
    h = b.gated(gate, up, ops::activation::Kind::silu);  // [tokens, intermediate]
    b.output("hidden",
             b.add(x, b.linear(h, linear("mlp.", "down_proj", c.intermediate_size, c.hidden_size, false))));
    return b.build();
  }

  graph::Stage final_norm(std::vector<LinearOp>& ops) const {
    Builder b("model.norm", ops);
    auto x = b.input("hidden", Rows::tokens, c.hidden_size);
    b.output("hidden", b.rms_norm(x, weights.get("model.norm.weight", {c.hidden_size}), c.rms_norm_eps));
    return b.build();
  }

  graph::Stage head(bool tied, std::vector<LinearOp>& ops) const {
    LinearOp lm_head;
    lm_head.name = "lm_head";
    lm_head.role = "lm_head";
    lm_head.weight = tied ? embedding_table() : weights.get("lm_head.weight", {c.vocab_size, c.hidden_size});
    Builder b("lm_head", ops);
    b.output("logits", b.linear(b.input("hidden", Rows::tokens, c.hidden_size), std::move(lm_head)));
    return b.build();
  }
};

}  // namespace

void build_text(const TextConfig& config, bool tied_embeddings, const Weights& weights,
                std::vector<graph::Stage>& stages, std::vector<LinearOp>& ops) {
  const LanguageModel model{config, weights};
  stages.push_back(model.embedding(ops));
  for (int64_t i = 0; i < config.n_layers; ++i) stages.push_back(model.layer(i, ops));
  stages.push_back(model.final_norm(ops));
  stages.push_back(model.head(tied_embeddings, ops));
}

}  // namespace qsweep::models::qwen2_5_vl
