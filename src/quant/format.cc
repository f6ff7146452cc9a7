#include "quant/format.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/ranges.h>

#include "base/trace.h"
#include "kernels/buffer.h"
#include "kernels/rows.h"

namespace qsweep::quant {
namespace {

using kernels::Grid;

// What a codec is, by its number.
struct CodecFacts {
  int bits;
  Grid grid;
  float low, high;
};
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
const CodecFacts& facts(Codec codec) { return kCodecs[static_cast<size_t>(codec)]; }

constexpr Scheme kFloat{};
constexpr Scheme per_row(Codec codec, ScaleRule rule = ScaleRule::absmax) {
  return {.codec = codec, .granularity = Granularity::per_row, .rule = rule};
}
constexpr Scheme per_group(Codec codec, int64_t group, ScaleRule rule, int scale_bits) {
  return {codec, Granularity::per_group, group, rule, scale_bits};
}
constexpr Scheme int4_groups(int64_t group) { return per_group(Codec::int4, group, ScaleRule::absmax, 16); }
constexpr Scheme mx(Codec codec) { return per_group(codec, 32, ScaleRule::power_of_two, 8); }
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
};

bool integer_weights(const Format& format) { return facts(format.weights.codec).grid == Grid::integers; }

// Whether a scale of the whole tensor takes part.
bool uses_tensor_absmax(const Scheme& scheme) {
  return scheme.codec != Codec::none &&
         (scheme.granularity == Granularity::per_tensor || scheme.rule == ScaleRule::two_level);
}

kernels::AffineQuantizer uint8_quantizer(const Scheme& scheme, const Range* range) {
  return {.range = range, .half_span = scheme.rule == ScaleRule::half_span};
}

// Of rows of `cols` elements. tensor: what uses_tensor_absmax asks for.
kernels::GroupQuantizer symmetric_quantizer(const Scheme& scheme, int64_t cols, const Range* tensor) {
  const CodecFacts& codec = facts(scheme.codec);
  return {.grid = codec.grid,
          .low = codec.low,
          .high = codec.high,
          .rule = scheme.rule,
          .group = scheme.granularity == Granularity::per_group ? scheme.group : cols,
          .tensor = tensor,
          .one_scale = scheme.granularity == Granularity::per_tensor};
}

void copy(Device device, Matrix<const float> x, Matrix<float> y) {
  kernels::convert(device, x, {y.data, DType::f32, y.rows, y.cols, y.stride});
}

const Format* row_of(std::string_view name) {
  const auto row = std::ranges::find(kFormats, name, &Format::name);
  return row == std::end(kFormats) ? nullptr : &*row;
}

std::string known_names() {
  std::vector<std::string_view> names;
  for (const Format& format : kFormats) names.push_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

bool quantizes_weights(const Format& format) { return format.weights.codec != Codec::none; }
bool quantizes_activations(const Format& format) { return format.activations.codec != Codec::none; }

std::span<const Format> all_formats() { return kFormats; }

const Format& find_format(std::string_view name) {
  const Format* format = row_of(name);
  if (format == nullptr) fail("unknown format \"{}\"; known: {}", name, known_names());
  return *format;
}

std::vector<const Format*> find_formats(std::string_view name_or_preset) {
  const bool integers = name_or_preset == "int", floats = name_or_preset == "fp",
             all = name_or_preset == "all";
  if (!integers && !floats && !all) {
    const Format* format = row_of(name_or_preset);
    if (format == nullptr)
      fail("unknown format \"{}\"; known: {}; presets: int, fp, all", name_or_preset, known_names());
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

bool needs_weight_range(const Format& format) { return uses_tensor_absmax(format.weights); }

namespace {

// Calls body(device, first, rows) with rows [begin, end) of a stored weight, so many elements of it at a
// time, widened. The weight is seen as rows of `cols` elements.
template <class Body>
void widened_pieces(Device device, const TensorView& weight, int64_t cols, int64_t begin, int64_t end,
                    int64_t piece_elems, Body&& body) {
  const int64_t block = std::clamp<int64_t>(piece_elems / cols, 1, std::max<int64_t>(end - begin, 1));
  kernels::Buffer widened;
  if (weight.dtype != DType::f32) widened = kernels::Buffer(device, DType::f32, block, cols);
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    const TensorView some{weight.dtype, {count, cols}, weight.data + first * cols * size_bytes(weight.dtype)};
    if (weight.dtype == DType::f32) {
      body(device, first, Matrix<const float>(some.as<float>().data(), count, cols));
      continue;
    }
    const Matrix<float> buffer = widened.matrix<float>().rows_at(0, count);
    kernels::to_f32(device, some, buffer);
    body(device, first, Matrix<const float>(buffer));
  }
}

// The same for all rows: on the CPU on all threads, in pieces that stay in their caches.
template <class Body>
void widened_rows(Device device, const TensorView& weight, int64_t cols, Body&& body) {
  constexpr int64_t kCachedElems = 8192, kGpuElems = int64_t{1} << 23;
  const int64_t rows = weight.elements() / cols;
  if (device.gpu != nullptr) return widened_pieces(device, weight, cols, 0, rows, kGpuElems, body);
  parallel_for(device.threads, rows, [&](int64_t begin, int64_t end) {
    widened_pieces(Threads{1}, weight, cols, begin, end, kCachedElems, body);
  });
}

}  // namespace

void find_weight_range(Device device, const TensorView& weight, kernels::RangePlace to) {
  const int64_t cols = weight.shape.back(), rows = weight.elements() / cols;
  const kernels::Buffer min(device, DType::f32, 1, rows), max(device, DType::f32, 1, rows);
  widened_rows(device, weight, cols, [&](Device on, int64_t first, Matrix<const float> w) {
    const auto place = [&](const kernels::Buffer& all) {
      return all.elements<float>().subspan(static_cast<size_t>(first), static_cast<size_t>(w.rows));
    };
    kernels::row_min_max(on, w, place(min), place(max));
  });
  kernels::join_ranges(device, min.elements<float>(), max.elements<float>(), to);
}

namespace {

// The range of a whole weight where the format asks for it: the given one, or what find(range) finds.
class WholeRange {
 public:
  template <class Find>
  WholeRange(Device device, const Format& format, const Range* given, Find&& find) : range_(given) {
    if (given != nullptr || !needs_weight_range(format)) return;
    own_ = kernels::Buffer(device, DType::u8, 1, sizeof(Range));
    const auto place = static_cast<Range*>(own_.data());
    find(place);
    range_ = place;
  }
  const Range* get() const { return range_; }

 private:
  kernels::Buffer own_;
  const Range* range_;
};

}  // namespace

void fake_quantize_weight(Device device, const Format& format, Matrix<const float> w, const Range* whole,
                          Matrix<float> quantized) {
  if (!quantizes_weights(format)) return copy(device, w, quantized);
  QSWEEP_CHECK(format.weights.codec != Codec::uint8 && !format.weights.calibrated,
               "weights of {} would need a calibrated range", format.name);
  const WholeRange range(device, format, whole, [&](Range* own) { kernels::find_range(device, w, own); });
  kernels::fake_quantize_groups(device, symmetric_quantizer(format.weights, w.cols, range.get()), w,
                                quantized);
}

void quantize_stored_weight(Device device, const Format& format, WeightPart part, const TensorView& weight,
                            const Range* whole, kernels::DeltaView result) {
  const trace::Span span("quantize weights", format.name);
  QSWEEP_CHECK(result.stride == result.cols && result.rows * result.cols == weight.elements(),
               "{} elements into [{}, {}]", weight.elements(), result.rows, result.cols);
  const WholeRange range(device, format, whole, [&](Range* own) { find_weight_range(device, weight, own); });
  const int64_t cols = format.weights.in_stored_rows ? weight.shape.back() : result.cols;
  widened_rows(device, weight, cols, [&](Device on, int64_t first, Matrix<const float> w) {
    const kernels::Buffer quantized(on, DType::f32, w.rows, cols);
    fake_quantize_weight(on, format, w, range.get(), quantized.matrix<float>());
    const kernels::DeltaView to{static_cast<std::byte*>(result.data) + first * cols * result.element_bytes(),
                                result.dtype, w.rows, cols, cols};
    const kernels::RowBlock all{.rows = w.rows, .parent = 0, .in = {0, kernels::kAbsent, kernels::kAbsent}};
    if (part == WeightPart::error) {
      kernels::subtract_parent(on, {&all, 1}, quantized.view(), w, to);
    } else {
      kernels::convert(on, quantized.matrix<float>(), to);
    }
  });
}

void fake_quantize_input(Device device, const Format& format, Matrix<const float> x, const Range* range,
                         Matrix<float> quantized) {
  const trace::Span span("quantize inputs", format.name);
  const Scheme& scheme = format.activations;
  if (!quantizes_activations(format)) return copy(device, x, quantized);
  QSWEEP_CHECK(scheme.calibrated || (!uses_tensor_absmax(scheme) && scheme.codec != Codec::uint8),
               "inputs of {} need a calibrated range", format.name);
  QSWEEP_CHECK(!scheme.calibrated || range != nullptr, "{} needs a range", format.name);
  if (scheme.codec == Codec::uint8)
    return kernels::fake_quantize_affine(device, uint8_quantizer(scheme, range), x, quantized);
  kernels::fake_quantize_groups(device, symmetric_quantizer(scheme, x.cols, range), x, quantized);
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

void weight_codes(Device device, const Format& format, const TensorView& weight, const Range* whole,
                  Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums) {
  const trace::Span span("quantize weights", format.name);
  QSWEEP_CHECK(codes.rows * codes.cols == weight.elements(), "{} elements into [{}, {}]", weight.elements(),
               codes.rows, codes.cols);
  const WholeRange range(device, format, whole, [&](Range* own) { find_weight_range(device, weight, own); });
  const kernels::GroupQuantizer quantizer = symmetric_quantizer(format.weights, codes.cols, range.get());
  widened_rows(device, weight, codes.cols, [&](Device on, int64_t first, Matrix<const float> w) {
    const auto begin = static_cast<size_t>(first), count = static_cast<size_t>(w.rows);
    kernels::quantize_rows(on, quantizer, w, codes.rows_at(first, w.rows), scale.subspan(begin, count),
                           sums.subspan(begin, count));
  });
}

DType input_code_dtype(const Format& format, bool takes_uint8) {
  return format.activations.codec == Codec::uint8 && takes_uint8 ? DType::u8 : DType::i8;
}

std::optional<kernels::AffineQuantizer> input_codes(Device device, const Format& format,
                                                    Matrix<const float> x, const Range* range,
                                                    kernels::DeltaView codes, std::span<float> row_scale) {
  const trace::Span span("quantize inputs", format.name);
  const Scheme& scheme = format.activations;
  QSWEEP_CHECK(!scheme.calibrated || range != nullptr, "{} needs a range", format.name);
  if (scheme.codec != Codec::uint8) {
    kernels::quantize_rows(device, symmetric_quantizer(scheme, x.cols, range), x, codes.as<int8_t>(),
                           row_scale, {});
    return {};
  }
  const kernels::AffineQuantizer quantizer = uint8_quantizer(scheme, range);
  kernels::quantize_affine(device, quantizer, x, codes);
  return quantizer;
}

}  // namespace qsweep::quant
