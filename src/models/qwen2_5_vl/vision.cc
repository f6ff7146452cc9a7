#include "models/qwen2_5_vl/vision.h"

#include <algorithm>
#include <cmath>

#include "models/qwen2_5_vl/inputs.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using graph::Builder;
using graph::LinearOp;
using graph::Rows;
using graph::Tower;

constexpr double kNormEps = 1e-6;  // of every norm in the tower; not in the config

struct VisionTower {
  const VisionConfig& c;
  const Weights& weights;

  LinearOp op(const std::string& name, Tower tower, std::optional<int64_t> block, const std::string& role,
              int64_t in, int64_t out, bool bias = true) const {
    LinearOp linear = weights.linear(name, in, out, bias);
    linear.tower = tower;
    linear.block = block;
    linear.role = role;
    return linear;
  }

  // The convolution's kernel covers each patch exactly once, so it is a linear map of the flattened patch.
  // From here on patches stand window by window.
  graph::Stage patch_embedding(std::vector<LinearOp>& ops) const {
    Builder b("visual.patch_embed", ops);
    LinearOp proj;
    proj.name = "visual.patch_embed.proj";
    proj.tower = Tower::vision;
    proj.role = "proj";
    proj.weight = weights.get(proj.name + ".weight", {c.hidden_size, c.in_channels, c.temporal_patch_size,
                                                      c.patch_size, c.patch_size});
    auto x =
        b.linear(b.table(kPixelValues, Rows::patches, c.patch_dim()), std::move(proj));  // [patches, hidden]
    b.output("patches", b.gather(x, kWindowOrder));
    return b.build();
  }

  graph::Stage block(int64_t i, std::vector<LinearOp>& ops) const {
    const std::string prefix = "visual.blocks." + std::to_string(i) + ".";
    const auto linear = [&](const std::string& part, const std::string& role, int64_t in, int64_t out) {
      return op(prefix + part + role, Tower::vision, i, role, in, out);
    };
    const auto norm = [&](const std::string& part) {
      return weights.get(prefix + part + ".weight", {c.hidden_size});
    };
    const auto gated = [&](const std::string& role) {
      LinearOp half = linear("mlp.", role, c.hidden_size, c.intermediate_size);
      half.fusion_group = prefix + "mlp.gate_up";
      return half;
    };
    const bool full = std::count(c.full_attention_blocks.begin(), c.full_attention_blocks.end(), i) > 0;
    const ops::attention::Spec heads{
        .n_heads = c.n_heads,
        .n_kv_heads = c.n_heads,
        .head_dim = c.head_dim,
        .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim)))};

    Builder b("visual.blocks." + std::to_string(i), ops);
    auto x = b.input("patches", Rows::patches, c.hidden_size);  // [patches, hidden]
    auto h = b.rms_norm(x, norm("norm1"), kNormEps);
    auto qkv =
        b.linear(h, linear("attn.", "qkv", c.hidden_size, 3 * c.hidden_size));  // [patches, 3 * hidden]
    auto q = b.rope(b.columns(qkv, 0, c.hidden_size), kVisionCosSin);
    auto k = b.rope(b.columns(qkv, c.hidden_size, c.hidden_size), kVisionCosSin);
    auto v = b.columns(qkv, 2 * c.hidden_size, c.hidden_size);
    h = b.attention(q, k, v, heads, full ? kImages : kWindows);
    x = b.add(x, b.linear(h, linear("attn.", "proj", c.hidden_size, c.hidden_size)));
    h = b.rms_norm(x, norm("norm2"), kNormEps);
    auto gate = b.linear(h, gated("gate_proj"));
    auto up = b.linear(h, gated("up_proj"));
    h = b.gated(gate, up, ops::activation::Kind::silu);  // [patches, intermediate]
    b.output("patches",
             b.add(x, b.linear(h, linear("mlp.", "down_proj", c.intermediate_size, c.hidden_size))));
    return b.build();
  }

  // 2 x 2 neighbouring patches become one unit; then units return from window order to the images' own.
  graph::Stage merger(std::vector<LinearOp>& ops) const {
    const int64_t merged = c.hidden_size * c.merge_unit();
    const auto linear = [&](const std::string& role, int64_t out) {
      return op("visual.merger." + role, Tower::projector, std::nullopt, role, merged, out);
    };
    Builder b("visual.merger", ops);
    auto x = b.input("patches", Rows::patches, c.hidden_size);
    auto h = b.rms_norm(x, weights.get("visual.merger.ln_q.weight", {c.hidden_size}), kNormEps);
    h = b.merge(h, c.merge_unit(), Rows::units);  // [units, 4 * hidden]
    h = b.activation(b.linear(h, linear("mlp.0", merged)), ops::activation::Kind::gelu);
    h = b.linear(h, linear("mlp.2", c.out_hidden_size));
    b.output("image_features", b.gather(h, kWindowRestore));
    return b.build();
  }
};

}  // namespace

void build_vision(const VisionConfig& config, const Weights& weights, std::vector<graph::Stage>& stages,
                  std::vector<LinearOp>& ops) {
  const VisionTower tower{config, weights};
  stages.push_back(tower.patch_embedding(ops));
  for (int64_t i = 0; i < config.depth; ++i) stages.push_back(tower.block(i, ops));
  stages.push_back(tower.merger(ops));
}

}  // namespace qsweep::models::qwen2_5_vl
