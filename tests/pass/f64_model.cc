#include "pass/f64_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/codec.h"
#include "io/json.h"

namespace qsweep::testing {
namespace {

constexpr double kVisionEps = 1e-6;
constexpr double kVisionTheta = 10000;

F64Matrix widened(const TensorView& tensor) {
  const int64_t rows = tensor.shape.size() > 1 ? tensor.shape[0] : 1;
  F64Matrix m(rows, tensor.elements() / rows);
  for (size_t i = 0; i < m.values.size(); ++i)
    m.values[i] = static_cast<double>(tensor.dtype == DType::bf16 ? to_float(tensor.as<bf16>()[i])
                                                                  : tensor.as<float>()[i]);
  return m;
}

F64Matrix columns(const F64Matrix& m, int64_t first, int64_t count) {
  F64Matrix part(m.rows, count);
  for (int64_t r = 0; r < m.rows; ++r) std::copy_n(m.row(r) + first, count, part.row(r));
  return part;
}

F64Matrix rms_norm(const F64Matrix& x, const std::vector<double>& weight, double eps) {
  F64Matrix y(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < x.cols; ++c) squares += x.row(r)[c] * x.row(r)[c];
    const double root = std::sqrt(squares / static_cast<double>(x.cols) + eps);
    for (int64_t c = 0; c < x.cols; ++c) y.row(r)[c] = weight[static_cast<size_t>(c)] * x.row(r)[c] / root;
  }
  return y;
}

// x cos + rotate_half(x) sin in every head, with rotate_half(x) = (-second half, first half).
F64Matrix rotated(const F64Matrix& x, const F64Matrix& cos, const F64Matrix& sin) {
  const int64_t head_dim = cos.cols, half = head_dim / 2;
  F64Matrix y(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const int64_t i = c % head_dim;
      const double other = i < half ? -x.row(r)[c + half] : x.row(r)[c - half];
      y.row(r)[c] = x.row(r)[c] * cos.row(r)[i] + other * sin.row(r)[i];
    }
  }
  return y;
}

struct Heads {
  int64_t n_heads, n_kv_heads, head_dim;
  bool causal;
};

// Every query against every key of its segment (the earlier ones where causal), one head at a time.
F64Matrix attention(const Heads& heads, const std::vector<int64_t>& segments, const F64Matrix& q,
                    const F64Matrix& k, const F64Matrix& v) {
  F64Matrix o(q.rows, q.cols);
  const double scale = 1 / std::sqrt(static_cast<double>(heads.head_dim));
  int64_t first = 0;
  for (const int64_t length : segments) {
    std::vector<double> p(static_cast<size_t>(length));
    for (int64_t query = first; query < first + length; ++query) {
      const int64_t keys = heads.causal ? query - first + 1 : length;
      for (int64_t head = 0; head < heads.n_heads; ++head) {
        const int64_t at = head * heads.head_dim;
        const int64_t kv_at = head / (heads.n_heads / heads.n_kv_heads) * heads.head_dim;
        for (int64_t j = 0; j < keys; ++j)
          p[static_cast<size_t>(j)] =
              scale * std::inner_product(q.row(query) + at, q.row(query) + at + heads.head_dim,
                                         k.row(first + j) + kv_at, 0.0);
        const double top = *std::max_element(p.begin(), p.begin() + keys);
        double total = 0;
        for (int64_t j = 0; j < keys; ++j)
          total += p[static_cast<size_t>(j)] = std::exp(p[static_cast<size_t>(j)] - top);
        for (int64_t j = 0; j < keys; ++j)
          for (int64_t c = 0; c < heads.head_dim; ++c)
            o.row(query)[at + c] += p[static_cast<size_t>(j)] / total * v.row(first + j)[kv_at + c];
      }
    }
    first += length;
  }
  return o;
}

// Rotary tables from angles that, as in the reference implementation, are f32 products of position and
// inverse frequency.
std::vector<float> inverse_frequencies(double theta, int64_t dim) {
  std::vector<float> f;
  for (int64_t i = 0; i < dim; i += 2)
    f.push_back(1.0f / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
  return f;
}

void set_angle(F64Matrix& cos, F64Matrix& sin, int64_t row, int64_t column, int64_t position,
               float frequency) {
  const float angle = static_cast<float>(position) * frequency;
  cos.row(row)[column] = std::cos(static_cast<double>(angle));
  sin.row(row)[column] = std::sin(static_cast<double>(angle));
}

}  // namespace

F64Matrix multiply(const F64Matrix& a, const F64Matrix& b) {
  QSWEEP_CHECK(a.cols == b.rows, "{} columns times {} rows", a.cols, b.rows);
  F64Matrix c(a.rows, b.cols);
  for (int64_t r = 0; r < a.rows; ++r) {
    double* out = c.row(r);
    int64_t i = 0;
    for (; i + 4 <= a.cols; i += 4) {  // four at a time, so that the sums travel less to memory and back
      const double* x = a.row(r) + i;
      const double *b0 = b.row(i), *b1 = b.row(i + 1), *b2 = b.row(i + 2), *b3 = b.row(i + 3);
      for (int64_t j = 0; j < b.cols; ++j)
        out[j] += x[0] * b0[j] + x[1] * b1[j] + x[2] * b2[j] + x[3] * b3[j];
    }
    for (; i < a.cols; ++i)
      for (int64_t j = 0; j < b.cols; ++j) out[j] += a.row(r)[i] * b.row(i)[j];
  }
  return c;
}

F64Matrix transposed(const F64Matrix& m) {
  F64Matrix t(m.cols, m.rows);
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < m.cols; ++c) t.row(c)[r] = m.row(r)[c];
  return t;
}

void add_to(F64Matrix& sum, const F64Matrix& m) {
  QSWEEP_CHECK(sum.rows == m.rows && sum.cols == m.cols, "[{}, {}] + [{}, {}]", sum.rows, sum.cols, m.rows,
               m.cols);
  for (size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += m.values[i];
}

F64Model::F64Model(const std::string& folder)
    : json_(io::read_json_file(folder + "/config.json")),
      config_(models::qwen2_5_vl::read_config(json_, "config.json")) {
  const io::Checkpoint checkpoint = io::Checkpoint::open(folder);
  for (const std::string& name : checkpoint.names()) {
    const TensorView& tensor = *checkpoint.find(name);
    const bool matrix = tensor.shape.size() > 1 && name != "model.embed_tokens.weight";
    weights_[name] = matrix ? transposed(widened(tensor)) : widened(tensor);
  }
  if (!weights_.contains("lm_head.weight"))
    weights_["lm_head.weight"] = transposed(at("model.embed_tokens.weight"));
}

const F64Matrix& F64Model::at(const std::string& name) const {
  const auto it = weights_.find(name);
  QSWEEP_CHECK(it != weights_.end(), "no tensor {}", name);
  return it->second;
}

F64Matrix F64Model::linear(const F64Matrix& x, const std::string& op, Added added) const {
  F64Matrix y = multiply(x, at(op + ".weight"));
  if (const auto bias = weights_.find(op + ".bias"); bias != weights_.end())
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c) y.row(r)[c] += bias->second.row(0)[c];
  if (added != nullptr && added->op == op) add_to(y, added->dy);
  return y;
}

// down(silu(gate(x)) up(x)).
F64Matrix F64Model::gated(const F64Matrix& x, const std::string& mlp, Added added) const {
  F64Matrix h = linear(x, mlp + "gate_proj", added);
  const F64Matrix up = linear(x, mlp + "up_proj", added);
  for (size_t i = 0; i < h.values.size(); ++i) h.values[i] *= up.values[i] / (1 + std::exp(-h.values[i]));
  return linear(h, mlp + "down_proj", added);
}

// Patches come merged unit by merged unit. Units are sorted by the window that their place in the image falls
// into; units of one window keep their order.
void F64Model::place_patches(const std::vector<std::array<int64_t, 3>>& grids, Reference& r) const {
  const auto& c = config_.vision;
  const int64_t merge = config_.images.merge(), unit = merge * merge;
  const int64_t side = c.window_size / merge / config_.images.geometry.patch_size;
  struct Unit {
    std::array<int64_t, 4> window;  // image, frame, and row and column of the window
    int64_t index, top, left;       // top, left: its first patch in the frame
  };
  std::vector<Unit> units;
  for (size_t image = 0; image < grids.size(); ++image) {
    const auto [frames, high, wide] = grids[image];
    for (int64_t t = 0; t < frames; ++t) {
      r.images.push_back(high * wide);
      for (int64_t y = 0; y < high / merge; ++y)
        for (int64_t x = 0; x < wide / merge; ++x)
          units.push_back({{static_cast<int64_t>(image), t, y / side, x / side},
                           static_cast<int64_t>(units.size()),
                           y * merge,
                           x * merge});
    }
  }
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.window < b.window; });

  const auto patches = static_cast<int64_t>(units.size()) * unit;
  const int64_t quarter = c.head_dim / 4;
  const std::vector<float> frequencies = inverse_frequencies(kVisionTheta, c.head_dim / 2);
  r.vision_cos = r.vision_sin = F64Matrix(patches, c.head_dim);
  for (size_t u = 0; u < units.size(); ++u) {
    const bool new_window = u == 0 || units[u].window != units[u - 1].window;
    if (new_window) r.windows.push_back(0);
    r.windows.back() += unit;
    for (int64_t inner = 0; inner < unit; ++inner) {
      const auto row = static_cast<int64_t>(r.patch_order.size());
      const std::array<int64_t, 2> place{units[u].top + inner / merge, units[u].left + inner % merge};
      for (int64_t column = 0; column < c.head_dim; ++column)  // rows, columns, and both again
        set_angle(r.vision_cos, r.vision_sin, row, column, place[static_cast<size_t>(column / quarter % 2)],
                  frequencies[static_cast<size_t>(column % quarter)]);
      r.patch_order.push_back(units[u].index * unit + inner);
    }
  }
}

// Multimodal rotary positions: the head's columns, in chunks of the sections written twice, turn by time,
// height and width in turn.
void F64Model::place_tokens(const std::vector<std::array<int64_t, 3>>& grids, Reference& r) const {
  const auto& c = config_.text;
  const int64_t merge = config_.images.merge();
  std::vector<std::array<int64_t, 3>> positions;
  int64_t next = 0;
  size_t image = 0;
  for (size_t i = 0; i < r.token_ids.size(); i = positions.size()) {
    if (r.token_ids[i] != config_.images.image_token) {
      positions.push_back({next, next, next});
      ++next;
      continue;
    }
    const auto [frames, high, wide] = grids.at(image++);
    const int64_t units_wide = wide / merge, per_frame = high / merge * units_wide, start = next;
    for (int64_t u = 0; u < frames * per_frame; ++u) {
      const std::array<int64_t, 3> place{start + u / per_frame, start + u % per_frame / units_wide,
                                         start + u % per_frame % units_wide};
      next = std::max({next, place[0] + 1, place[1] + 1, place[2] + 1});
      positions.push_back(place);
    }
  }
  std::vector<size_t> axis;  // of every column
  for (size_t chunk = 0; chunk < 6; ++chunk)
    axis.insert(axis.end(), json_["rope_scaling"]["mrope_section"][chunk % 3].get<size_t>(), chunk % 3);
  const std::vector<float> frequencies = inverse_frequencies(json_["rope_theta"].get<double>(), c.head_dim);
  r.text_cos = r.text_sin = F64Matrix(static_cast<int64_t>(positions.size()), c.head_dim);
  for (int64_t t = 0; t < r.text_cos.rows; ++t)
    for (int64_t column = 0; column < c.head_dim; ++column)
      set_angle(r.text_cos, r.text_sin, t, column,
                positions[static_cast<size_t>(t)][axis[static_cast<size_t>(column)]],
                frequencies[static_cast<size_t>(column % (c.head_dim / 2))]);
}

F64Matrix F64Model::patch_embedding(const Reference& r, const F64Matrix& pixels, Added added) const {
  const F64Matrix embedded = linear(pixels, "visual.patch_embed.proj", added);
  F64Matrix x(embedded.rows, embedded.cols);
  for (int64_t row = 0; row < x.rows; ++row)
    std::copy_n(embedded.row(r.patch_order[static_cast<size_t>(row)]), x.cols, x.row(row));
  return x;
}

F64Matrix F64Model::vision_block(int64_t i, const Reference& r, F64Matrix x, Added added) const {
  const auto& c = config_.vision;
  const std::string block = "visual.blocks." + std::to_string(i) + ".";
  const bool full = std::count(c.full_attention_blocks.begin(), c.full_attention_blocks.end(), i) > 0;
  const F64Matrix qkv =
      linear(rms_norm(x, vector(block + "norm1.weight"), kVisionEps), block + "attn.qkv", added);
  const F64Matrix q = rotated(columns(qkv, 0, c.hidden_size), r.vision_cos, r.vision_sin);
  const F64Matrix k = rotated(columns(qkv, c.hidden_size, c.hidden_size), r.vision_cos, r.vision_sin);
  const F64Matrix o = attention({c.n_heads, c.n_heads, c.head_dim, false}, full ? r.images : r.windows, q, k,
                                columns(qkv, 2 * c.hidden_size, c.hidden_size));
  add_to(x, linear(o, block + "attn.proj", added));
  add_to(x, gated(rms_norm(x, vector(block + "norm2.weight"), kVisionEps), block + "mlp.", added));
  return x;
}

// Units side by side, two layers, and back into the images' own order.
F64Matrix F64Model::merger(const Reference& r, const F64Matrix& x, Added added) const {
  const int64_t unit = config_.images.merge() * config_.images.merge();
  F64Matrix h = rms_norm(x, vector("visual.merger.ln_q.weight"), kVisionEps);
  h.rows /= unit;
  h.cols *= unit;
  h = linear(h, "visual.merger.mlp.0", added);
  for (double& v : h.values) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
  h = linear(h, "visual.merger.mlp.2", added);
  F64Matrix features(h.rows, h.cols);
  for (int64_t u = 0; u < h.rows; ++u)
    std::copy_n(h.row(u), h.cols, features.row(r.patch_order[static_cast<size_t>(u * unit)] / unit));
  return features;
}

F64Matrix F64Model::token_embedding(const Reference& r, const F64Matrix& features) const {
  const F64Matrix& table = at("model.embed_tokens.weight");
  F64Matrix x(static_cast<int64_t>(r.token_ids.size()), table.cols);
  int64_t unit = 0;
  for (int64_t t = 0; t < x.rows; ++t) {
    const int32_t id = r.token_ids[static_cast<size_t>(t)];
    std::copy_n(id == config_.images.image_token ? features.row(unit++) : table.row(id), x.cols, x.row(t));
  }
  return x;
}

F64Matrix F64Model::decoder_layer(int64_t i, const Reference& r, F64Matrix x, Added added) const {
  const auto& c = config_.text;
  const std::string layer = "model.layers." + std::to_string(i) + ".";
  const F64Matrix h = rms_norm(x, vector(layer + "input_layernorm.weight"), c.norm_eps);
  const F64Matrix q = rotated(linear(h, layer + "self_attn.q_proj", added), r.text_cos, r.text_sin);
  F64Matrix k = rotated(linear(h, layer + "self_attn.k_proj", added), r.text_cos, r.text_sin);
  F64Matrix v = linear(h, layer + "self_attn.v_proj", added);
  if (added != nullptr && added->op == layer + "self_attn.kv")
    for (int64_t row = 0; row < x.rows; ++row)
      for (int64_t column = 0; column < k.cols; ++column) {
        k.row(row)[column] += added->dy.row(row)[column];
        v.row(row)[column] += added->dy.row(row)[k.cols + column];
      }
  const F64Matrix o = attention({c.n_heads, c.n_kv_heads, c.head_dim, true}, {x.rows}, q, k, v);
  add_to(x, linear(o, layer + "self_attn.o_proj", added));
  const F64Matrix normed = rms_norm(x, vector(layer + "post_attention_layernorm.weight"), c.norm_eps);
  add_to(x, gated(normed, layer + "mlp.", added));
  return x;
}

F64Output F64Model::head(const F64Matrix& x, Added added) const {
  F64Output output;
  output.hidden = rms_norm(x, vector("model.norm.weight"), config_.text.norm_eps);
  output.logits = linear(output.hidden, "lm_head", added);
  return output;
}

int64_t F64Model::stage_of(const std::string& op) const {
  const std::string blocks = "visual.blocks.", layers = "model.layers.";
  if (op == "lm_head") return stage_count() - 1;
  if (op.starts_with("visual.patch_embed.")) return 0;
  if (op.starts_with("visual.merger.")) return config_.vision.depth + 1;
  if (op.starts_with(blocks)) return 1 + std::stoll(op.substr(blocks.size()));
  QSWEEP_CHECK(op.starts_with(layers), "no op {}", op);
  return config_.vision.depth + 3 + std::stoll(op.substr(layers.size()));
}

F64Matrix F64Model::run_stage(int64_t stage, const Reference& r, const F64Matrix& x, Added added) const {
  const int64_t depth = config_.vision.depth;
  if (stage == 0) return patch_embedding(r, x, added);
  if (stage <= depth) return vision_block(stage - 1, r, x, added);
  if (stage == depth + 1) return merger(r, x, added);
  if (stage == depth + 2) return token_embedding(r, x);
  return decoder_layer(stage - depth - 3, r, x, added);
}

F64Model::Reference F64Model::reference(const std::vector<int32_t>& token_ids,
                                        const std::vector<std::array<int64_t, 3>>& image_grids,
                                        const F64Matrix& pixel_values) const {
  Reference r;
  r.token_ids = token_ids;
  place_patches(image_grids, r);
  place_tokens(image_grids, r);
  r.stage_inputs.push_back(pixel_values);
  for (int64_t stage = 0; stage + 1 < stage_count(); ++stage)
    r.stage_inputs.push_back(run_stage(stage, r, r.stage_inputs.back(), nullptr));
  r.output = head(r.stage_inputs.back(), nullptr);
  return r;
}

F64Output F64Model::perturbed(const Reference& r, const F64Perturbation& perturbation) const {
  int64_t stage = stage_of(perturbation.op);
  F64Matrix x = r.stage_inputs[static_cast<size_t>(stage)];
  for (; stage + 1 < stage_count(); ++stage) x = run_stage(stage, r, x, &perturbation);
  return head(x, &perturbation);
}

}  // namespace qsweep::testing
