#include "models/qwen_vl.h"

#include <algorithm>
#include <numeric>

#include "models/config_keys.h"
#include "models/config_values.h"

namespace qsweep::models::qwen_vl {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr KnownKey kTopKeys[] = {
    {"image_token_id"},           {"model_type"},    {"text_config"},           {"tie_word_embeddings"},
    {"video_token_id"},           {"vision_config"}, {"vision_start_token_id"}, {"vision_end_token_id"},
    {"vision_token_id", ignored},  // of a frame that stands for nothing; no prompt has it
};

// What text_config may say again.
constexpr KnownKey kRepeatedKeys[] = {
    {"image_token_id"},      {"video_token_id"},           {"vision_start_token_id"},
    {"vision_end_token_id"}, {"vision_token_id", ignored},
};

// What stands around every image; of some files config.json says where.
constexpr std::pair<const char*, std::string_view> kFrameTokens[] = {
    {"vision_start_token_id", "<|vision_start|>"}, {"vision_end_token_id", "<|vision_end|>"}};

// What vision_config may say of positions: what is implemented.
constexpr double kVisionRopeTheta = 10000;
constexpr KnownKey kVisionRopeKeys[] = {
    {"partial_rotary_factor", only, "1"},
    {"rope_theta", only, "10000"},
    {"rope_type", only, "\"axial\""},
    {"rope_type", only, "\"default\""},
};

void check_same(const ObjectReader& top, const ObjectReader& text, const std::string& key) {
  if (top.at(key) != text.at(key))
    fail("{}: \"{}\": expected {} as in text_config, found {}", top.path(), key, io::shortened(text.at(key)),
         io::shortened(top.at(key)));
}

// text_config counts; what older files say beside it may not be something else.
void check_repeated(const ObjectReader& top, const ObjectReader& text, const TextRules& rules) {
  for (const KnownKey& key : text_config_keys(rules)) {
    const std::string name(key.name);
    if (key.use == ignored || !top.has(name) || name == "model_type" || name == "tie_word_embeddings")
      continue;
    if (!text.has(name)) fail("{}: \"{}\": expected it inside text_config", top.path(), name);
    check_same(top, text, name);
  }
  for (const KnownKey& key : kRepeatedKeys) {
    const std::string name(key.name);
    if (key.use != ignored && top.has(name) && text.has(name)) check_same(top, text, name);
  }
}

TextConfig read_text_part(const ObjectReader& top, const TextRules& rules,
                          std::initializer_list<const char*> text_types) {
  if (!top.has("text_config")) return read_text(top, rules, kTopKeys);
  io::check_keys(top, {pretrained_config_keys(), kTopKeys, text_config_keys(rules)});
  const ObjectReader text = top.object("text_config");
  require_name(text, "model_type", text_types);
  check_repeated(top, text, rules);
  TextConfig c = read_text(text, rules, kRepeatedKeys);
  if (top.has("tie_word_embeddings")) c.tie_word_embeddings = top.boolean("tie_word_embeddings");
  return c;
}

}  // namespace

Config read_config(const io::Json& json, const std::string& where, const TextRules& rules,
                   std::initializer_list<const char*> text_types, int64_t patch_size) {
  const ObjectReader top(json, where);
  Config c;
  c.text = read_text_part(top, rules, text_types);
  const int64_t vocab_size = c.text.vocab_size;
  c.images.read_image_token(top, "<|image_pad|>", vocab_size);
  c.images.video_token = c.images.read_token(top, "video_token_id", "<|video_pad|>", vocab_size);
  for (const auto& [key, text] : kFrameTokens)
    if (top.has(key)) c.images.read_token(top, key, text, vocab_size);
  const ObjectReader vision = top.object("vision_config");
  for (const char* key : {"in_channels", "in_chans"})  // two names of one number
    if (vision.has(key)) vision.integer_in(key, 3, 3);
  if (vision.has("rope_parameters")) io::check_keys(vision.object("rope_parameters"), {kVisionRopeKeys});
  c.images.geometry = {.processor = "Qwen2VLImageProcessor",
                       .patch_size = size_or(vision, "patch_size", patch_size, 1024),
                       .temporal_patch_size = size_or(vision, "temporal_patch_size", 2, 16),
                       .merge_size = size_or(vision, "spatial_merge_size", 2, 16)};
  return c;
}

int64_t read_head_dim(const ObjectReader& vision, int64_t hidden_size, int64_t n_heads) {
  const int64_t head_dim = divided(vision, hidden_size, "hidden_size", n_heads, "num_heads");
  if (head_dim % 4 != 0)
    fail("{}: head size {} is not a multiple of 4, as its two-dimensional rotary positions need",
         vision.path(), head_dim);
  return head_dim;
}

void check_features(const ObjectReader& vision, const char* key, int64_t width, const TextConfig& text) {
  if (width != text.hidden_size)
    fail("{}: \"{}\": expected the language model's hidden_size {}, found {}", vision.path(), key,
         text.hidden_size, width);
}

Scope::Value attention(Scope& s, Scope::Value h, const ops::attention::Spec& heads,
                       const std::string& segments) {
  const int64_t hidden_size = heads.n_heads * heads.head_dim;
  auto qkv = s.linear(h, "attn.qkv", 3 * hidden_size, Bias::added);
  auto q = s.rope(s.columns(qkv, 0, hidden_size), kVisionCosSin);
  auto k = s.rope(s.columns(qkv, hidden_size, hidden_size), kVisionCosSin);
  auto v = s.columns(qkv, 2 * hidden_size, hidden_size);
  return s.linear(s.attention(q, k, v, heads, segments), "attn.proj", hidden_size, Bias::added);
}

Inputs::Inputs(std::string folder, const Config& config, int64_t vision_head_dim, LoadOptions options,
               std::string_view dialect)
    : ImageInputs(std::move(folder), config.text, config.images, std::move(options), dialect),
      images_(config.images),
      vision_head_dim_(vision_head_dim) {}

Positions Inputs::positions(const Sample& sample) const {
  return mrope_positions(sample.token_ids, grids_of(sample), images_.image_token, images_.merge());
}

Tensor Inputs::vision_cos_sin(std::span<const Grid> grids, std::span<const int32_t> order) const {
  const std::vector<float> frequencies = inverse_frequencies(kVisionRopeTheta, vision_head_dim_ / 2);
  const std::vector<std::array<int64_t, 2>> places = patch_places(grids, images_.merge());
  Tensor table(DType::f32, {std::ssize(order), vision_head_dim_});
  const auto rows = table.matrix<float>();
  std::vector<float> angles;
  for (int64_t r = 0; r < rows.rows; ++r) {
    angles.clear();
    for (const int64_t place : places[static_cast<size_t>(order[static_cast<size_t>(r)])])
      for (const float frequency : frequencies) angles.push_back(static_cast<float>(place) * frequency);
    write_cos_sin(angles, {rows.row(r), static_cast<size_t>(vision_head_dim_)});
  }
  return table;
}

void Inputs::add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const {
  auto& images = inputs.segments[kImages];
  int64_t patches = 0;
  for (const Grid& g : grids) {
    images.insert(images.end(), static_cast<size_t>(g.t), static_cast<int32_t>(g.h * g.w));
    patches += g.patches();
  }
  std::vector<int32_t> order(static_cast<size_t>(patches));
  std::iota(order.begin(), order.end(), 0);
  inputs.tables[kVisionCosSin] = pixels == Pixels::shapes ? Tensor(DType::f32, {patches, vision_head_dim_})
                                                          : vision_cos_sin(grids, order);
}

}  // namespace qsweep::models::qwen_vl
