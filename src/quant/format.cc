#include "quant/format.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/ranges.h>

namespace qsweep::quant {
namespace {

constexpr Scheme kInt8PerRow{Codec::int8, Granularity::per_row, false};

constexpr Format kFormats[] = {
    {.name = "w8a8",
     .summary = "int8 weights per output channel, uint8 activations per tensor, calibrated",
     .weights = kInt8PerRow,
     .activations = {Codec::uint8, Granularity::per_tensor, true}},
    {.name = "w8a8_dynamic",
     .summary = "int8 weights per output channel, int8 activations per token",
     .weights = kInt8PerRow,
     .activations = kInt8PerRow},
};

constexpr float kInt8Max = 127, kUint8Max = 255;
constexpr double kScaleBits = 32;

void quantize_int8_rows(Threads threads, Matrix<const float> x, Matrix<float> y) {
  std::vector<float> scale(static_cast<size_t>(x.rows));
  kernels::row_absmax(threads, x, scale);
  for (float& s : scale) s /= kInt8Max;
  kernels::fake_quantize_rows(threads, x, scale, -kInt8Max, kInt8Max, y);
}

void quantize_uint8_tensor(Threads threads, Matrix<const float> x, const InputRange& range, Matrix<float> y) {
  const float low = std::min(range.min, 0.0f), high = std::max(range.max, 0.0f);
  const float scale = (high - low) / kUint8Max;
  const float zero_point = scale == 0 ? 0 : std::clamp(std::nearbyint(-low / scale), 0.0f, kUint8Max);
  kernels::fake_quantize_affine(threads, x, scale, zero_point, kUint8Max, y);
}

void apply(Threads threads, const Scheme& scheme, Matrix<const float> x,
           const std::optional<InputRange>& range, Matrix<float> y) {
  switch (scheme.codec) {
    case Codec::none:
      return kernels::convert(threads, x, {y.data, DType::f32, y.rows, y.cols, y.stride});
    case Codec::int8:
      QSWEEP_CHECK(scheme.granularity == Granularity::per_row && !scheme.calibrated, "int8 is per row");
      return quantize_int8_rows(threads, x, y);
    case Codec::uint8:
      QSWEEP_CHECK(scheme.granularity == Granularity::per_tensor && range.has_value(), "uint8 needs a range");
      return quantize_uint8_tensor(threads, x, *range, y);
  }
}

}  // namespace

std::span<const Format> all_formats() { return kFormats; }

const Format& find_format(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Format& format : kFormats) {
    if (format.name == name) return format;
    names.push_back(format.name);
  }
  fail("unknown format \"{}\"; known: {}", name, fmt::join(names, ", "));
}

double effective_weight_bits(const Format& format, int64_t in_features) {
  QSWEEP_CHECK(format.weights.codec == Codec::int8, "no bit count for the weights of {}", format.name);
  return 8 + kScaleBits / static_cast<double>(in_features);
}

void fake_quantize_weight(Threads threads, const Format& format, Matrix<const float> w,
                          Matrix<float> quantized) {
  apply(threads, format.weights, w, std::nullopt, quantized);
}

void fake_quantize_input(Threads threads, const Format& format, Matrix<const float> x,
                         const std::optional<InputRange>& range, Matrix<float> quantized) {
  apply(threads, format.activations, x, range, quantized);
}

}  // namespace qsweep::quant
