#include "quant/format.h"

#include <algorithm>
#include <limits>

#include <fmt/ranges.h>

#include "base/codec.h"
#include "base/error.h"

namespace qsweep::quant {
namespace {

using kernels::Grid;

constexpr CodecFacts kCodecs[] = {
    {.bits = 32, .grid = Grid::integers, .low = 0, .high = 0},      // none
    {.bits = 8, .grid = Grid::integers, .low = -127, .high = 127},  // int8
    {.bits = 8, .grid = Grid::integers, .low = -128, .high = 127},  // int8_full
    {.bits = 4, .grid = Grid::integers, .low = -8, .high = 7},      // int4
    {.bits = 8, .grid = Grid::integers, .low = 0, .high = 255},     // uint8
    {.bits = 8, .grid = Grid::e4m3, .low = -kE4M3.max, .high = kE4M3.max},
    {.bits = 6, .grid = Grid::e3m2, .low = -kE3M2.max, .high = kE3M2.max},
    {.bits = 4, .grid = Grid::e2m1, .low = -kE2M1.max, .high = kE2M1.max},
};
constexpr Scheme kFloat{};
constexpr Scheme per_row(Codec codec, ScaleRule rule = ScaleRule::absmax) {
  return {.codec = codec, .granularity = Granularity::per_row, .rule = rule};
}
constexpr Scheme per_group(Codec codec, int64_t group, ScaleRule rule, int scale_bits) {
  return {codec, Granularity::per_group, group, rule, scale_bits};
}
constexpr Scheme int4_groups(int64_t group) { return per_group(Codec::int4, group, ScaleRule::absmax, 16); }
constexpr Scheme mx(Codec codec) { return per_group(codec, 32, ScaleRule::power_of_two, 8); }
constexpr Scheme kMxfp8Up = per_group(Codec::e4m3, 32, ScaleRule::power_of_two_up, 8);
constexpr Scheme of_tensor(Codec codec, ScaleRule rule = ScaleRule::absmax) {
  return {.codec = codec, .granularity = Granularity::per_tensor, .rule = rule};
}
constexpr Scheme calibrated(Scheme scheme) {
  scheme.calibrated = true;
  return scheme;
}
constexpr Scheme in_stored_rows(Scheme scheme) {
  scheme.in_stored_rows = true;
  return scheme;
}
constexpr Scheme kNvfp4 = per_group(Codec::e2m1, 16, ScaleRule::two_level, 8);

constexpr Format kFormats[] = {
    {.name = "w8a8",
     .summary = "int8 weights per output channel, uint8 activations per tensor, calibrated",
     .weights = per_row(Codec::int8),
     .activations = calibrated(of_tensor(Codec::uint8))},
    {.name = "w8a8_static",
     .summary = "int8 weights per output channel, int8 activations per tensor, calibrated",
     .weights = per_row(Codec::int8),
     .activations = calibrated(of_tensor(Codec::int8))},
    {.name = "w8a8_dynamic",
     .summary = "int8 weights per output channel, int8 activations per token",
     .weights = per_row(Codec::int8),
     .activations = per_row(Codec::int8)},
    {.name = "w8a16",
     .summary = "int8 weights per output channel, float activations",
     .weights = per_row(Codec::int8),
     .activations = kFloat},
    {.name = "w4a16_g32",
     .summary = "int4 weights in groups of 32, float activations",
     .weights = int4_groups(32),
     .activations = kFloat},
    {.name = "w4a16_g128",
     .summary = "int4 weights in groups of 128, float activations",
     .weights = int4_groups(128),
     .activations = kFloat},
    {.name = "w4a8",
     .summary = "int4 weights per output channel, int8 activations per token",
     .weights = per_row(Codec::int4),
     .activations = per_row(Codec::int8)},
    {.name = "fp8",
     .summary = "E4M3 weights per output channel, E4M3 activations per tensor, calibrated",
     .weights = per_row(Codec::e4m3),
     .activations = calibrated(of_tensor(Codec::e4m3))},
    {.name = "fp8_tensor",
     .summary = "E4M3 weights per tensor, E4M3 activations per tensor, calibrated",
     .weights = of_tensor(Codec::e4m3),
     .activations = calibrated(of_tensor(Codec::e4m3))},
    {.name = "fp8_dynamic",
     .summary = "E4M3 weights per output channel, E4M3 activations per token",
     .weights = per_row(Codec::e4m3),
     .activations = per_row(Codec::e4m3)},
    {.name = "nvfp4",
     .summary = "E2M1 weights and activations in blocks of 16 with E4M3 scales under a scale of the tensor, "
                "which is calibrated for activations",
     .weights = kNvfp4,
     .activations = calibrated(kNvfp4)},
    {.name = "nvfp4a16",
     .summary =
         "E2M1 weights in blocks of 16 with E4M3 scales under a scale of the tensor, float activations",
     .weights = kNvfp4,
     .activations = kFloat},
    {.name = "mxfp4",
     .summary = "OCP MX: E2M1 weights and activations in blocks of 32 with power-of-two scales",
     .weights = mx(Codec::e2m1),
     .activations = mx(Codec::e2m1)},
    {.name = "mxfp6",
     .summary = "OCP MX: E3M2 weights and activations in blocks of 32 with power-of-two scales",
     .weights = mx(Codec::e3m2),
     .activations = mx(Codec::e3m2)},
    {.name = "mxfp8",
     .summary = "OCP MX: E4M3 weights and activations in blocks of 32 with power-of-two scales",
     .weights = mx(Codec::e4m3),
     .activations = mx(Codec::e4m3)},
    {.name = "mxfp4a16",
     .summary = "OCP MX: E2M1 weights in blocks of 32 with power-of-two scales, float activations",
     .weights = mx(Codec::e2m1),
     .activations = kFloat},
    {.name = "inc_w8a8",
     .summary = "int8 weights per output channel and uint8 activations per tensor, calibrated, rounded as "
                "PyTorch does",
     .weights = per_row(Codec::int8_full, ScaleRule::half_span),
     .activations = calibrated(of_tensor(Codec::uint8, ScaleRule::half_span)),
     .imitates = "Intel Neural Compressor"},
    {.name = "modelopt_int8",
     .summary = "int8 weights per output channel, int8 activations per tensor, calibrated (INT8_DEFAULT_CFG)",
     .weights = per_row(Codec::int8_full, ScaleRule::inverse),
     .activations = calibrated(of_tensor(Codec::int8_full, ScaleRule::inverse)),
     .imitates = "NVIDIA ModelOpt"},
    {.name = "modelopt_fp8",
     .summary = "E4M3 weights and activations per tensor, calibrated (FP8_DEFAULT_CFG)",
     .weights = of_tensor(Codec::e4m3, ScaleRule::inverse),
     .activations = calibrated(of_tensor(Codec::e4m3, ScaleRule::inverse)),
     .imitates = "NVIDIA ModelOpt"},
    {.name = "modelopt_int4",
     .summary = "int4 weights in groups of 128, float activations (INT4_BLOCKWISE_WEIGHT_ONLY_CFG)",
     .weights = in_stored_rows(per_group(Codec::int4, 128, ScaleRule::inverse, 16)),
     .activations = kFloat,
     .imitates = "NVIDIA ModelOpt"},
    {.name = "vllm_mxfp8",
     .summary =
         "E4M3 weights and activations in blocks of 32 with power-of-two scales, rounded up as vLLM does",
     .weights = kMxfp8Up,
     .activations = kMxfp8Up,
     .imitates = "vLLM"},
};

constexpr Scheme per_head(Codec codec) { return {.codec = codec, .granularity = Granularity::per_head}; }

constexpr Format kCacheFormats[] = {
    {.name = "kv_fp8",
     .summary = "E4M3 keys and values, a scale for the keys and one for the values of a layer, calibrated",
     .activations = calibrated(of_tensor(Codec::e4m3)),
     .of_caches = true},
    {.name = "kv_fp8_token_head",
     .summary = "E4M3 keys and values, a scale per token and head",
     .activations = per_head(Codec::e4m3),
     .of_caches = true},
    {.name = "kv_int8",
     .summary = "int8 keys and values, a scale for the keys and one for the values of a layer, calibrated",
     .activations = calibrated(of_tensor(Codec::int8)),
     .of_caches = true},
    {.name = "kv_int8_token_head",
     .summary = "int8 keys and values, a scale per token and head",
     .activations = per_head(Codec::int8),
     .of_caches = true},
    {.name = "kv_nvfp4",
     .summary = "E2M1 keys and values in blocks of 16 of a head, with E4M3 scales under one for the keys and "
                "one for the values of a layer, calibrated",
     .activations = calibrated(kNvfp4),
     .of_caches = true},
};
constexpr std::string_view kCachePrefix = "kv_";

bool integer_weights(const Format& format) { return facts(format.weights.codec).grid == Grid::integers; }

const Format* row_of(std::span<const Format> table, std::string_view name) {
  const auto row = std::ranges::find(table, name, &Format::name);
  return row == table.end() ? nullptr : &*row;
}

std::string names_in(std::span<const Format> table) {
  std::vector<std::string_view> names;
  for (const Format& format : table) names.push_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

const CodecFacts& facts(Codec codec) { return kCodecs[static_cast<size_t>(codec)]; }

bool quantizes_weights(const Format& format) { return format.weights.codec != Codec::none; }
bool quantizes_activations(const Format& format) { return format.activations.codec != Codec::none; }

std::span<const Format> all_formats() { return kFormats; }
std::span<const Format> cache_formats() { return kCacheFormats; }

const Format& find_format(std::string_view name) {
  const Format* format = row_of(kFormats, name);
  if (format == nullptr) format = row_of(kCacheFormats, name);
  if (format == nullptr)
    fail("unknown format \"{}\"; known: {}; of caches: {}", name, names_in(kFormats),
         names_in(kCacheFormats));
  return *format;
}

const Format& find_cache_format(std::string_view name) {
  const Format* format = row_of(kCacheFormats, name);
  if (format == nullptr) format = row_of(kCacheFormats, fmt::format("{}{}", kCachePrefix, name));
  if (format == nullptr) fail("unknown format of caches \"{}\"; known: {}", name, names_in(kCacheFormats));
  return *format;
}

std::vector<const Format*> find_formats(std::string_view name_or_preset) {
  const bool integers = name_or_preset == "int", floats = name_or_preset == "fp",
             all = name_or_preset == "all";
  if (!integers && !floats && !all) {
    const Format* format = row_of(kFormats, name_or_preset);
    if (format == nullptr && row_of(kCacheFormats, name_or_preset) != nullptr)
      fail("\"{}\" is a format of caches of keys and values, which --kv takes", name_or_preset);
    if (format == nullptr)
      fail("unknown format \"{}\"; known: {}; presets: int, fp, all", name_or_preset, names_in(kFormats));
    return {format};
  }
  std::vector<const Format*> found;
  for (const Format& format : kFormats)
    if (format.imitates.empty() && (all || integers == integer_weights(format))) found.push_back(&format);
  return found;
}

double effective_weight_bits(const Format& format, int64_t in_features) {
  const Scheme& weights = format.weights;
  const double bits = facts(weights.codec).bits;
  if (!quantizes_weights(format) || weights.granularity == Granularity::per_tensor) return bits;
  const int64_t group = weights.granularity == Granularity::per_group ? weights.group : in_features;
  const int64_t groups = (in_features + group - 1) / group;
  return bits + static_cast<double>(groups * weights.scale_bits) / static_cast<double>(in_features);
}

double effective_cache_bits(const Format& format, int64_t head_dim) {
  const Scheme& scheme = format.activations;
  const double bits = facts(scheme.codec).bits;
  if (scheme.granularity == Granularity::per_tensor) return bits;
  const int64_t group = scheme.granularity == Granularity::per_group ? scheme.group : head_dim;
  return bits + static_cast<double>(scheme.scale_bits) / static_cast<double>(group);
}

bool has_integer_products(const Format& format, int64_t in_features) {
  const auto fits = [](const Scheme& scheme) {
    return scheme.codec != Codec::none && facts(scheme.codec).grid == Grid::integers &&
           scheme.granularity != Granularity::per_group && !scheme.in_stored_rows;
  };
  const auto largest = [](const Scheme& scheme) {
    return static_cast<int64_t>(std::max(-facts(scheme.codec).low, facts(scheme.codec).high));
  };
  return fits(format.weights) && fits(format.activations) &&
         in_features <=
             std::numeric_limits<int32_t>::max() / (largest(format.weights) * largest(format.activations));
}

}  // namespace qsweep::quant
