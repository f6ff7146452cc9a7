// The formats: how an op's weights and input activations are quantized. One row of a table each.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::quant {

// How one number is written.
enum class Codec {
  none,   // stays float
  int8,   // symmetric, clamped to [-127, 127], scale = max abs / 127
  uint8,  // asymmetric, 0..255: lo = min(lo, 0), hi = max(hi, 0), scale = (hi - lo) / 255, zero point =
          // round(-lo / scale)
};

// Which elements share a scale. A row is an output channel of a weight, a token of an activation.
enum class Granularity { per_row, per_tensor };

struct Scheme {
  Codec codec = Codec::none;
  Granularity granularity = Granularity::per_row;
  bool calibrated = false;  // the range comes from calibration data, not from the tensor itself
};

struct Format {
  std::string_view name;
  std::string_view summary;
  Scheme weights;
  Scheme activations;
};

std::span<const Format> all_formats();
// Error that lists the formats where there is none of this name.
const Format& find_format(std::string_view name);

// Bits per weight, scales included (f32 scales): 8 + 32 / in for one scale per output channel.
double effective_weight_bits(const Format& format, int64_t in_features);

// The range of an op's input over the calibration data.
struct InputRange {
  float min = 0;
  float max = 0;
};

// Quantized and dequantized weight, f32. w [out, in].
void fake_quantize_weight(Threads threads, const Format& format, Matrix<const float> w,
                          Matrix<float> quantized);

// Quantized and dequantized input. range: only for calibrated formats.
void fake_quantize_input(Threads threads, const Format& format, Matrix<const float> x,
                         const std::optional<InputRange>& range, Matrix<float> quantized);

}  // namespace qsweep::quant
