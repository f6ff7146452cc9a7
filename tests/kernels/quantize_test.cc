// The quantizers on every instruction set against the same rules written for one number at a time, with the
// scalar codecs of base/codec.h.
#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "kernels/padded.h"
#include "kernels/per_target.h"

namespace qsweep::kernels {
namespace {

constexpr int64_t kRows = 7;

class QuantizeTest : public PerTarget {
 protected:
  void expect_groups(const GroupQuantizer& q, const Padded& x);
  // The same quantizer with its range on the device.
  GroupQuantizer placed(GroupQuantizer q) {
    q.tensor = on(q.tensor, 1);
    return q;
  }
  AffineQuantizer placed(AffineQuantizer q) {
    q.range = on(q.range, 1);
    return q;
  }
};
INSTANTIATE_PER_DEVICE(QuantizeTest);

struct GridCase {
  Grid grid;
  float low, high;
};
constexpr GridCase kGrids[] = {{Grid::integers, -127, 127}, {Grid::integers, -128, 127},
                               {Grid::integers, -8, 7},     {Grid::e4m3, -448, 448},
                               {Grid::e3m2, -28, 28},       {Grid::e2m1, -6, 6}};
constexpr ScaleRule kRules[] = {ScaleRule::absmax,    ScaleRule::power_of_two, ScaleRule::power_of_two_up,
                                ScaleRule::two_level, ScaleRule::half_span,    ScaleRule::inverse};

float round_one(const GroupQuantizer& q, float x) {
  switch (q.grid) {
    case Grid::integers:
      return std::clamp(std::nearbyint(x), q.low, q.high);
    case Grid::e4m3:
      return round_to(kE4M3, x);
    case Grid::e3m2:
      return round_to(kE3M2, x);
    case Grid::e2m1:
      return round_to(kE2M1, x);
  }
  return NAN;
}

// Of a range in the host's memory, as the quantizers of these tests have it.
float tensor_absmax(const GroupQuantizer& q) { return std::max(-q.tensor->min, q.tensor->max); }

float scale_of(const GroupQuantizer& q, float absmax) {
  switch (q.rule) {
    case ScaleRule::absmax:
      return absmax / q.high;
    case ScaleRule::power_of_two:
      if (absmax == 0) return 0;
      return std::ldexp(1.0f, std::max(std::ilogb(absmax) - std::ilogb(q.high), -127));
    case ScaleRule::power_of_two_up: {
      int exponent = -127;
      while (std::ldexp(static_cast<double>(q.high), exponent) < static_cast<double>(absmax)) ++exponent;
      return std::ldexp(1.0f, exponent);
    }
    case ScaleRule::two_level: {
      const float t = tensor_absmax(q) / (q.high * 448);
      return q.high * t == 0 ? 0 : round_to(kE4M3, std::min(absmax / (q.high * t), 448.0f)) * t;
    }
    case ScaleRule::half_span:
      return std::max(absmax / ((q.high - q.low) / 2), 0x1p-23f);
    case ScaleRule::inverse:
      if (q.grid == Grid::integers) return absmax <= 0x1p-24f ? 0 : q.high / absmax;
      return absmax <= 0x1p-24f ? q.high : 1 / absmax * q.high;
  }
  return NAN;
}

float fake_quantized(const GroupQuantizer& q, float scale, float x) {
  if (scale == 0) return 0;
  if (q.rule == ScaleRule::half_span) return round_one(q, x * (1 / scale)) * scale;
  if (q.rule != ScaleRule::inverse) return round_one(q, x / scale) * scale;
  const float code = round_one(q, x * scale);
  return q.grid == Grid::integers ? code / scale : code * (1 / scale);
}

// Rows of very different size: zeros, subnormal, small, common, huge, and two with ties of every grid.
Padded inputs(int64_t n) {
  Padded x = Padded::random(8, kRows, n);
  constexpr float sizes[kRows] = {0, 1e-41f, 1e-30f, 1, 1e30f, 0, 0};
  Rng rng(9);
  for (int64_t c = 0; c < n; ++c) {
    for (int64_t r = 0; r < kRows; ++r) x.matrix().row(r)[c] *= sizes[r];
    x.matrix().row(5)[c] = static_cast<float>(c % 61 - 30) / 4;
    x.matrix().row(6)[c] = std::ldexp(c % 3 == 0 ? -1.5f : 1.0f, static_cast<int>(c % 41) - 20);
  }
  return x;
}

void QuantizeTest::expect_groups(const GroupQuantizer& q, const Padded& x) {
  Padded y(x.rows, x.cols);
  fake_quantize_groups(device(), placed(q), on(x.matrix()), on(y.matrix()));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; ++c) {
      const int64_t first = c / q.group * q.group, end = std::min(first + q.group, x.cols);
      float absmax = q.one_scale ? tensor_absmax(q) : 0;
      for (int64_t i = first; i < end && !q.one_scale; ++i) absmax = std::max(absmax, std::fabs(x.at(r, i)));
      const float want = fake_quantized(q, scale_of(q, absmax), x.at(r, c));
      ASSERT_EQ(y.at(r, c), want) << "row " << r << ", column " << c << ", x " << x.at(r, c) << ", grid "
                                  << static_cast<int>(q.grid) << ", rule " << static_cast<int>(q.rule)
                                  << ", group " << q.group;
    }
  }
  EXPECT_TRUE(y.padding_untouched());
}

TEST_P(QuantizeTest, EveryGridAndRule) {
  const Range range{-2.5f, 1};
  for (const int64_t n : {1, 16, 37, 200}) {
    const Padded x = inputs(n);
    for (const GridCase& grid : kGrids)
      for (const ScaleRule rule : kRules)
        for (const int64_t group : {int64_t{16}, int64_t{32}, n})
          expect_groups({grid.grid, grid.low, grid.high, rule, group, &range, false}, x);
  }
}

TEST_P(QuantizeTest, OneScaleForAll) {
  const Padded x = inputs(37);
  for (const GridCase& grid : kGrids)
    for (const ScaleRule rule : {ScaleRule::absmax, ScaleRule::half_span, ScaleRule::inverse})
      for (const float absmax : {0.0f, 1e-42f, 0x1p-24f, 3.0f, 3e30f}) {
        const Range range{-absmax / 2, absmax};
        expect_groups({grid.grid, grid.low, grid.high, rule, 37, &range, true}, x);
      }
}

// Scale 1: every value of the grid, the middle between it and its neighbour, and the numbers beside those.
TEST_P(QuantizeTest, TiesOfSmallFloats) {
  for (const GridCase& grid : kGrids) {
    if (grid.grid == Grid::integers) continue;
    const Range range{0, grid.high};
    GroupQuantizer q{grid.grid, grid.low, grid.high, ScaleRule::absmax, 0, &range, true};
    std::vector<float> values;
    for (float v = 0; v < grid.high;) {
      float next = v;
      for (float step = 0x1p-10f; next == v; step *= 2) next = round_one(q, v + step * 1.01f);
      const float middle = (v + next) / 2;
      for (const float x : {v, middle, std::nextafter(middle, v), std::nextafter(middle, next)})
        values.insert(values.end(), {x, -x});
      v = next;
    }
    values.insert(values.end(), {grid.high, 1.25f * grid.high, INFINITY, -INFINITY, 0x1p-149f, 0x1p-126f});
    std::vector<float> y(values.size());
    q.group = static_cast<int64_t>(values.size());
    fake_quantize_groups(device(), placed(q), on(Matrix(values.data(), 1, q.group)),
                         on(Matrix(y.data(), 1, q.group)));
    ASSERT_GT(values.size(), 50u);
    for (size_t i = 0; i < values.size(); ++i) {
      const float inside = std::clamp(values[i], grid.low, grid.high);
      EXPECT_EQ(y[i], round_one(q, inside)) << values[i];
    }
  }
}

// The rule of an affine quantizer.
struct AffineRule {
  float scale, zero_point;

  AffineRule(const Range& range, bool half_span) {
    const float low = std::min(range.min, 0.0f), high = std::max(range.max, 0.0f);
    scale = (high - low) / 255;
    if (half_span) scale = std::max(scale, 0x1p-23f);
    zero_point = scale == 0 ? 0 : std::clamp(std::nearbyint(-low / scale), 0.0f, 255.0f);
  }
};

constexpr Range kRanges[] = {{-77, 178}, {-3.3f, 1.7f},     {0.5f, 2},      {-2, -1},
                             {0, 0},     {-1e-43f, 1e-42f}, {-1e38f, 2e38f}};

TEST_P(QuantizeTest, Affine) {
  for (const int64_t n : {1, 16, 37}) {
    const Padded x = inputs(n);
    for (const Range& range : kRanges)
      for (const bool half_span : {false, true}) {
        const AffineRule rule(range, half_span);
        Padded y(kRows, n);
        fake_quantize_affine(device(), placed(AffineQuantizer{&range, half_span}), on(x.matrix()),
                             on(y.matrix()));
        expect_elements(y, [&](int64_t r, int64_t c) {
          if (rule.scale == 0) return 0.0f;
          const float steps = half_span ? x.at(r, c) * (1 / rule.scale) : x.at(r, c) / rule.scale;
          return (std::clamp(std::nearbyint(steps) + rule.zero_point, 0.0f, 255.0f) - rule.zero_point) *
                 rule.scale;
        });
      }
  }
}

// The codes of rows, times their scale, are what fake quantization gives: exactly where it multiplies, within
// the rounding of the inverse where it divides.
TEST_P(QuantizeTest, CodesOfRows) {
  for (const int64_t n : {1, 16, 37, 200})
    for (const GridCase& grid : kGrids)
      for (const ScaleRule rule : {ScaleRule::absmax, ScaleRule::half_span, ScaleRule::inverse})
        for (const bool one_scale : {false, true}) {
          if (grid.grid != Grid::integers) continue;
          Padded x = inputs(n);
          for (int64_t c = 0; c < n; ++c) x.matrix().row(4)[c] *= 1e-30f;  // f32 sums of codes times 1e30 end
          const Range range{-3, 2};
          const GroupQuantizer q{grid.grid, grid.low, grid.high, rule, n, &range, one_scale};
          Padded y(kRows, n);
          fake_quantize_groups(device(), placed(q), on(x.matrix()), on(y.matrix()));
          std::vector<int8_t> codes(static_cast<size_t>(kRows * (n + kPadding)), 99);
          std::vector<float> scale(kRows);
          std::vector<int32_t> sums(kRows);
          quantize_rows(device(), placed(q), on(x.matrix()), on(Matrix(codes.data(), kRows, n, n + kPadding)),
                        on(scale), on(sums));
          for (int64_t r = 0; r < kRows; ++r) {
            const int8_t* row = codes.data() + r * (n + kPadding);
            const float s = scale[static_cast<size_t>(r)];
            int32_t sum = 0;
            for (int64_t c = 0; c < n; ++c) {
              sum += row[c];
              const float slack = rule == ScaleRule::inverse ? 0x1p-22f * std::fabs(y.at(r, c)) : 0;
              ASSERT_LE(std::fabs(static_cast<float>(row[c]) * s - y.at(r, c)), slack)
                  << "row " << r << ", column " << c << ", x " << x.at(r, c) << ", rule "
                  << static_cast<int>(rule);
            }
            EXPECT_EQ(sums[static_cast<size_t>(r)], sum);
            EXPECT_TRUE(std::all_of(row + n, row + n + kPadding, [](int8_t v) { return v == 99; }));
          }
        }
}

TEST_P(QuantizeTest, AffineCodes) {
  for (const int64_t n : {1, 16, 37}) {
    const Padded x = inputs(n);
    for (const Range& range : kRanges)
      for (const DType dtype : {DType::u8, DType::i8}) {
        const AffineRule rule(range, false);
        Padded y(kRows, n);
        fake_quantize_affine(device(), placed(AffineQuantizer{&range}), on(x.matrix()), on(y.matrix()));
        std::vector<uint8_t> codes(static_cast<size_t>(kRows * n));
        quantize_affine(device(), placed(AffineQuantizer{&range}), on(x.matrix()),
                        on(MatrixView{codes.data(), dtype, kRows, n, n}));
        for (int64_t r = 0; r < kRows; ++r)
          for (int64_t c = 0; c < n; ++c) {
            const uint8_t byte = codes[static_cast<size_t>(r * n + c)];
            const int code = dtype == DType::u8 ? byte : static_cast<int8_t>(byte) + 128;
            ASSERT_EQ((static_cast<float>(code) - rule.zero_point) * rule.scale, y.at(r, c))
                << "row " << r << ", column " << c << ", x " << x.at(r, c);
          }
      }
  }
}

TEST_P(QuantizeTest, RangeOfAMatrix) {
  for (const int64_t n : {1, 16, 37, 200}) {
    const Padded x = Padded::random(5, kRows, n);
    Range range{7, 7};
    find_range(device(), on(x.matrix()), on(&range, 1));
    float low = INFINITY, high = -INFINITY;
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < n; ++c) low = std::min(low, x.at(r, c)), high = std::max(high, x.at(r, c));
    EXPECT_EQ(range.min, low);
    EXPECT_EQ(range.max, high);
  }
}

// Products near the end of 32 bits, so that single precision on the way would show.
TEST_P(QuantizeTest, Dequantize) {
  Rng rng(3);
  const Range range{-77, 178};  // scale 1, zero point 77
  for (const int64_t n : {1, 16, 37}) {
    std::vector<int32_t> products(static_cast<size_t>(kRows * n)), column_sum(static_cast<size_t>(n));
    for (int32_t& v : products) v = static_cast<int32_t>(rng.below(1u << 31)) - (1 << 30);
    for (int32_t& v : column_sum) v = static_cast<int32_t>(rng.below(1u << 22)) - (1 << 21);
    const std::vector<float> row_scale = testing::normals(rng, kRows),
                             column_scale = testing::normals(rng, n), bias = testing::normals(rng, n);
    Padded minus(kRows, n);
    const auto exact = [&](int64_t r, int64_t c, std::optional<DType> affine) {
      const auto row = static_cast<size_t>(r), column = static_cast<size_t>(c);
      double sum = products[row * static_cast<size_t>(n) + column];
      if (!affine) return sum * double{row_scale[row]} * column_scale[column];
      sum -= (affine == DType::u8 ? 77.0 : 77.0 - 128) * column_sum[column];
      return sum * column_scale[column] + bias[column];
    };
    for (const std::optional<DType> affine : {std::optional<DType>(), {DType::u8}, {DType::i8}}) {
      for (int64_t r = 0; r < kRows; ++r)  // nearly all of it: what is left has few digits in f32
        for (int64_t c = 0; c < n; ++c)
          minus.matrix().row(r)[c] = static_cast<float>(exact(r, c, affine) * 0.999);
      const auto from = [&] {
        IntegerProducts part{.products = on(Matrix(products.data(), kRows, n)),
                             .column_scale = on(column_scale).data()};
        if (!affine) {
          part.row_scale = on(row_scale).data();
        } else {
          part.affine = placed(AffineQuantizer{&range});
          part.affine_codes = *affine;
          part.column_sum = on(column_sum).data();
          part.bias = on(bias).data();
        }
        return part;
      };
      Padded y(kRows, n);
      dequantize(device(), from(), {}, on(y.matrix()));
      expect_elements(y, [&](int64_t r, int64_t c) { return static_cast<float>(exact(r, c, affine)); });
      dequantize(device(), from(), on(minus.matrix()), on(y.matrix()));
      expect_elements(
          y, [&](int64_t r, int64_t c) { return static_cast<float>(exact(r, c, affine) - minus.at(r, c)); });
    }
  }
}

TEST_P(QuantizeTest, NoRowsAndNoColumns) {
  float untouched = kUntouched;
  fake_quantize_groups(device(), {.high = 127, .group = 4}, on(Matrix(&untouched, 0, 4)),
                       on(Matrix(&untouched, 0, 4)));
  fake_quantize_groups(device(), {.high = 127, .group = 0}, on(Matrix(&untouched, 1, 0)),
                       on(Matrix(&untouched, 1, 0)));
  EXPECT_EQ(untouched, kUntouched);
}

TEST_P(QuantizeTest, NanIsNotHidden) {
  Padded x(3, 17), y(3, 17);
  for (int64_t c = 0; c < 17; ++c)  // alone, among zeros, among numbers
    for (int64_t r = 0; r < 3; ++r) x.matrix().row(r)[c] = r == 0 || c == 5 ? NAN : static_cast<float>(r - 1);
  const Range range{-1, 0.5f};
  const auto expect_nan = [&] {
    EXPECT_TRUE(std::isnan(y.at(0, 5)));
    EXPECT_TRUE(std::isnan(y.at(1, 5)));
    EXPECT_TRUE(std::isnan(y.at(2, 5)));
  };
  for (const GridCase& grid : kGrids)
    for (const ScaleRule rule : kRules) {
      fake_quantize_groups(device(),
                           placed(GroupQuantizer{grid.grid, grid.low, grid.high, rule, 16, &range, false}),
                           on(x.matrix()), on(y.matrix()));
      expect_nan();
    }
  fake_quantize_affine(device(), placed(AffineQuantizer{&range}), on(x.matrix()), on(y.matrix()));
  expect_nan();
}

}  // namespace
}  // namespace qsweep::kernels
