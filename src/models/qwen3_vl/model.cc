// Qwen3-VL (Bai et al. 2025): a vision transformer with learned positions, of whose early blocks features are
// added to the first decoder layers (DeepStack, Meng et al. 2024), and Qwen3 with interleaved positions in
// time, height and width.
#include <algorithm>
#include <cmath>
#include <functional>

#include "models/assembly.h"
#include "models/config_keys.h"
#include "models/config_values.h"
#include "models/decoder_layers.h"
#include "models/mixture.h"
#include "models/qwen_vl.h"
#include "tensor/floats.h"

namespace qsweep::models {
namespace {

using graph::Rows;
using graph::Tower;
using io::KnownKey;
using ops::activation::Kind;
using enum io::KeyUse;

constexpr double kNormEps = 1e-6;                      // of every norm in the tower; not in the config
constexpr char kPatchPositions[] = "patch_positions";  // table [patches, hidden]

constexpr KnownKey kTextKeys[] = {{"attention_bias", only, "false"}};
constexpr TextRules kTextRules{.keys = kTextKeys, .mrope = Mrope::interleaved};

constexpr KnownKey kVisionKeys[] = {
    {"deepstack_visual_indexes"},
    {"depth"},
    {"hidden_act"},
    {"hidden_size"},
    {"in_channels"},
    {"in_chans"},
    {"intermediate_size"},
    {"model_type"},
    {"num_heads"},
    {"num_position_embeddings"},
    {"out_hidden_size"},
    {"patch_size"},
    {"rope_parameters"},
    {"spatial_merge_size"},
    {"temporal_patch_size"},
};

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t positions_per_side = 0;         // of the table of learned positions
  std::vector<int64_t> deepstack_blocks;  // the i-th one's features are added after decoder layer i
};

std::vector<int64_t> read_deepstack(const io::ObjectReader& r, int64_t depth, int64_t n_layers) {
  const bool given = r.has("deepstack_visual_indexes");
  const std::vector<int64_t> blocks =
      given ? r.integers("deepstack_visual_indexes") : std::vector<int64_t>{8, 16, 24};
  for (const int64_t block : blocks)
    if (block < 0 || block >= depth || std::ranges::count(blocks, block) > 1)
      fail("{}: \"deepstack_visual_indexes\": expected different ones of {} blocks, found {}", r.path(),
           depth, block);
  if (std::ssize(blocks) > n_layers)
    fail("{}: \"deepstack_visual_indexes\": expected at most one per decoder layer, {}, found {}", r.path(),
         n_layers, blocks.size());
  return blocks;
}

// Defaults: of transformers' Qwen3VLVisionConfig (models/qwen3_vl/configuration_qwen3_vl.py).
VisionConfig read_vision(const io::ObjectReader& r, const TextConfig& text) {
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"qwen3_vl", "qwen3_vl_vision", "qwen3_vl_moe", "qwen3_vl_moe_vision"});
  require_name(r, "hidden_act", {"gelu_pytorch_tanh"});
  VisionConfig c;
  c.depth = size_or(r, "depth", 27, kMaxLayers);
  c.hidden_size = size_or(r, "hidden_size", 1152);
  c.intermediate_size = size_or(r, "intermediate_size", 4304);
  c.n_heads = size_or(r, "num_heads", 16);
  c.head_dim = qwen_vl::read_head_dim(r, c.hidden_size, c.n_heads);
  const int64_t positions = size_or(r, "num_position_embeddings", 2304);
  c.positions_per_side = std::llround(std::sqrt(static_cast<double>(positions)));
  if (c.positions_per_side * c.positions_per_side != positions)
    fail("{}: \"num_position_embeddings\": expected a square number, found {}", r.path(), positions);
  c.deepstack_blocks = read_deepstack(r, c.depth, text.n_layers);
  qwen_vl::check_features(r, "out_hidden_size", size_or(r, "out_hidden_size", 3584), text);
  return c;
}

void patch_embedding(Assembly& model, const VisionConfig& vision, const ImageConfig& c,
                     const TensorView& positions) {
  Scope s = model.stage("visual.patch_embed", Tower::vision);
  auto x = s.table(kPixelValues, kPatches, c.patch_dim());
  x = s.patch_linear(x, "proj", c.kernel(vision.hidden_size), Bias::added);
  s.reads(positions);
  s.output("patches", s.add(x, s.table(kPatchPositions, kPatches, vision.hidden_size)));
  model.add(std::move(s));
}

void block(Assembly& model, const VisionConfig& c, int64_t i) {
  Scope s = model.stage("visual.blocks." + std::to_string(i), Tower::vision, i);
  auto x = s.input("patches", kPatches, c.hidden_size);  // [patches, hidden]
  auto h = s.layer_norm(x, "norm1", kNormEps);
  x = s.add(x, qwen_vl::attention(s, h, both_ways(c.n_heads, c.head_dim), qwen_vl::kImages));
  h = s.layer_norm(x, "norm2", kNormEps);
  h = s.activation(s.linear(h, "mlp.linear_fc1", c.intermediate_size, Bias::added), Kind::gelu_tanh);
  s.output("patches", s.add(x, s.linear(h, "mlp.linear_fc2", c.hidden_size, Bias::added)));
  model.add(std::move(s));
}

// Neighbouring patches become one unit; the norm is over patches, or over the units of DeepStack.
enum class Norm { of_patches, of_units };
void merger(Assembly& model, const std::string& stage, Norm norm, const VisionConfig& c, int64_t merge,
            int64_t features, const std::string& output) {
  Scope s = model.stage(stage, Tower::projector);
  auto h = s.input("patches", kPatches, c.hidden_size);
  if (norm == Norm::of_patches) h = s.layer_norm(h, "norm", kNormEps);
  h = s.merge(h, merge * merge, kUnits);  // [units, 4 * hidden]
  if (norm == Norm::of_units) h = s.layer_norm(h, "norm", kNormEps);
  h = s.activation(s.linear(h, "linear_fc1", s.cols(h), Bias::added), Kind::gelu);
  s.output(output, s.linear(h, "linear_fc2", features, Bias::added));
  model.add(std::move(s));
}

std::string deepstack_features(int64_t i) { return "deepstack_features." + std::to_string(i); }

// The tower in the order in which it runs.
void vision_tower(Assembly& model, const VisionConfig& c, const qwen_vl::Config& config,
                  const TensorView& positions) {
  const int64_t merge = config.images.merge(), features = config.text.hidden_size;
  patch_embedding(model, c, config.images, positions);
  for (int64_t i = 0; i < c.depth; ++i) {
    block(model, c, i);
    const int64_t at = std::ranges::find(c.deepstack_blocks, i) - c.deepstack_blocks.begin();
    if (at < std::ssize(c.deepstack_blocks))
      merger(model, "visual.deepstack_merger_list." + std::to_string(at), Norm::of_units, c, merge, features,
             deepstack_features(at));
  }
  merger(model, "visual.merger", Norm::of_patches, c, merge, features, kImageFeatures);
}

// Behind a decoder layer, where the image tokens are.
void add_features(Assembly& model, const TextConfig& c, int64_t layer) {
  Scope s = model.stage("model.deepstack." + std::to_string(layer));
  const auto x = s.input(kHidden, Rows::tokens, c.hidden_size);
  const auto features = s.input(deepstack_features(layer), kUnits, c.hidden_size);
  s.output(kHidden, s.scatter_add(x, features, kImageRows));
  model.add(std::move(s));
}

// `count` numbers from 0 to `last`, as torch.linspace has them in f32.
std::vector<float> evenly(int64_t count, int64_t last) {
  std::vector<float> numbers(static_cast<size_t>(count), 0);
  const float step = count > 1 ? static_cast<float>(last) / static_cast<float>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i)
    numbers[static_cast<size_t>(i)] =
        i < count / 2 || count == 1 ? step * static_cast<float>(i)
                                    : static_cast<float>(last) - step * static_cast<float>(count - 1 - i);
  return numbers;
}

class Inputs : public qwen_vl::Inputs {
 public:
  // positions: [positions_per_side^2, hidden].
  Inputs(const Assembly& model, const qwen_vl::Config& config, const VisionConfig& vision,
         const TensorView& positions)
      : qwen_vl::Inputs(model.folder(), config, vision.head_dim, model.options(), "chatml"),
        side_(vision.positions_per_side),
        positions_(positions) {}

 protected:
  void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const override {
    qwen_vl::Inputs::add_tower(grids, pixels, inputs);
    Tensor table(DType::f32, {inputs.rows[kPatches], positions_.shape[1]});
    if (pixels != Pixels::shapes) interpolate(grids, table.matrix<float>());
    inputs.tables[kPatchPositions] = std::move(table);
  }

 private:
  // The learned positions lie on a square grid over the image, whatever its shape; between them, bilinear.
  void interpolate(std::span<const Grid> grids, Matrix<float> rows) const {
    int64_t row = 0;
    for (const Grid& g : grids) {
      const std::vector<float> high = evenly(g.h, side_ - 1), wide = evenly(g.w, side_ - 1);
      for (const auto& [y, x] : patch_places({&g, 1}, images().merge()))
        interpolate(high[static_cast<size_t>(y)], wide[static_cast<size_t>(x)], rows.row(row++));
    }
  }

  void interpolate(float y, float x, float* sum) const {
    const int64_t width = positions_.shape[1];
    const auto top = static_cast<int64_t>(y), left = static_cast<int64_t>(x);
    const float dy = y - static_cast<float>(top), dx = x - static_cast<float>(left);
    const int64_t bottom = std::min(top + 1, side_ - 1), right = std::min(left + 1, side_ - 1);
    const std::pair<int64_t, float> corners[] = {{top * side_ + left, (1 - dy) * (1 - dx)},
                                                 {top * side_ + right, (1 - dy) * dx},
                                                 {bottom * side_ + left, dy * (1 - dx)},
                                                 {bottom * side_ + right, dy * dx}};
    std::fill_n(sum, width, 0.0f);
    visit_floats(positions_, [&](auto values) {
      for (const auto& [at, weight] : corners)
        for (int64_t i = 0; i < width; ++i)
          sum[i] += to_float(values[static_cast<size_t>(at * width + i)]) * weight;
    });
  }

  int64_t side_;
  TensorView positions_;
};

using Layer = std::function<Scope::Value(Scope&, int64_t layer, Scope::Value x)>;

Model assemble(Source source, std::string family, const qwen_vl::Config& c, const Layer& layer) {
  const std::string path = source.config_path();
  const auto vision = read_vision(io::ObjectReader(source.config, path).object("vision_config"), c.text);
  Assembly model(std::move(source), std::move(family), qwen_vl::kNames);
  const TensorView positions = model.weights().get(
      "visual.pos_embed.weight", {vision.positions_per_side * vision.positions_per_side, vision.hidden_size});
  vision_tower(model, vision, c, positions);
  model.add_decoder(c.text, {.embed = image_features(c.text), .layer = layer, .behind = [&](int64_t i) {
                               if (i < std::ssize(vision.deepstack_blocks)) add_features(model, c.text, i);
                             }});
  auto inputs = std::make_unique<Inputs>(model, c, vision, positions);
  return std::move(model).model(std::move(inputs));
}

}  // namespace

Model load_qwen3_vl(Source source) {
  const auto c = qwen_vl::read_config(source.config, source.config_path(), kTextRules,
                                      {"qwen3_vl", "qwen3_vl_text"}, 16);
  return assemble(std::move(source), "qwen3_vl", c,
                  [&](Scope& s, int64_t i, Scope::Value x) { return qwen3_layer(s, c.text, i, x); });
}

// Defaults: of transformers' Qwen3VLMoeTextConfig (models/qwen3_vl_moe/configuration_qwen3_vl_moe.py).
// Whatever "norm_topk_prob" says, weights add up to 1.
Model load_qwen3_vl_moe(Source source) {
  std::vector<KnownKey> keys(std::begin(kTextKeys), std::end(kTextKeys));
  keys.insert(keys.end(), mixture_keys().begin(), mixture_keys().end());
  TextRules rules = kTextRules;
  rules.keys = keys;
  const std::string path = source.config_path();
  const auto c = qwen_vl::read_config(source.config, path, rules, {"qwen3_vl_moe", "qwen3_vl_moe_text"}, 16);
  const io::ObjectReader top(source.config, path);
  Mixture mixture = read_mixture(top.has("text_config") ? top.object("text_config") : top, c.text,
                                 {.n_experts = 60, .chosen = 4, .width = 1408});
  mixture.rule.softmax = ops::router::Softmax::over_chosen;
  return assemble(std::move(source), "qwen3_vl_moe", c, [&](Scope& s, int64_t i, Scope::Value x) {
    return qwen3_moe_layer(s, c.text, mixture, i, x);
  });
}

}  // namespace qsweep::models
