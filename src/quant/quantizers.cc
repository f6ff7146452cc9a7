#include "quant/quantizers.h"

#include <algorithm>

#include "base/trace.h"
#include "kernels/buffer.h"

namespace qsweep::quant {
namespace {

// Whether a scale of the whole tensor takes part.
bool uses_tensor_absmax(const Scheme& scheme) {
  return scheme.codec != Codec::none &&
         (scheme.granularity == Granularity::per_tensor || scheme.rule == ScaleRule::two_level);
}

kernels::AffineQuantizer uint8_quantizer(const Scheme& scheme, const Range* range) {
  return {.range = range, .half_span = scheme.rule == ScaleRule::half_span};
}

// Of rows of `cols` elements; of a cache, of a head's. tensor: what uses_tensor_absmax asks for.
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

bool needs_weight_range(const Format& format) { return uses_tensor_absmax(format.weights); }

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
                            const Range* whole, MatrixView result) {
  const trace::Span span("quantize weights", format.name);
  QSWEEP_CHECK(result.stride == result.cols && result.rows * result.cols == weight.elements(),
               "{} elements into [{}, {}]", weight.elements(), result.rows, result.cols);
  const WholeRange range(device, format, whole, [&](Range* own) { find_weight_range(device, weight, own); });
  const int64_t cols = format.weights.in_stored_rows ? weight.shape.back() : result.cols;
  widened_rows(device, weight, cols, [&](Device on, int64_t first, Matrix<const float> w) {
    const kernels::Buffer quantized(on, DType::f32, w.rows, cols);
    fake_quantize_weight(on, format, w, range.get(), quantized.matrix<float>());
    const MatrixView to{static_cast<std::byte*>(result.data) + first * cols * result.element_bytes(),
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

void fake_quantize_cache(Device device, const Format& format, int64_t head_dim, Matrix<const float> x,
                         const Range* keys, const Range* values, Matrix<float> quantized) {
  const trace::Span span("quantize inputs", format.name);
  const Scheme& scheme = format.activations;
  const int64_t width = x.cols / 2;
  QSWEEP_CHECK(format.of_caches && width % head_dim == 0, "{} for {} columns, heads of {}", format.name,
               x.cols, head_dim);
  QSWEEP_CHECK(!scheme.calibrated || (keys != nullptr && values != nullptr), "{} needs ranges", format.name);
  QSWEEP_CHECK(scheme.granularity != Granularity::per_group || head_dim % scheme.group == 0,
               "{}: blocks of {} in heads of {}", format.name, scheme.group, head_dim);
  kernels::fake_quantize_groups(device, symmetric_quantizer(scheme, head_dim, keys), x.cols_at(0, width),
                                quantized.cols_at(0, width));
  kernels::fake_quantize_groups(device, symmetric_quantizer(scheme, head_dim, values),
                                x.cols_at(width, width), quantized.cols_at(width, width));
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
                                                    MatrixView codes, std::span<float> row_scale) {
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
