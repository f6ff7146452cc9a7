// Mistral Small 3.1 and later (Mistral AI 2025): the tower of Pixtral (Agrawal et al. 2024) over whole images
// of any shape, a projector that merges 2 x 2 patches, and Mistral.
#include <algorithm>
#include <numeric>

#include "models/assembly.h"
#include "models/config_keys.h"
#include "models/config_values.h"
#include "models/decoder_layers.h"
#include "models/image_inputs.h"

namespace qsweep::models {
namespace {

using graph::Tower;
using io::KnownKey;
using ops::activation::Kind;
using enum io::KeyUse;

constexpr double kNormEps = 1e-5;  // of every norm in the tower; not in the config

// Names under which the stages find them.
constexpr char kVisionCosSin[] = "vision_cos_sin";  // table [patches, head_dim]
constexpr char kImages[] = "images";                // segments of patches: whole images
constexpr std::string_view kImageToken = "[IMG]";
constexpr char kUnitOrder[] = "unit_order";  // patches from patches: unit by unit

constexpr NameRow kNames[] = {
    {"vision_tower.", "vision_tower."},
    {"vision_tower.", "model.vision_tower."},
    {"multi_modal_projector.", "multi_modal_projector."},
    {"multi_modal_projector.", "model.multi_modal_projector."},
    {"model.", "language_model.model."},
    {"model.", "model.language_model."},
    {"lm_head.", "language_model.lm_head."},
    {"lm_head.", "lm_head."},
};

constexpr KnownKey kTopKeys[] = {
    {"image_token_id"},
    {"image_token_index"},
    {"model_type"},
    {"multimodal_projector_bias"},
    {"projector_hidden_act"},
    {"spatial_merge_size"},
    {"text_config"},
    {"vision_config"},
    {"tie_word_embeddings", ignored},  // of text_config, or what the checkpoint has
    {"vision_feature_layer", only, "-1"},
};

constexpr KnownKey kVisionKeys[] = {
    {"head_dim"},          {"hidden_act"},      {"hidden_size"},         {"image_size"},
    {"intermediate_size"}, {"model_type"},      {"num_attention_heads"}, {"num_hidden_layers"},
    {"patch_size"},        {"rope_parameters"}, {"rope_theta"},          {"num_channels", only, "3"},
};
constexpr KnownKey kVisionRopeKeys[] = {
    {"rope_theta"}, {"rope_type", only, "\"axial\""}, {"rope_type", only, "\"default\""}};

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  double rope_theta = 0;
};

struct Config {
  TextConfig text;
  VisionConfig vision;
  ImageConfig images;
  Bias projector_bias = Bias::none;
};

// Defaults: of transformers' PixtralVisionConfig (models/pixtral/configuration_pixtral.py).
VisionConfig read_vision(const io::ObjectReader& r) {
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"pixtral"});
  require_name(r, "hidden_act", {"silu", "swish"});
  VisionConfig c;
  c.depth = size_or(r, "num_hidden_layers", 24, kMaxLayers);
  c.hidden_size = size_or(r, "hidden_size", 1024);
  c.intermediate_size = size_or(r, "intermediate_size", 4096);
  c.n_heads = size_or(r, "num_attention_heads", 16);
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_attention_heads");
  r.require("head_dim", c.head_dim);
  if (c.head_dim % 4 != 0)
    fail("{}: head size {} is not a multiple of 4, as its two-dimensional rotary positions need", r.path(),
         c.head_dim);
  const bool newer = r.has("rope_parameters");
  if (newer) io::check_keys(r.object("rope_parameters"), {kVisionRopeKeys});
  c.rope_theta = newer                 ? read_theta(r.object("rope_parameters"))
                 : r.has("rope_theta") ? read_theta(r)
                                       : 10000;
  return c;
}

Config read_config(const io::Json& json, const std::string& where) {
  const io::ObjectReader top(json, where), vision = top.object("vision_config");
  io::check_keys(top, {pretrained_config_keys(), kTopKeys});
  require_name(top, "projector_hidden_act", {"gelu"});
  Config c;
  c.text = read_mistral_text(top.object("text_config"));
  c.vision = read_vision(vision);
  c.projector_bias = top.has("multimodal_projector_bias") && top.boolean("multimodal_projector_bias")
                         ? Bias::added
                         : Bias::none;
  c.images.read_image_token(top, kImageToken, c.text.vocab_size);
  c.images.geometry = {.processor = "PixtralImageProcessor",
                       .patch_size = size_or(vision, "patch_size", 16, 1024),
                       .merge_size = size_or(top, "spatial_merge_size", 2, 16),
                       .image_size = size_or(vision, "image_size", 1024)};
  return c;
}

void patch_embedding(Assembly& model, const Config& c) {
  Scope conv = model.stage("vision_tower", Tower::vision);
  auto x = conv.table(kPixelValues, kPatches, c.images.patch_dim());
  const int64_t side = c.images.geometry.patch_size;
  x = conv.patch_linear(x, "patch_conv", {c.vision.hidden_size, 3, side, side});
  conv.output("patches", conv.rms_norm(x, "ln_pre", kNormEps));
  model.add(std::move(conv));
}

void block(Assembly& model, const VisionConfig& c, int64_t i) {
  Scope s = model.stage("vision_tower.transformer.layers." + std::to_string(i), Tower::vision, i);
  auto x = s.input("patches", kPatches, c.hidden_size);  // [patches, hidden]
  auto h = s.rms_norm(x, "attention_norm", kNormEps);
  auto q = s.rope(s.linear(h, "attention.q_proj", c.hidden_size), kVisionCosSin);
  auto k = s.rope(s.linear(h, "attention.k_proj", c.hidden_size), kVisionCosSin);
  auto v = s.linear(h, "attention.v_proj", c.hidden_size);
  h = s.attention(q, k, v, both_ways(c.n_heads, c.head_dim), kImages);
  x = s.add(x, s.linear(h, "attention.o_proj", c.hidden_size));
  h = s.rms_norm(x, "ffn_norm", kNormEps);
  auto gate = s.linear(h, "feed_forward.gate_proj", c.intermediate_size);
  auto up = s.linear(h, "feed_forward.up_proj", c.intermediate_size);
  s.output("patches",
           s.add(x, s.linear(s.gated(gate, up, Kind::silu), "feed_forward.down_proj", c.hidden_size)));
  model.add(std::move(s));
}

// The channels of a unit's patches stand channel by channel, as torch's unfold leaves them.
void projector(Assembly& model, const Config& c) {
  const int64_t hidden = c.vision.hidden_size, factor = c.images.merge() * c.images.merge();
  Scope s = model.stage("multi_modal_projector", Tower::projector);
  auto x = s.input("patches", kPatches, hidden);
  auto h = s.gather(s.rms_norm(x, "norm", c.text.norm_eps), kUnitOrder);
  h = s.merge(h, factor, kUnits, graph::MergeOrder::channels_first);  // [units, 4 * hidden]
  h = s.linear(h, "patch_merger.merging_layer", hidden);
  h = s.activation(s.linear(h, "linear_1", c.text.hidden_size, c.projector_bias), Kind::gelu);
  s.output(kImageFeatures, s.linear(h, "linear_2", c.text.hidden_size, c.projector_bias));
  model.add(std::move(s));
}

class Inputs : public ImageInputs {
 public:
  Inputs(const Assembly& model, const Config& config)
      : ImageInputs(model.folder(), config.text, config.images, model.options(), "mistral"),
        config_(config.vision),
        merge_(config.images.merge()) {}

 protected:
  // Its token once for every unit, a break behind every row of units, and an end behind the last.
  text::ImageText image_text(const Grid& grid) const override {
    text::ImageText image{.text = {}, .image_tokens = grid.patches() / (merge_ * merge_)};
    for (int64_t row = 0; row < grid.h / merge_; ++row) {
      for (int64_t unit = 0; unit < grid.w / merge_; ++unit) image.text += kImageToken;
      image.text += row + 1 < grid.h / merge_ ? "[IMG_BREAK]" : "[IMG_END]";
    }
    return image;
  }

  void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const override {
    graph::RowIndex order{.source = kPatches, .rows = {}};
    auto& images = inputs.segments[kImages];
    int64_t first = 0;
    for (const Grid& g : grids) {
      images.push_back(static_cast<int32_t>(g.patches()));
      for (const auto& [y, x] : patch_places({&g, 1}, merge_))
        order.rows.push_back(static_cast<int32_t>(first + y * g.w + x));
      first += g.patches();
    }
    inputs.indices[kUnitOrder] = std::move(order);
    inputs.tables[kVisionCosSin] =
        pixels == Pixels::shapes ? Tensor(DType::f32, {first, config_.head_dim}) : cos_sin_of(grids, first);
  }

 private:
  // Even frequencies turn by a patch's row, odd ones by its column.
  Tensor cos_sin_of(std::span<const Grid> grids, int64_t patches) const {
    const std::vector<float> frequencies = inverse_frequencies(config_.rope_theta, config_.head_dim);
    Tensor table(DType::f32, {patches, config_.head_dim});
    std::vector<float> angles;
    int64_t row = 0;
    for (const auto& place : patch_places(grids, 1)) {
      angles.clear();
      for (size_t axis = 0; axis < 2; ++axis)
        for (size_t i = axis; i < frequencies.size(); i += 2)
          angles.push_back(static_cast<float>(place[axis]) * frequencies[i]);
      write_cos_sin(angles, {table.matrix<float>().row(row++), static_cast<size_t>(config_.head_dim)});
    }
    return table;
  }

  VisionConfig config_;
  int64_t merge_;
};

}  // namespace

Model load_mistral3(Source source) {
  const Config c = read_config(source.config, source.config_path());
  Assembly model(std::move(source), "mistral3", kNames);
  patch_embedding(model, c);
  for (int64_t i = 0; i < c.vision.depth; ++i) block(model, c.vision, i);
  projector(model, c);
  model.add_decoder(c.text,
                    {.embed = image_features(c.text), .layer = [&](Scope& s, int64_t layer, Scope::Value x) {
                       return llama_layer(s, c.text, layer, x);
                     }});
  auto inputs = std::make_unique<Inputs>(model, c);
  return std::move(model).model(std::move(inputs));
}

}  // namespace qsweep::models
