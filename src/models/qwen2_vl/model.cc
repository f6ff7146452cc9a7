// Qwen2-VL (Wang et al. 2024): a vision transformer over whole images, a merger of 2 x 2 patches, and Qwen2
// with positions in time, height and width.
#include "models/assembly.h"
#include "models/config_keys.h"
#include "models/config_values.h"
#include "models/decoder_layers.h"
#include "models/qwen_vl.h"

namespace qsweep::models {
namespace {

using graph::Tower;
using io::KnownKey;
using ops::activation::Kind;
using enum io::KeyUse;

constexpr double kNormEps = 1e-6;  // of every norm in the tower; not in the config

constexpr KnownKey kTextKeys[] = {
    {"attention_bias", only, "true"}, {"use_mrope", only, "true"}, {"use_sliding_window", only, "false"},
    {"max_window_layers", ignored},   {"sliding_window", ignored},
};
constexpr TextRules kTextRules{.keys = kTextKeys, .mrope = Mrope::blocks};

constexpr KnownKey kVisionKeys[] = {
    {"depth"},
    {"embed_dim"},
    {"hidden_act"},
    {"hidden_size"},
    {"in_channels"},
    {"in_chans"},
    {"mlp_ratio"},
    {"model_type"},
    {"num_heads"},
    {"patch_size"},
    {"rope_parameters"},
    {"spatial_merge_size"},
    {"temporal_patch_size"},
    {"spatial_patch_size", ignored},  // patch_size is what counts
};

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;  // "embed_dim": of the tower
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
};

// Defaults: of transformers' Qwen2VLVisionConfig (models/qwen2_vl/configuration_qwen2_vl.py).
VisionConfig read_vision(const io::ObjectReader& r, const TextConfig& text) {
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"qwen2_vl", "qwen2_vl_vision"});
  require_name(r, "hidden_act", {"quick_gelu"});
  VisionConfig c;
  c.depth = size_or(r, "depth", 32, kMaxLayers);
  c.hidden_size = size_or(r, "embed_dim", 1280);
  c.intermediate_size = c.hidden_size * size_or(r, "mlp_ratio", 4, 64);
  c.n_heads = size_or(r, "num_heads", 16);
  if (c.hidden_size % c.n_heads != 0)
    fail("{}: \"embed_dim\" {} is not a multiple of \"num_heads\" {}", r.path(), c.hidden_size, c.n_heads);
  c.head_dim = qwen_vl::read_head_dim(r, c.hidden_size, c.n_heads);
  qwen_vl::check_features(r, "hidden_size", size_or(r, "hidden_size", 3584), text);
  return c;
}

void patch_embedding(Assembly& model, const VisionConfig& vision, const ImageConfig& c) {
  Scope s = model.stage("visual.patch_embed", Tower::vision);
  auto x = s.table(kPixelValues, kPatches, c.patch_dim());
  s.output("patches", s.patch_linear(x, "proj", c.kernel(vision.hidden_size)));
  model.add(std::move(s));
}

void block(Assembly& model, const VisionConfig& c, int64_t i) {
  Scope s = model.stage("visual.blocks." + std::to_string(i), Tower::vision, i);
  auto x = s.input("patches", kPatches, c.hidden_size);  // [patches, hidden]
  auto h = s.layer_norm(x, "norm1", kNormEps);
  x = s.add(x, qwen_vl::attention(s, h, both_ways(c.n_heads, c.head_dim), qwen_vl::kImages));
  h = s.layer_norm(x, "norm2", kNormEps);
  h = s.activation(s.linear(h, "mlp.fc1", c.intermediate_size, Bias::added), Kind::quick_gelu);
  s.output("patches", s.add(x, s.linear(h, "mlp.fc2", c.hidden_size, Bias::added)));
  model.add(std::move(s));
}

// Neighbouring patches become one unit, a token of the language model.
void merger(Assembly& model, const VisionConfig& c, int64_t merge, int64_t features) {
  Scope s = model.stage("visual.merger", Tower::projector);
  auto x = s.input("patches", kPatches, c.hidden_size);
  auto h = s.merge(s.layer_norm(x, "ln_q", kNormEps), merge * merge, kUnits);  // [units, 4 * hidden]
  h = s.activation(s.linear(h, "mlp.0", s.cols(h), Bias::added), Kind::gelu);
  s.output(kImageFeatures, s.linear(h, "mlp.2", features, Bias::added));
  model.add(std::move(s));
}

}  // namespace

Model load_qwen2_vl(Source source) {
  const std::string path = source.config_path();
  const auto c = qwen_vl::read_config(source.config, path, kTextRules, {"qwen2_vl", "qwen2_vl_text"}, 14);
  const auto vision = read_vision(io::ObjectReader(source.config, path).object("vision_config"), c.text);
  Assembly model(std::move(source), "qwen2_vl", qwen_vl::kNames);
  patch_embedding(model, vision, c.images);
  for (int64_t i = 0; i < vision.depth; ++i) block(model, vision, i);
  merger(model, vision, c.images.merge(), c.text.hidden_size);
  model.add_decoder(c.text,
                    {.embed = image_features(c.text), .layer = [&](Scope& s, int64_t layer, Scope::Value x) {
                       return qwen2_layer(s, c.text, layer, x);
                     }});
  auto inputs = std::make_unique<qwen_vl::Inputs>(model.folder(), c, vision.head_dim, model.options());
  return std::move(model).model(std::move(inputs));
}

}  // namespace qsweep::models
