// What formats do to weights and inputs.
#pragma once

#include <optional>
#include <span>

#include "kernels/rows.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace qsweep::quant {

using kernels::Device;
using kernels::Range;

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
                            const Range* whole, MatrixView result);

// Quantized and dequantized input. range: of the op's input over the calibration data; only for calibrated
// formats.
void fake_quantize_input(Device device, const Format& format, Matrix<const float> x, const Range* range,
                         Matrix<float> quantized);

// The same of a cache: x is keys beside values, each of as many heads of head_dim. Ranges: of the keys and of
// the values over the calibration data.
void fake_quantize_cache(Device device, const Format& format, int64_t head_dim, Matrix<const float> x,
                         const Range* keys, const Range* values, Matrix<float> quantized);

// --- codes, for formats with has_integer_products: Q(x) Q(W)^T from int8 or uint8 and int8.

// Of a stored weight: codes [out, in], and per row their scale and their sum.
void weight_codes(Device device, const Format& format, const TensorView& weight, const Range* whole,
                  Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums);

// takes_uint8: whether products take uint8; else such codes are less 128.
DType input_code_dtype(const Format& format, bool takes_uint8);
// Of an input: codes [rows, in] of that dtype, and either their scale per row or, where none is returned
// there, the quantizer that they all have.
std::optional<kernels::AffineQuantizer> input_codes(Device device, const Format& format,
                                                    Matrix<const float> x, const Range* range,
                                                    MatrixView codes, std::span<float> row_scale);

}  // namespace qsweep::quant
