#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include <fmt/ranges.h>

#include "io/keys.h"
#include "models/config_values.h"

namespace qsweep::models {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr KnownKey kRopeKeys[] = {
    {"rope_theta"},
    {"rope_type"},
    {"type"},
    {"attention_factor", only, "1"},
    {"partial_rotary_factor", only, "1"},
};
constexpr KnownKey kLayerTypes[] = {{"full_attention"}, {"sliding_attention"}};
constexpr KnownKey kUnscaledKeys[] = {{"factor", only, "1"}};
constexpr KnownKey kBlocksKeys[] = {{"mrope_section"}, {"mrope_interleaved", only, "false"}};
constexpr KnownKey kInterleavedKeys[] = {{"mrope_section"}, {"mrope_interleaved", only, "true"}};
constexpr KnownKey kLinearKeys[] = {{"factor"}};
constexpr KnownKey kYarnKeys[] = {{"rope_theta"},
                                  {"rope_type"},
                                  {"type"},
                                  {"attention_factor"},
                                  {"beta_fast"},
                                  {"beta_slow"},
                                  {"factor"},
                                  {"original_max_position_embeddings"},
                                  {"partial_rotary_factor", only, "1"},
                                  {"truncate"}};
constexpr KnownKey kLlama3Keys[] = {
    {"factor"}, {"high_freq_factor"}, {"low_freq_factor"}, {"original_max_position_embeddings"}};

Rope unscaled(double theta, int64_t head_dim) {
  Rope rope{.frequencies = inverse_frequencies(theta, head_dim), .axes = {}};
  rope.axes.resize(rope.frequencies.size());
  return rope;
}

double read_factor(const ObjectReader& r, const char* key, double above) {
  const double factor = r.number(key);
  if (!(factor > above) || !std::isfinite(factor))
    fail("{}: \"{}\": expected a number above {}, found {}", r.path(), key, above, factor);
  return factor;
}

// In f32, step by step like the reference implementation.
void stretch_long_waves(const ObjectReader& r, std::vector<float>& frequencies) {
  io::check_keys(r, {kRopeKeys, kLlama3Keys});
  const auto factor = static_cast<float>(read_factor(r, "factor", 0));
  const double low = read_factor(r, "low_freq_factor", 0), high = read_factor(r, "high_freq_factor", low);
  const auto length =
      static_cast<double>(r.integer_in("original_max_position_embeddings", 1, kMaxConfigSize));
  const auto longest = static_cast<float>(length / low), shortest = static_cast<float>(length / high);
  for (float& frequency : frequencies) {
    const float wave = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wave < shortest) continue;
    if (wave > longest) {
      frequency /= factor;
      continue;
    }
    const float smooth =
        (static_cast<float>(length) / wave - static_cast<float>(low)) / static_cast<float>(high - low);
    frequency = (1 - smooth) * frequency / factor + smooth * frequency;
  }
}

// The place among the frequencies of the one that turns so often over the positions of the training.
double place_of(double turns, double positions, double theta, double dim) {
  return dim * std::log(positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

double number_or(const ObjectReader& r, const char* key, double otherwise) {
  return r.has(key) ? read_factor(r, key, 0) : otherwise;
}

// The places in double, the frequencies in f32, like the reference implementation.
void stretch_by_places(const ObjectReader& r, double theta, int64_t head_dim, Rope& rope) {
  io::check_keys(r, {kYarnKeys});
  const auto dim = static_cast<double>(head_dim);
  const auto positions =
      static_cast<double>(r.integer_in("original_max_position_embeddings", 1, kMaxConfigSize));
  const double factor = read_factor(r, "factor", 0);
  double low = place_of(number_or(r, "beta_fast", 32), positions, theta, dim),
         high = place_of(number_or(r, "beta_slow", 1), positions, theta, dim);
  if (!r.has("truncate") || r.boolean("truncate")) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    const float place = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float stretched = std::clamp(place, 0.0f, 1.0f), kept = 1 - stretched, whole = rope.frequencies[i];
    rope.frequencies[i] = whole / static_cast<float>(factor) * (1 - kept) + whole * kept;
  }
  const double larger = factor <= 1 ? 1 : 0.1 * std::log(factor) + 1;
  rope.amplitude = static_cast<float>(number_or(r, "attention_factor", larger));
}

// "rope_type", or "type" as it was called before; one of them must be there.
std::string read_rule(const ObjectReader& r, Mrope mrope) {
  if (!r.has("rope_type")) r.string("type");
  for (const char* key : {"rope_type", "type"}) {
    if (mrope == Mrope::none) {
      require_name(r, key, {"default", "linear", "llama3", "yarn"});
    } else {
      require_name(r, key, {"mrope", "default"});
    }
  }
  return r.string(r.has("rope_type") ? "rope_type" : "type");
}

std::vector<uint8_t> read_axes(const ObjectReader& r, size_t frequencies, Mrope mrope) {
  const std::vector<int64_t> section = r.integers("mrope_section");
  if (section.size() != 3 ||
      std::ranges::any_of(section, [](int64_t n) { return n < 0 || n > kMaxConfigSize; }) ||
      std::accumulate(section.begin(), section.end(), int64_t{0}) != static_cast<int64_t>(frequencies))
    fail("{}: \"mrope_section\": expected three sizes that add up to half the head size {}, found [{}]",
         r.path(), 2 * frequencies, fmt::join(section, ", "));
  std::vector<uint8_t> axes;
  if (mrope == Mrope::blocks) {
    for (uint8_t axis = 0; axis < 3; ++axis)
      axes.insert(axes.end(), static_cast<size_t>(section[axis]), axis);
    return axes;
  }
  for (int64_t i = 0; i < static_cast<int64_t>(frequencies); ++i) {
    const auto axis = static_cast<uint8_t>(i % 3);
    axes.push_back(i / 3 < section[axis] ? axis : uint8_t{0});
  }
  return axes;
}

// `parameters`: all but the base.
Rope read_rule_of(const ObjectReader& parameters, double theta, int64_t head_dim, Mrope mrope) {
  Rope rope = unscaled(theta, head_dim);
  const std::string rule = read_rule(parameters, mrope);
  if (rule == "llama3") {
    stretch_long_waves(parameters, rope.frequencies);
  } else if (rule == "yarn") {
    stretch_by_places(parameters, theta, head_dim, rope);
  } else if (rule == "linear") {
    io::check_keys(parameters, {kRopeKeys, kLinearKeys});
    const auto factor = static_cast<float>(read_factor(parameters, "factor", 0));
    for (float& frequency : rope.frequencies) frequency /= factor;
  } else {
    const std::span<const KnownKey> sections = mrope == Mrope::none     ? std::span<const KnownKey>()
                                               : mrope == Mrope::blocks ? std::span(kBlocksKeys)
                                                                        : std::span(kInterleavedKeys);
    io::check_keys(parameters, {kRopeKeys, kUnscaledKeys, sections});
    if (mrope != Mrope::none) rope.axes = read_axes(parameters, rope.frequencies.size(), mrope);
  }
  return rope;
}

}  // namespace

double read_theta(const ObjectReader& r, const char* key) {
  const double theta = r.number(key);
  if (!(theta > 1) || !std::isfinite(theta))
    fail("{}: \"{}\": expected a number above 1, found {}", r.path(), key, theta);
  return theta;
}

std::vector<float> inverse_frequencies(double theta, int64_t dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dim; i += 2)
    frequencies.push_back(
        1.0f / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
  return frequencies;
}

Rope read_rope(const ObjectReader& text, int64_t head_dim, Mrope mrope) {
  const bool newer = text.has("rope_parameters");
  const std::string key = newer ? "rope_parameters" : "rope_scaling";
  if (newer && text.has("rope_scaling"))
    fail("{}: expected \"rope_parameters\" or \"rope_scaling\", found both", text.path());
  if (mrope == Mrope::none && !text.has(key)) return unscaled(read_theta(text), head_dim);
  const ObjectReader parameters = text.object(key);
  const bool inside = parameters.has("rope_theta");
  const double theta = read_theta(inside ? parameters : text);
  if (inside && text.has("rope_theta") && read_theta(text) != theta)
    fail("{}: \"rope_theta\": expected {} as in {}, found {}", text.path(), theta, key,
         text.number("rope_theta"));
  return read_rule_of(parameters, theta, head_dim, mrope);
}

std::pair<Rope, Rope> read_layer_ropes(const ObjectReader& text, int64_t head_dim) {
  if (!text.has("rope_parameters"))
    return {read_rope(text, head_dim, Mrope::none),
            unscaled(read_theta(text, "rope_local_base_freq"), head_dim)};
  const ObjectReader both = text.object("rope_parameters");
  io::check_keys(both, {kLayerTypes});
  const auto of = [&](const char* type) {
    const ObjectReader parameters = both.object(type);
    return read_rule_of(parameters, read_theta(parameters), head_dim, Mrope::none);
  };
  return {of("full_attention"), of("sliding_attention")};
}

void write_cos_sin(std::span<const float> angles, std::span<float> row) {
  for (size_t i = 0; i < angles.size(); ++i) {
    row[i] = std::cos(angles[i]);
    row[angles.size() + i] = std::sin(angles[i]);
  }
}

Tensor cos_sin(const Positions& positions, const Rope& rope) {
  const auto tokens = static_cast<int64_t>(positions[0].size());
  Tensor table(DType::f32, {tokens, 2 * std::ssize(rope.frequencies)});
  const auto rows = table.matrix<float>();
  std::vector<float> angles(rope.frequencies.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t i = 0; i < angles.size(); ++i)
      angles[i] = static_cast<float>(positions[rope.axes[i]][static_cast<size_t>(t)]) * rope.frequencies[i];
    const std::span row(rows.row(t), static_cast<size_t>(rows.cols));
    write_cos_sin(angles, row);
    for (float& number : row) number *= rope.amplitude;
  }
  return table;
}

}  // namespace qsweep::models
