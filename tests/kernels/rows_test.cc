// Row kernels with an exact answer, on every instruction set: conversions, sums, rotations, rows by index,
// reductions. Every matrix is a part of a wider one whose other columns must stay as they are.
#include "kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "kernels/padded.h"
#include "kernels/per_target.h"
#include "kernels/row_moves.h"
#include "tensor/tensor.h"

namespace qsweep::kernels {
namespace {

constexpr int64_t kWidths[] = {1, 3, 16, 37};
constexpr int64_t kRows = 5;

class RowsTest : public PerTarget {};
INSTANTIATE_PER_DEVICE(RowsTest);

TEST_P(RowsTest, Add) {
  for (const int64_t n : kWidths) {
    const Padded a = Padded::random(1, kRows, n), b = Padded::random(2, kRows, n);
    Padded sum(kRows, n);
    add(device(), on(a.matrix()), on(b.matrix()), on(sum.matrix()));
    expect_elements(sum, [&](int64_t r, int64_t c) { return a.at(r, c) + b.at(r, c); });
  }
}

TEST_P(RowsTest, ConversionsRoundOnce) {
  for (const int64_t n : kWidths) {
    const Padded x = Padded::random(3, kRows, n);
    Padded copy(kRows, n);
    convert(device(), on(x.matrix()), on(copy.view()));
    expect_elements(copy, [&](int64_t r, int64_t c) { return x.at(r, c); });

    std::vector<bf16> narrow(static_cast<size_t>(kRows * n));
    convert(device(), on(x.matrix()), on(MatrixView{narrow.data(), DType::bf16, kRows, n, n}));
    std::vector<f16> half;
    for (const bf16 v : narrow) half.push_back(to_f16(to_float(v)));
    std::vector<float> wide(narrow.size()), from_half(narrow.size()), from_float(narrow.size());
    const auto widen = [&](DType dtype, const void* data, std::vector<float>& y) {
      to_f32(device(), on(TensorView{dtype, {kRows, n}, static_cast<const std::byte*>(data)}),
             on(Matrix(y.data(), kRows, n)));
    };
    widen(DType::bf16, narrow.data(), wide);
    widen(DType::f16, half.data(), from_half);
    widen(DType::f32, wide.data(), from_float);
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < n; ++c) {
        const auto i = static_cast<size_t>(r * n + c);
        EXPECT_EQ(wide[i], to_float(to_bf16(x.at(r, c))));
        EXPECT_EQ(from_half[i], to_float(half[i]));
        EXPECT_EQ(from_float[i], wide[i]);
      }
  }
}

TEST_P(RowsTest, AddToParentWithAndWithoutADelta) {
  for (const int64_t n : kWidths) {
    const Padded parent = Padded::random(4, 7, n);
    Padded d = Padded::random(5, 9, n), y(8, n);
    const std::vector<RowBlock> blocks{{.rows = 3, .parent = 4, .in = {5, kAbsent, kAbsent}, .out = 1},
                                       {.rows = 2, .parent = 0, .out = 6}};
    add_to_parent(device(), blocks, on(parent.matrix()), on(d.view()), on(y.view()));
    const auto want = [&](int64_t r, int64_t c) {
      if (r >= 1 && r < 4) return parent.at(r + 3, c) + d.at(r + 4, c);
      return r >= 6 ? parent.at(r - 6, c) : kUntouched;
    };
    expect_elements(y, want);

    std::vector<bf16> d16 = d.narrow(), y16 = Padded(8, n).narrow();
    add_to_parent(device(), blocks, on(parent.matrix()),
                  on(MatrixView{d16.data(), DType::bf16, 9, n, n + kPadding}),
                  on(MatrixView{y16.data(), DType::bf16, 8, n, n + kPadding}));
    for (int64_t c = 0; c < n; ++c) {
      const float changed = parent.at(4, c) + to_float(to_bf16(d.at(5, c)));
      EXPECT_EQ(y16[static_cast<size_t>(n + kPadding + c)].bits, to_bf16(changed).bits);
    }

    Padded wide(8, n);
    add_to_parent(device(), blocks, on(parent.matrix()),
                  on(MatrixView{d16.data(), DType::bf16, 9, n, n + kPadding}), on(wide.view()));
    expect_elements(wide, [&](int64_t r, int64_t c) {
      return r >= 1 && r < 4 ? parent.at(r + 3, c) + to_float(to_bf16(d.at(r + 4, c))) : want(r, c);
    });
  }
}

TEST_P(RowsTest, SubtractParentWithAndWithoutRows) {
  const std::vector<RowBlock> blocks{{.rows = 3, .parent = 4, .in = {5, kAbsent, kAbsent}, .out = 1},
                                     {.rows = 2, .parent = 0, .out = 6}};
  for (const int64_t n : kWidths) {
    const Padded parent = Padded::random(4, 7, n);
    Padded a = Padded::random(5, 9, n), y(8, n);
    const auto want = [&](int64_t r, int64_t c) {
      if (r >= 1 && r < 4) return a.at(r + 4, c) - parent.at(r + 3, c);
      return r >= 6 ? 0 - parent.at(r - 6, c) : kUntouched;
    };
    subtract_parent(device(), blocks, on(a.view()), on(parent.matrix()), on(y.view()));
    expect_elements(y, want);

    std::vector<bf16> y16 = Padded(8, n).narrow();
    subtract_parent(device(), blocks, on(a.view()), on(parent.matrix()),
                    on(MatrixView{y16.data(), DType::bf16, 8, n, n + kPadding}));
    for (int64_t c = 0; c < n; ++c)
      EXPECT_EQ(y16[static_cast<size_t>(n + kPadding + c)].bits, to_bf16(want(1, c)).bits);
  }
}

TEST_P(RowsTest, GatherFillsMissingRowsWithZeros) {
  const std::vector<int64_t> source{4, kAbsent, 0, 4, 2};
  for (const int64_t n : kWidths) {
    const Padded x = Padded::random(6, kRows, n);
    Padded y(kRows, n);
    gather(device(), on(source), on(x.matrix()), on(y.matrix()));
    expect_elements(y, [&](int64_t r, int64_t c) {
      const int64_t from = source[static_cast<size_t>(r)];
      return from == kAbsent ? 0.0f : x.at(from, c);
    });
  }
}

TEST_P(RowsTest, RotationTurnsPairsOfTheTwoHalves) {
  constexpr int64_t head_dim = 10, n = 3 * head_dim, half = head_dim / 2;
  const Padded x = Padded::random(7, kRows, n);
  Padded table(kRows, head_dim), y(kRows, n);
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(r) / static_cast<double>(i + 1);
      table.matrix().row(r)[i] = static_cast<float>(std::cos(angle));
      table.matrix().row(r)[half + i] = static_cast<float>(std::sin(angle));
    }
  rotate(device(), on(x.matrix()), on(table.matrix()), on(y.matrix()));
  expect_elements(y, [&](int64_t r, int64_t c) {
    const int64_t head = c / head_dim * head_dim, i = c % half;
    const float cos = table.at(r, i), sin = table.at(r, half + i);
    const float a = x.at(r, head + i), b = x.at(r, head + half + i);
    return c - head < half ? a * cos - b * sin : b * cos + a * sin;
  });
}

TEST_P(RowsTest, RotationBackIsTheOppositeAngles) {
  constexpr int64_t head_dim = 6, n = 2 * head_dim, half = head_dim / 2;
  Padded x = Padded::random(8, kRows, n), table = Padded::random(10, kRows, head_dim), y(kRows, n);
  const RowBlock whole{.rows = kRows, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0};
  rotate_back(device(), {&whole, 1}, on(table.matrix()), on(x.view()), on(y.view()));
  expect_elements(y, [&](int64_t r, int64_t c) {
    const int64_t head = c / head_dim * head_dim, i = c % half;
    const float cos = table.at(r, i), sin = table.at(r, half + i);
    const float a = x.at(r, head + i), b = x.at(r, head + half + i);
    return c - head < half ? a * cos + b * sin : b * cos - a * sin;
  });
}

// Input rows 1 and 3 go to output row 0, none to row 1, row 0 to row 2; for two blocks.
TEST_P(RowsTest, SumsOfRowsByIndex) {
  const std::vector<int64_t> start{0, 2, 2, 3}, readers{1, 3, 0};
  for (const int64_t n : kWidths) {
    Padded x = Padded::random(11, 8, n), y(6, n);
    const RowBlock blocks[] = {{.rows = 3, .parent = 0, .in = {4, kAbsent, kAbsent}, .out = 0},
                               {.rows = 3, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 3}};
    sum_rows(device(), blocks, on(start), on(readers), on(x.view()), on(y.view()));
    expect_elements(y, [&](int64_t r, int64_t c) {
      const int64_t first = r < 3 ? 4 : 0;
      return r % 3 == 0 ? x.at(first + 1, c) + x.at(first + 3, c) : r % 3 == 1 ? 0 : x.at(first, c);
    });
    std::vector<bf16> narrow = x.narrow(), sums(static_cast<size_t>(6 * n));
    sum_rows(device(), blocks, on(start), on(readers),
             on(MatrixView{narrow.data(), DType::bf16, 8, n, n + kPadding}),
             on(MatrixView{sums.data(), DType::bf16, 6, n, n}));
    for (int64_t c = 0; c < n; ++c) {  // added in f32, rounded once
      const auto wide = [&](int64_t r) {
        return to_float(narrow[static_cast<size_t>(r * (n + kPadding) + c)]);
      };
      EXPECT_EQ(sums[static_cast<size_t>(c)].bits, to_bf16(wide(5) + wide(7)).bits);
    }
  }
}

TEST_P(RowsTest, Reductions) {
  for (const int64_t n : kWidths) {
    Padded x = Padded::random(9, kRows, n);
    for (int64_t c = 0; c < n; ++c) {
      x.matrix().row(1)[c] = std::fabs(x.at(1, c));   // all positive
      x.matrix().row(2)[c] = -std::fabs(x.at(2, c));  // all negative
      x.matrix().row(3)[c] = 0;
    }
    std::vector<float> absmax(kRows), min(kRows), max(kRows);
    std::vector<double> squares(kRows);
    row_absmax(device(), on(x.matrix()), on(absmax));
    row_min_max(device(), on(x.matrix()), on(min), on(max));
    row_squared_norm(device(), on(x.view()), on(squares));
    double all = 7;
    squared_norm(device(), on(x.view()), on(&all, 1));
    const double of_rows = std::accumulate(squares.begin(), squares.end(), 0.0);
    EXPECT_TRUE(std::fabs(all - of_rows) <= 1e-15 * kRows * of_rows) << all << " " << of_rows;
    for (int64_t r = 0; r < kRows; ++r) {
      const auto i = static_cast<size_t>(r);
      const float *begin = x.matrix().row(r), *end = begin + n;
      EXPECT_EQ(min[i], *std::min_element(begin, end));
      EXPECT_EQ(max[i], *std::max_element(begin, end));
      EXPECT_EQ(absmax[i], std::max(-min[i], max[i]));
      double sum = 0;
      for (const float* v = begin; v < end; ++v) sum += static_cast<double>(*v) * *v;
      EXPECT_TRUE(std::fabs(squares[i] - sum) <= 1e-15 * static_cast<double>(n) * sum)
          << squares[i] << " " << sum;
    }
  }
}

TEST_P(RowsTest, NoRowsAndNoBlocks) {
  std::vector<float> none;
  const Matrix<float> empty{none.data(), 0, 4};
  add(device(), on(empty), on(empty), on(empty));
  row_absmax(device(), on(empty), on(none));
  add_to_parent(device(), {}, on(empty), {}, {});
}

}  // namespace
}  // namespace qsweep::kernels
