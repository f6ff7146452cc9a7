// A matrix that is part of a wider one whose other columns must stay as they are.
#pragma once

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/rows.h"
#include "support/random.h"

namespace qsweep::kernels {

inline constexpr int64_t kPadding = 3;
inline constexpr float kUntouched = -12288;

// A matrix with `kPadding` columns of kUntouched behind it.
struct Padded {
  int64_t rows, cols;
  std::vector<float> values;

  Padded(int64_t r, int64_t c)
      : rows(r), cols(c), values(static_cast<size_t>(r * (c + kPadding)), kUntouched) {}
  static Padded random(uint64_t seed, int64_t rows, int64_t cols, double scale = 1) {
    Padded m(rows, cols);
    Rng rng(seed);
    for (int64_t r = 0; r < rows; ++r)
      std::ranges::copy(testing::normals(rng, cols, scale), m.matrix().row(r));
    return m;
  }

  Matrix<float> matrix() { return {values.data(), rows, cols, cols + kPadding}; }
  Matrix<const float> matrix() const { return {values.data(), rows, cols, cols + kPadding}; }
  float at(int64_t r, int64_t c) const { return matrix().row(r)[c]; }
  MatrixView view() { return {values.data(), DType::f32, rows, cols, cols + kPadding}; }
  std::vector<bf16> narrow() const {
    std::vector<bf16> n;
    for (const float v : values) n.push_back(to_bf16(v));
    return n;
  }
  bool padding_untouched() const {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = cols; c < cols + kPadding; ++c)
        if (at(r, c) != kUntouched) return false;
    return true;
  }
};

// want(r, c) for every element of y, bit for bit (NaN fails).
template <class Want>
void expect_elements(const Padded& y, Want&& want) {
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t c = 0; c < y.cols; ++c) EXPECT_EQ(y.at(r, c), want(r, c)) << "row " << r << ", column " << c;
  EXPECT_TRUE(y.padding_untouched());
}

}  // namespace qsweep::kernels
