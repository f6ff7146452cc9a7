// Unpacked weights on every device against plain loops.
#include "kernels/unpack.h"

#include <array>
#include <cmath>
#include <utility>

#include "kernels/padded.h"
#include "kernels/per_target.h"

namespace qsweep::kernels {
namespace {

class UnpackTest : public PerTarget {};
INSTANTIATE_PER_DEVICE(UnpackTest);

TEST_P(UnpackTest, ElementsThatStandApartKeepTheirBits) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{5, 67}, {1, 3}, {33, 1}}) {
    const int64_t row_step = 2, column_step = 2 * rows + 3;  // every second column of [cols, 2 rows + 3]
    Rng rng(1);
    const std::vector<float> wide = testing::normals(rng, cols * column_step, 1);
    const auto at = [&](int64_t r, int64_t c) {
      return wide[static_cast<size_t>(1 + r * row_step + c * column_step)];
    };
    Padded y(rows, cols);
    copy_strided(device(), on(wide).data() + 1, row_step, column_step, on(y.view()));
    expect_elements(y, at);

    std::vector<bf16> narrow;
    for (const float v : wide) narrow.push_back(to_bf16(v));
    std::vector<bf16> copied(static_cast<size_t>(rows * cols));
    copy_strided(device(), on(std::as_const(narrow)).data() + 1, row_step, column_step,
                 on(MatrixView{copied.data(), DType::bf16, rows, cols, cols}));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        EXPECT_EQ(copied[static_cast<size_t>(r * cols + c)].bits, to_bf16(at(r, c)).bits);
  }
}

double decoded(Codes kind, int code) {
  const double sign = code & (bits_of(kind) == 8 ? 0x80 : 8) ? -1 : 1;
  switch (kind) {
    case Codes::e4m3:
      return (code & 0x78) == 0 ? sign * (code & 7) * 0x1p-9
                                : sign * std::ldexp(1 + (code & 7) / 8.0, (code >> 3 & 15) - 7);
    case Codes::e2m1:
      return sign * std::array{0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0}[static_cast<size_t>(code & 7)];
    case Codes::i8:
      return code < 128 ? code : code - 256;
    default:
      return code;
  }
}

struct Coded {
  Codes kind;
  DType scales;
  bool zeros;
};

TEST_P(UnpackTest, CodesTimesTheScalesOfTheirBlocks) {
  constexpr int64_t kStored = 23, kCols = 54, kBlockRows = 4, kBlockColumns = 20, kAcross = 3, kAbove = 3;
  for (const Coded& coded : {Coded{Codes::e4m3, DType::f32, false},
                             {Codes::e4m3, DType::bf16, false},
                             {Codes::i8, DType::f16, false},
                             {Codes::u8, DType::f32, false},
                             {Codes::u8, DType::f32, true},
                             {Codes::u4, DType::bf16, false},
                             {Codes::u4, DType::f32, true},
                             {Codes::e2m1, DType::u8, false}})
    for (const int64_t every : {1, 2}) {
      const int bits = bits_of(coded.kind);
      Rng rng(static_cast<uint64_t>(every));
      const auto bytes = [&](int64_t n, uint64_t below) {
        std::vector<uint8_t> made;
        for (int64_t i = 0; i < n; ++i) made.push_back(static_cast<uint8_t>(rng.below(below)));
        return made;
      };
      const int64_t row_bytes = kCols * bits / 8, rows = (kStored - 1 + every - 1) / every;
      std::vector<uint8_t> codes = bytes(kStored * row_bytes, 256);
      for (uint8_t& code : codes)
        if (coded.kind == Codes::e4m3 && (code & 0x7f) == 0x7f) code = 0x7e;
      const std::vector<uint8_t> zeros = bytes(7 * 4 * kAcross, 256);
      const int64_t blocks = 7 * kAcross;
      std::vector<float> wide = testing::normals(rng, blocks, 1);
      std::vector<uint8_t> exponents = bytes(blocks, 40);
      std::vector<bf16> halves(static_cast<size_t>(blocks));
      const void* scales = wide.data();
      for (size_t i = 0; i < wide.size(); ++i) {
        if (coded.scales == DType::u8) wide[i] = std::ldexp(1.0f, exponents[i] + 60);
        exponents[i] = static_cast<uint8_t>(exponents[i] + 187);
        const uint16_t half = coded.scales == DType::f16 ? to_f16(wide[i]).bits : to_bf16(wide[i]).bits;
        halves[i].bits = half;
        if (coded.scales == DType::bf16) wide[i] = to_float(halves[i]);
        if (coded.scales == DType::f16) wide[i] = to_float(f16{half});
      }
      if (coded.scales == DType::u8) scales = exponents.data();
      if (coded.scales == DType::bf16 || coded.scales == DType::f16) scales = halves.data();
      const auto want = [&](int64_t r, int64_t c) {
        const int64_t at = 1 + r * every, row = kAbove + at, column = c / kBlockColumns;
        const auto nibble = [&](const uint8_t* from, int64_t i) {
          return bits == 8 ? from[i] : i % 2 == 0 ? from[i / 2] & 15 : from[i / 2] >> 4;
        };
        const int code = nibble(&codes[static_cast<size_t>(at * row_bytes)], c);
        double value = decoded(coded.kind, code);
        if (coded.kind == Codes::u4 || coded.kind == Codes::u8) {
          const int64_t of_word = 32 / bits, word = (row / of_word * kAcross + column) * 4;
          value -= coded.zeros ? nibble(&zeros[static_cast<size_t>(word)], row % of_word) : 1 << (bits - 1);
        }
        return static_cast<float>(value * wide[static_cast<size_t>(row / kBlockRows * kAcross + column)]);
      };
      Padded y(rows, kCols);
      scale_codes(device(),
                  {.kind = coded.kind,
                   .codes = on(std::as_const(codes)).data(),
                   .row_bytes = row_bytes,
                   .first = 1,
                   .every = every,
                   .above = kAbove,
                   .block_rows = kBlockRows,
                   .block_columns = kBlockColumns,
                   .scales = on(static_cast<const uint8_t*>(scales), blocks * size_bytes(coded.scales)),
                   .scale_dtype = coded.scales,
                   .scale_columns = kAcross,
                   .zeros = coded.zeros ? on(zeros).data() : nullptr},
                  on(y.view()));
      expect_elements(y, want);
    }
}

TEST_P(UnpackTest, CodesByColumnsTimesTheScalesOfTheirGroups) {
  constexpr int64_t kRows = 16, kFirst = 3, kCols = 40, kGroups = 5;
  constexpr std::array<int, 8> kOfColumns{0, 4, 1, 5, 2, 6, 3, 7};  // AWQ's places
  for (const auto words : {ColumnCodes::Words::of_rows, ColumnCodes::Words::of_columns})
    for (const int bits : {4, 8}) {
      if (bits == 8 && words == ColumnCodes::Words::of_columns) continue;
      for (const bool ordered : {false, true}) {
        Rng rng(static_cast<uint64_t>(bits));
        const int64_t in_word = 32 / bits;
        const auto random = [&](int64_t n) {
          std::vector<uint8_t> bytes;
          for (int64_t i = 0; i < 4 * n; ++i) bytes.push_back(static_cast<uint8_t>(rng.below(256)));
          return bytes;
        };
        const std::vector<uint8_t> codes = random(kRows * kCols / in_word),
                                   zeros = random(kGroups * kRows / in_word);
        std::vector<int32_t> groups;
        for (int64_t c = 0; c < kCols; ++c)
          groups.push_back(static_cast<int32_t>(ordered ? rng.below(kGroups) : static_cast<uint64_t>(c / 8)));
        const std::vector<float> scales = testing::normals(rng, kGroups * kRows, 1);
        const bool turns = words == ColumnCodes::Words::of_columns;
        // Number `at` of word `word`, whose lowest byte comes first.
        const auto code_of = [&](const std::vector<uint8_t>& bytes, int64_t word, int64_t at, bool in_turns) {
          const int64_t bit = (in_turns ? kOfColumns[static_cast<size_t>(at)] : at) * bits;
          const int byte = bytes[static_cast<size_t>(4 * word + bit / 8)];
          return bits == 8 ? byte : byte >> bit % 8 & 15;
        };
        const auto want = [&](int64_t r, int64_t c) {
          const int64_t row = kFirst + r, group = groups[static_cast<size_t>(c)];
          const int code = turns ? code_of(codes, c * (kRows / 8) + row / 8, row % 8, true)
                                 : code_of(codes, c / in_word * kRows + row, c % in_word, false);
          const int zero =
              code_of(zeros, group * (kRows / in_word) + row / in_word, row % in_word, turns) + 1;
          return static_cast<float>(code - zero) * scales[static_cast<size_t>(group * kRows + row)];
        };
        Padded y(kRows - kFirst, kCols);
        scale_columns(
            device(),
            {.words = words,
             .bits = bits,
             .codes = on(codes).data(),
             .rows = kRows,
             .first = kFirst,
             .scales = on(scales).data(),
             .scale_dtype = DType::f32,
             .zeros = on(zeros).data(),
             .zero_offset = 1,
             .groups = ordered ? on(reinterpret_cast<const uint8_t*>(groups.data()), 4 * kCols) : nullptr,
             .columns_of_group = 8},
            on(y.view()));
        expect_elements(y, want);
      }
    }
}

}  // namespace
}  // namespace qsweep::kernels
