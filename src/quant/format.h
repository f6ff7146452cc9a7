// The formats: how an op's weights and input activations are quantized. One row of a table each.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quantize.h"
#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::quant {

using kernels::Device;
using kernels::Range;
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

// Which elements share a scale. A row is an output channel of a weight, a token of an activation.
enum class Granularity { per_tensor, per_row, per_group };

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
};

bool quantizes_weights(const Format& format);
bool quantizes_activations(const Format& format);

std::span<const Format> all_formats();
// Error that lists the formats where there is none of this name.
const Format& find_format(std::string_view name);
// The format of this name, or those of a preset: `int` and `fp` by the weights' codec, `all` for both. Rows
// that imitate a tool are in no preset.
std::vector<const Format*> find_formats(std::string_view name_or_preset);

// Bits per weight, scales included; a scale of the whole tensor counts nothing.
double effective_weight_bits(const Format& format, int64_t in_features);

// Ranges that functions are given are in the device's memory.

// Whether quantized rows of a weight depend on the range of the whole weight.
bool needs_weight_range(const Format& format);
void find_weight_range(Device device, const TensorView& weight, kernels::RangePlace to);

// Quantized and dequantized weight, f32; w [out, in], or some of its rows. whole: the range of the whole
// weight, for formats that need it; by default that of w.
void fake_quantize_weight(Device device, const Format& format, Matrix<const float> w, const Range* whole,
                          Matrix<float> quantized);

// Of a weight as the checkpoint stores it (bf16, f16 or f32), or some of its rows: Q(W), or Q(W) - W, rounded
// to the result's dtype. The f32 numbers on the way stay in the cache. The result is [out, in], dense.
enum class WeightPart { quantized, error };
void quantize_stored_weight(Device device, const Format& format, WeightPart part, const TensorView& weight,
                            const Range* whole, kernels::DeltaView result);

// Quantized and dequantized input. range: of the op's input over the calibration data; only for calibrated
// formats.
void fake_quantize_input(Device device, const Format& format, Matrix<const float> x, const Range* range,
                         Matrix<float> quantized);

// --- codes, for formats whose products are integers: Q(x) Q(W)^T from int8 or uint8 and int8.
// Whether weights have one int8 scale per row or tensor, inputs integers with one per row or tensor, and no
// sum of `in_features` products can leave 32 bits.
bool has_integer_products(const Format& format, int64_t in_features);

// Of a stored weight: codes [out, in], and per row their scale and their sum.
void weight_codes(Device device, const Format& format, const TensorView& weight, const Range* whole,
                  Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums);

// takes_uint8: whether products take uint8; else such codes are less 128.
DType input_code_dtype(const Format& format, bool takes_uint8);
// Of an input: codes [rows, in] of that dtype, and either their scale per row or, where none is returned
// there, the quantizer that they all have.
std::optional<kernels::AffineQuantizer> input_codes(Device device, const Format& format,
                                                    Matrix<const float> x, const Range* range,
                                                    kernels::DeltaView codes, std::span<float> row_scale);

}  // namespace qsweep::quant
