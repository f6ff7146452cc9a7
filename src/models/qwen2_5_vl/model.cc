// Qwen2.5-VL (Bai et al. 2025): a vision transformer with window attention, a merger of 2 x 2 patches, and
// Qwen2.5 with positions in time, height and width.
#include <algorithm>

#include "models/assembly.h"
#include "models/decoder_layers.h"
#include "models/qwen2_5_vl/inputs.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using graph::Tower;
using ops::activation::Kind;

constexpr double kNormEps = 1e-6;  // of every norm in the tower; not in the config

// The convolution's kernel covers each patch exactly once, so it is a linear map of the flattened patch.
// From here on patches stand window by window.
void patch_embedding(Assembly& model, const Config& config) {
  const ImageConfig& c = config.images;
  Scope s = model.stage("visual.patch_embed", Tower::vision);
  auto x = s.table(kPixelValues, kPatches, c.patch_dim());
  x = s.patch_linear(x, "proj", c.kernel(config.vision.hidden_size));
  s.output("patches", s.gather(x, kWindowOrder));  // [patches, hidden]
  model.add(std::move(s));
}

void block(Assembly& model, const VisionConfig& c, int64_t i) {
  const bool full = std::ranges::count(c.full_attention_blocks, i) > 0;
  Scope s = model.stage("visual.blocks." + std::to_string(i), Tower::vision, i);
  auto x = s.input("patches", kPatches, c.hidden_size);  // [patches, hidden]
  auto h = s.rms_norm(x, "norm1", kNormEps);
  x = s.add(x,
            qwen_vl::attention(s, h, both_ways(c.n_heads, c.head_dim), full ? qwen_vl::kImages : kWindows));
  h = s.rms_norm(x, "norm2", kNormEps);
  auto gate = s.linear(h, "mlp.gate_proj", c.intermediate_size, Bias::added);
  auto up = s.linear(h, "mlp.up_proj", c.intermediate_size, Bias::added);
  h = s.gated(gate, up, Kind::silu);  // [patches, intermediate]
  s.output("patches", s.add(x, s.linear(h, "mlp.down_proj", c.hidden_size, Bias::added)));
  model.add(std::move(s));
}

// Neighbouring patches become one unit; then units return from window order to the images' own.
void merger(Assembly& model, const Config& config) {
  const int64_t factor = config.images.merge() * config.images.merge(),
                merged = config.vision.hidden_size * factor;
  Scope s = model.stage("visual.merger", Tower::projector);
  auto x = s.input("patches", kPatches, config.vision.hidden_size);
  auto h = s.merge(s.rms_norm(x, "ln_q", kNormEps), factor, kUnits);  // [units, 4 * hidden]
  h = s.activation(s.linear(h, "mlp.0", merged, Bias::added), Kind::gelu);
  h = s.linear(h, "mlp.2", config.text.hidden_size, Bias::added);
  s.output(kImageFeatures, s.gather(h, kWindowRestore));
  model.add(std::move(s));
}

}  // namespace
}  // namespace qsweep::models::qwen2_5_vl

namespace qsweep::models {

Model load_qwen2_5_vl(Source source) {
  namespace family = qwen2_5_vl;
  const family::Config c = family::read_config(source.config, source.config_path());
  Assembly model(std::move(source), "qwen2_5_vl", qwen_vl::kNames);
  family::patch_embedding(model, c);
  for (int64_t i = 0; i < c.vision.depth; ++i) family::block(model, c.vision, i);
  family::merger(model, c);
  model.add_decoder(c.text,
                    {.embed = image_features(c.text), .layer = [&](Scope& s, int64_t layer, Scope::Value x) {
                       return qwen2_layer(s, c.text, layer, x);
                     }});
  auto inputs = std::make_unique<family::Inputs>(model.folder(), c, model.options());
  return std::move(model).model(std::move(inputs));
}

}  // namespace qsweep::models
