// The bodies of the kernels that unpack weights. Compiled once per instruction set and for CUDA, in the words
// of lanes.h.
#include <bit>

#include "base/codec.h"
#include "kernels/lanes.h"
#include "kernels/unpack.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

QSWEEP_KERNEL void CopyStrided(int64_t begin, int64_t end, const void* x, int64_t row_step,
                               int64_t column_step, MatrixView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      L::copy_apart(y.cols, static_cast<const T*>(x) + r * row_step, column_step, y.as<T>().row(r), 1);
  };
  y.dtype == DType::f32 ? run(static_cast<float*>(nullptr)) : run(static_cast<bf16*>(nullptr));
}

QSWEEP_KERNEL float value_of_e4m3(uint32_t code) {
  const uint32_t sign = (code & 0x80) << 24, rest = code & 0x7f;
  const float size = rest < 8 ? static_cast<float>(rest) * 0x1p-9f
                              : std::bit_cast<float>((rest << 20) + (uint32_t{120} << 23));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(size) | sign);
}

QSWEEP_KERNEL float value_of_e2m1(uint32_t code) {
  const uint32_t exponent = code >> 1 & 3, mantissa = code & 1;
  const float size = exponent == 0 ? 0.5f * static_cast<float>(mantissa)
                                   : 0.25f * static_cast<float>((2 + mantissa) << exponent);
  return (code & 8) != 0 ? -size : size;
}

// Column c of a row of codes, less `zero`.
template <Codes kind>
QSWEEP_KERNEL float number(const uint8_t* row, int64_t c, int32_t zero) {
  const uint32_t code = bits_of(kind) == 8 ? row[c] : row[c / 2] >> (c % 2 * 4) & 15u;
  if constexpr (kind == Codes::e4m3) return value_of_e4m3(code);
  if constexpr (kind == Codes::e2m1) return value_of_e2m1(code);
  if constexpr (kind == Codes::i8) return static_cast<float>(static_cast<int8_t>(code));
  return static_cast<float>(static_cast<int32_t>(code) - zero);
}

// Of a row of the blocks and a column of blocks.
template <Codes kind>
QSWEEP_KERNEL int32_t zero_at(const ScaledCodes& s, int64_t row, int64_t column) {
  constexpr int bits = bits_of(kind);
  if (s.zeros == nullptr) return 1 << (bits - 1);
  const int64_t bit = row % (32 / bits) * bits;
  const uint8_t* word = s.zeros + (row / (32 / bits) * s.scale_columns + column) * 4;
  return word[bit / 8] >> bit % 8 & ((1 << bits) - 1);
}

QSWEEP_KERNEL float scale_at(const void* scales, DType dtype, int64_t i) {
  if (dtype == DType::f32) return static_cast<const float*>(scales)[i];
  if (dtype == DType::bf16) return to_float(static_cast<const bf16*>(scales)[i]);
  if (dtype == DType::f16) return to_float(static_cast<const f16*>(scales)[i]);
  if (dtype == DType::f8_e4m3) return value_of_e4m3(static_cast<const uint8_t*>(scales)[i]);
  const uint32_t exponent = static_cast<const uint8_t*>(scales)[i];
  return exponent == 0 ? 0x1p-127f : std::bit_cast<float>(exponent << 23);
}

QSWEEP_KERNEL float scale_at(const ScaledCodes& s, int64_t i) {
  const float scale = scale_at(s.scales, s.scale_dtype, i);
  if (s.whole == nullptr) return scale;
  return s.divided ? scale / *s.whole : scale * *s.whole;
}

QSWEEP_KERNEL void put(float value, float* to) { *to = value; }
QSWEEP_KERNEL void put(float value, bf16* to) { *to = to_bf16(value); }

template <Codes kind, class T>
QSWEEP_KERNEL void scale_row(const ScaledCodes& s, int64_t r, int64_t n, T* y) {
  const int64_t at = s.first + r * s.every, row = s.above + at;
  const uint8_t* codes = s.codes + at * s.row_bytes;
  const int64_t blocks = row / s.block_rows * s.scale_columns;
  const auto columns = static_cast<uint32_t>(s.block_columns);
  L::each_part(n, 1, [&](auto part, int64_t c) QSWEEP_LANES {
    const int64_t column = static_cast<uint32_t>(c) / columns;
    const float value = number<kind>(codes, c, zero_at<kind>(s, row, column)) * scale_at(s, blocks + column);
    part.once([&] QSWEEP_LANES { put(value, y + c); });
  });
}

template <Codes kind>
QSWEEP_KERNEL void scale_rows(int64_t begin, int64_t end, const ScaledCodes& s, MatrixView y) {
  for (int64_t r = begin; r < end; ++r)
    y.dtype == DType::f32 ? scale_row<kind>(s, r, y.cols, y.as<float>().row(r))
                          : scale_row<kind>(s, r, y.cols, y.as<bf16>().row(r));
}

QSWEEP_KERNEL void ScaleCodes(int64_t begin, int64_t end, ScaledCodes s, MatrixView y) {
  switch (s.kind) {
    case Codes::e4m3:
      return scale_rows<Codes::e4m3>(begin, end, s, y);
    case Codes::i8:
      return scale_rows<Codes::i8>(begin, end, s, y);
    case Codes::u8:
      return scale_rows<Codes::u8>(begin, end, s, y);
    case Codes::u4:
      return scale_rows<Codes::u4>(begin, end, s, y);
    case Codes::e2m1:
      return scale_rows<Codes::e2m1>(begin, end, s, y);
  }
}

// Wherever it begins in memory.
QSWEEP_KERNEL uint32_t word_at(const uint8_t* words, int64_t i) {
  const uint8_t* w = words + 4 * i;
  return w[0] | uint32_t{w[1]} << 8 | uint32_t{w[2]} << 16 | uint32_t{w[3]} << 24;
}

// Of a word of neighbouring codes the one at this place of the row or column.
QSWEEP_KERNEL int32_t code_in(uint32_t word, int64_t place, int bits, bool in_turns) {
  constexpr uint32_t kPlaces = 0x73625140;  // of 0, 1, 2 and so on in the order 0, 2, 4, 6, 1, 3, 5, 7
  const auto at = static_cast<uint32_t>(place % (32 / bits));
  const uint32_t nibble = in_turns ? kPlaces >> (4 * at) & 15u : at;
  return static_cast<int32_t>(word >> (nibble * static_cast<uint32_t>(bits)) & ((1u << bits) - 1));
}

QSWEEP_KERNEL float number_at(const ColumnCodes& s, int64_t row, int64_t c) {
  const bool in_turns = s.words == ColumnCodes::Words::of_columns;
  const int64_t in_word = 32 / s.bits, words = s.rows / in_word;
  const int64_t group = s.groups != nullptr ? word_at(s.groups, c) : c / s.columns_of_group;
  const int32_t zero = code_in(word_at(s.zeros, group * words + row / in_word), row, s.bits, in_turns);
  const int32_t code = in_turns ? code_in(word_at(s.codes, c * words + row / in_word), row, s.bits, true)
                                : code_in(word_at(s.codes, c / in_word * s.rows + row), c, s.bits, false);
  return static_cast<float>(code - zero - s.zero_offset) *
         scale_at(s.scales, s.scale_dtype, group * s.rows + row);
}

QSWEEP_KERNEL void ScaleColumns(int64_t begin, int64_t end, ColumnCodes s, MatrixView y) {
  for (int64_t r = begin; r < end; ++r)
    L::each_part(y.cols, 1, [&](auto part, int64_t c) QSWEEP_LANES {
      const float value = number_at(s, s.first + r, c);
      part.once([&] QSWEEP_LANES {
        y.dtype == DType::f32 ? put(value, y.as<float>().row(r) + c) : put(value, y.as<bf16>().row(r) + c);
      });
    });
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
