// Row kernels that make plain matrices of weights that a checkpoint stores in other ways.
#pragma once

#include <cstdint>

#include "kernels/device.h"
#include "tensor/matrix_view.h"

namespace qsweep::kernels {

// y[r, c] = x[r * row_step + c * column_step], elements of y's dtype (bf16, f16 or f32), which keep their
// bits.
void copy_strided(Device device, const void* x, int64_t row_step, int64_t column_step, MatrixView y);

// How numbers are written before they are scaled.
enum class Codes {
  e4m3,  // a byte: a float with 4 bits of exponent and 3 of mantissa
  i8,    // a byte in two's complement
  u8,    // a byte, less 128 or the zero point
  u4,    // four bits, the lower half of a byte first, less 8 or the zero point
  e2m1,  // four bits, the lower half of a byte first: a float with 2 bits of exponent and 1 of mantissa
};
constexpr int bits_of(Codes codes) { return codes == Codes::u4 || codes == Codes::e2m1 ? 4 : 8; }

// Rows of codes with a scale for each block of rows and columns. Row r of the matrix is row first + r * every
// of the codes, and that is row `above` + first + r * every of the blocks.
struct ScaledCodes {
  Codes kind = {};
  const uint8_t* codes = nullptr;
  int64_t row_bytes = 0;
  int64_t first = 0, every = 1, above = 0;
  int64_t block_rows = 1, block_columns = 1;
  const void* scales = nullptr;  // [block rows, block columns]
  DType scale_dtype = {};        // f32, bf16, f16 or e4m3; u8: of 2^(code - 127)
  int64_t scale_columns = 1;
  const float* whole = nullptr;  // what all scales are multiplied by, or divided; null: 1
  bool divided = false;
  // Of u8 and u4, each column of blocks in words of 32 bits: [rows of words, block columns]. null: 128 and 8.
  const uint8_t* zeros = nullptr;
};

// y[r, c] = (code - zero point) * scale, computed in f32; y is f32 or bf16.
void scale_codes(Device device, const ScaledCodes& codes, MatrixView y);

// Codes by columns, of which groups share a scale for each row, as GPTQ and AWQ write them. Words of 32 bits
// hold neighbouring codes of a row (GPTQ: [columns / 8, rows]) or of a column (AWQ: [columns, rows / 8], in
// the order 0, 2, 4, 6, 1, 3, 5, 7); zero points are [groups, rows / 8] in either, in the same order.
struct ColumnCodes {
  enum class Words { of_rows, of_columns };
  Words words = {};
  int bits = 4;  // or 8, of rows alone
  const uint8_t* codes = nullptr;
  int64_t rows = 0;  // of the matrix of codes; row r of y is row first + r
  int64_t first = 0;
  const void* scales = nullptr;  // [groups, rows]
  DType scale_dtype = {};        // f32, bf16 or f16
  const uint8_t* zeros = nullptr;
  int32_t zero_offset = 0;          // added to what stands there
  const uint8_t* groups = nullptr;  // of columns, as 32 bits each; null: so many neighbours each
  int64_t columns_of_group = 1;
};

// The same of these.
void scale_columns(Device device, const ColumnCodes& codes, MatrixView y);

}  // namespace qsweep::kernels
