// Gemma 3 (Gemma team 2025) with images: SigLIP (Zhai et al. 2023) over images of one size, of whose patches
// pools of neighbours become tokens that see each other, and Gemma 3's decoder.
#include <cmath>

#include "models/config_keys.h"
#include "models/config_values.h"
#include "models/gemma3.h"
#include "models/image_inputs.h"

namespace qsweep::models {
namespace {

using graph::Tower;
using io::KnownKey;
using ops::activation::Kind;
using enum io::KeyUse;

// Names under which the stages find them.
constexpr char kImages[] = "images";              // segments of patches: whole images
constexpr char kPositions[] = "patch_positions";  // table [patches, hidden]
constexpr char kPoolOrder[] = "pool_order";       // patches from patches: pool by pool
constexpr char kImageSpans[] = "image_spans";     // of tokens: those of one image

constexpr NameRow kNames[] = {
    {"vision_tower.", "vision_tower.vision_model."},
    {"vision_tower.", "model.vision_tower.vision_model."},
    {"vision_tower.", "model.vision_tower."},
    {"multi_modal_projector.", "multi_modal_projector."},
    {"multi_modal_projector.", "model.multi_modal_projector."},
    {"model.", "language_model.model."},
    {"model.", "model.language_model."},
    {"lm_head.", "language_model.lm_head."},
    {"lm_head.", "lm_head."},
};

constexpr KnownKey kTopKeys[] = {
    {"boi_token_index"},   {"eoi_token_index"},     {"image_token_id"},
    {"image_token_index"}, {"mm_tokens_per_image"}, {"model_type"},
    {"text_config"},       {"tie_word_embeddings"}, {"vision_config"},
};

// What stands around every image; of some files config.json says where.
constexpr std::pair<const char*, std::string_view> kFrameTokens[] = {{"boi_token_index", "<start_of_image>"},
                                                                     {"eoi_token_index", "<end_of_image>"}};

constexpr KnownKey kVisionKeys[] = {
    {"hidden_act"},
    {"hidden_size"},
    {"image_size"},
    {"intermediate_size"},
    {"layer_norm_eps"},
    {"model_type"},
    {"num_attention_heads"},
    {"num_hidden_layers"},
    {"patch_size"},
    {"num_channels", only, "3"},
    {"vision_use_head", only, "false"},
};

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t side = 0;  // patches, of an image
  int64_t pool = 0;  // patches per side of a token
  double norm_eps = 0;
};

struct Config {
  TextConfig text;
  VisionConfig vision;
  ImageConfig images;
};

// Defaults: of transformers' SiglipVisionConfig (models/siglip/configuration_siglip.py).
VisionConfig read_vision(const io::ObjectReader& r, int64_t tokens_per_image) {
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"siglip_vision_model"});
  require_name(r, "hidden_act", {"gelu_pytorch_tanh"});
  VisionConfig c;
  c.depth = size_or(r, "num_hidden_layers", 12, kMaxLayers);
  c.hidden_size = size_or(r, "hidden_size", 768);
  c.intermediate_size = size_or(r, "intermediate_size", 3072);
  c.n_heads = size_or(r, "num_attention_heads", 12);
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_attention_heads");
  c.norm_eps = r.has("layer_norm_eps") ? read_epsilon(r, "layer_norm_eps") : 1e-6;
  c.side = divided(r, size_or(r, "image_size", 224), "image_size", size_or(r, "patch_size", 16, 1024),
                   "patch_size");
  const auto tokens_per_side = std::llround(std::sqrt(static_cast<double>(tokens_per_image)));
  if (tokens_per_side * tokens_per_side != tokens_per_image || c.side % tokens_per_side != 0)
    fail("{}: {} patches per side do not give {} tokens per image (\"mm_tokens_per_image\")", r.path(),
         c.side, tokens_per_image);
  c.pool = c.side / tokens_per_side;
  return c;
}

Config read_config(const io::Json& json, const std::string& where) {
  const io::ObjectReader top(json, where), vision = top.object("vision_config");
  io::check_keys(top, {pretrained_config_keys(), kTopKeys});
  const int64_t tokens = size_or(top, "mm_tokens_per_image", 256);
  Config c;
  c.text = read_gemma3_text(top.object("text_config"));
  if (top.has("tie_word_embeddings")) c.text.tie_word_embeddings = top.boolean("tie_word_embeddings");
  c.vision = read_vision(vision, tokens);
  c.images.read_image_token(top, "<image_soft_token>", c.text.vocab_size);
  for (const auto& [key, text] : kFrameTokens)
    if (top.has(key)) c.images.read_token(top, key, text, c.text.vocab_size);
  c.images.geometry = {.processor = "Gemma3ImageProcessor",
                       .patch_size = size_or(vision, "patch_size", 16, 1024),
                       .image_size = size_or(vision, "image_size", 224),
                       .tokens_per_image = tokens};
  return c;
}

void patch_embedding(Assembly& model, const Config& c, const TensorView& positions) {
  Scope s = model.stage("vision_tower.embeddings", Tower::vision);
  auto x = s.table(kPixelValues, kPatches, c.images.patch_dim());
  const int64_t side = c.images.geometry.patch_size;
  x = s.patch_linear(x, "patch_embedding", {c.vision.hidden_size, 3, side, side}, Bias::added);
  s.reads(positions);
  s.output("patches", s.add(x, s.table(kPositions, kPatches, c.vision.hidden_size)));
  model.add(std::move(s));
}

void block(Assembly& model, const VisionConfig& c, int64_t i) {
  Scope s = model.stage("vision_tower.encoder.layers." + std::to_string(i), Tower::vision, i);
  auto x = s.input("patches", kPatches, c.hidden_size);  // [patches, hidden]
  auto h = s.layer_norm(x, "layer_norm1", c.norm_eps);
  auto q = s.linear(h, "self_attn.q_proj", c.hidden_size, Bias::added);
  auto k = s.linear(h, "self_attn.k_proj", c.hidden_size, Bias::added);
  auto v = s.linear(h, "self_attn.v_proj", c.hidden_size, Bias::added);
  h = s.attention(q, k, v, both_ways(c.n_heads, c.head_dim), kImages);
  x = s.add(x, s.linear(h, "self_attn.out_proj", c.hidden_size, Bias::added));
  h = s.layer_norm(x, "layer_norm2", c.norm_eps);
  h = s.activation(s.linear(h, "mlp.fc1", c.intermediate_size, Bias::added), Kind::gelu_tanh);
  s.output("patches", s.add(x, s.linear(h, "mlp.fc2", c.hidden_size, Bias::added)));
  model.add(std::move(s));
}

void final_norm(Assembly& model, const VisionConfig& c) {
  Scope s = model.stage("vision_tower.post_layernorm", Tower::vision);
  s.output("patches", s.layer_norm(s.input("patches", kPatches, c.hidden_size), "", c.norm_eps));
  model.add(std::move(s));
}

// The mean of every pool of patches, as wide as the language model.
void projector(Assembly& model, const Config& c) {
  Scope s = model.stage("multi_modal_projector", Tower::projector);
  auto x = s.gather(s.input("patches", kPatches, c.vision.hidden_size), kPoolOrder);
  auto h = s.mean(x, c.vision.pool * c.vision.pool, kUnits);  // [units, hidden]
  h = s.rms_norm(h, "mm_soft_emb_norm", c.vision.norm_eps, NormWeight::one_plus);
  s.output(kImageFeatures, s.transposed_linear(h, "mm_input_projection", c.text.hidden_size));
  model.add(std::move(s));
}

class Inputs : public ImageInputs {
 public:
  // positions: [patches of an image, hidden].
  Inputs(const Assembly& model, const Config& config, const TensorView& positions)
      : ImageInputs(model.folder(), config.text, config.images, model.options(), "gemma"),
        config_(config.vision),
        positions_(positions) {}

 protected:
  text::ImageText image_text(const Grid& grid) const override {
    text::ImageText image = ImageInputs::image_text(grid);
    image.text = "\n\n<start_of_image>" + image.text + "<end_of_image>\n\n";
    return image;
  }

  void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const override {
    const int64_t patches = config_.side * config_.side;
    graph::RowIndex order{.source = kPatches, .rows = {}};
    Tensor table(DType::f32, {patches * std::ssize(grids), config_.hidden_size});
    for (int64_t image = 0; image < std::ssize(grids); ++image) {
      inputs.segments[kImages].push_back(static_cast<int32_t>(patches));
      for (const auto& [y, x] : patch_places(grids.subspan(static_cast<size_t>(image), 1), config_.pool))
        order.rows.push_back(static_cast<int32_t>(image * patches + y * config_.side + x));
      if (pixels != Pixels::shapes)
        kernels::to_f32(Threads{1}, positions_, table.matrix<float>().rows_at(image * patches, patches));
    }
    inputs.segments.try_emplace(kImages);
    inputs.indices[kPoolOrder] = std::move(order);
    inputs.tables[kPositions] = std::move(table);
    inputs.spans[kImageSpans] = image_spans(inputs.token_ids);
  }

 private:
  VisionConfig config_;
  TensorView positions_;
};

}  // namespace

Model load_gemma3(Source source) {
  const Config c = read_config(source.config, source.config_path());
  Assembly model(std::move(source), "gemma3", kNames);
  const TensorView positions = model.weights().get("vision_tower.embeddings.position_embedding.weight",
                                                   {c.vision.side * c.vision.side, c.vision.hidden_size});
  patch_embedding(model, c, positions);
  for (int64_t i = 0; i < c.vision.depth; ++i) block(model, c.vision, i);
  final_norm(model, c.vision);
  projector(model, c);
  Decoder decoder = gemma3_decoder(c.text, kImageSpans);
  decoder.embed = [scaled = std::move(decoder.embed), features = image_features(c.text)](
                      Scope& s, Scope::Value embedded) { return features(s, scaled(s, embedded)); };
  model.add_decoder(c.text, decoder);
  auto inputs = std::make_unique<Inputs>(model, c, positions);
  return std::move(model).model(std::move(inputs));
}

}  // namespace qsweep::models
