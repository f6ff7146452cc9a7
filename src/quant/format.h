// The formats: how an op's weights and input activations are quantized. One row of a table each.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quantize.h"

namespace qsweep::quant {

using kernels::ScaleRule;

// How one number is written.
enum class Codec {
  none,       // stays float
  int8,       // -127..127
  int8_full,  // -128..127
  int4,       // -8..7
  uint8,      // 0..255 with a zero point: the range [lo, hi] is widened to contain 0
  e4m3,       // small floats: nearest, ties to the even code, subnormals kept, saturating
  e3m2,
  e2m1,
};

// The codes are those numbers of the grid that lie in [low, high].
struct CodecFacts {
  int bits;
  kernels::Grid grid;
  float low, high;
};
const CodecFacts& facts(Codec codec);

// Which elements share a scale. A row is an output channel of a weight, a token of an activation. Of a cache,
// a tensor is its keys or its values, and per_head is what a token has in one head of either.
enum class Granularity { per_tensor, per_row, per_group, per_head };

struct Scheme {
  Codec codec = Codec::none;
  Granularity granularity = Granularity::per_row;
  int64_t group = 0;  // per_group: elements along the row that share a scale; the last group may be short
  ScaleRule rule = ScaleRule::absmax;
  int scale_bits = 32;          // what a stored scale takes (the arithmetic is f32 all the same)
  bool calibrated = false;      // the tensor's range comes from calibration data, not from the tensor itself
  bool in_stored_rows = false;  // groups end with the last dimension of the weight as it is stored
};

struct Format {
  std::string_view name;
  std::string_view summary;
  Scheme weights;
  Scheme activations;
  std::string_view imitates = "";  // the tool whose arithmetic this row repeats; empty for our own formats
  bool of_caches = false;          // of keys and values that attention reads, which are the activations
};

bool quantizes_weights(const Format& format);
bool quantizes_activations(const Format& format);

// Those of linear ops.
std::span<const Format> all_formats();
std::span<const Format> cache_formats();
// Of either. Error that lists the formats where there is none of this name.
const Format& find_format(std::string_view name);
// The format of this name, or those of a preset: `int` and `fp` by the weights' codec, `all` for both. Rows
// that imitate a tool are in no preset.
std::vector<const Format*> find_formats(std::string_view name_or_preset);
// The format of caches of this name, with or without "kv_" before it.
const Format& find_cache_format(std::string_view name);

// Bits per weight, scales included; a scale of the whole tensor counts nothing.
double effective_weight_bits(const Format& format, int64_t in_features);

// Bits per number of a cache, scales included; as above.
double effective_cache_bits(const Format& format, int64_t head_dim);

// Whether products of codes are integers: weights have one int8 scale per row or tensor, inputs integers with
// one per row or tensor, and no sum of `in_features` products can leave 32 bits.
bool has_integer_products(const Format& format, int64_t in_features);

}  // namespace qsweep::quant
