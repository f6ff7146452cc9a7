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
  DType scale_dtype = {};        // f32, bf16 or f16; u8: of 2^(code - 127)
  int64_t scale_columns = 1;
  // Of u8 and u4, each column of blocks in words of 32 bits: [rows of words, block columns]. null: 128 and 8.
  const uint8_t* zeros = nullptr;
};

// y[r, c] = (code - zero point) * scale, computed in f32; y is f32 or bf16.
void scale_codes(Device device, const ScaledCodes& codes, MatrixView y);

}  // namespace qsweep::kernels
