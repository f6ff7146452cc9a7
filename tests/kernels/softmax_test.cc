// Attention probabilities and their changes against f64, on every instruction set.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/per_target.h"
#include "kernels/rows.h"
#include "support/compare.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

using qsweep::testing::normal;
using qsweep::testing::relative_error;

// One row of logits and its change.
struct Change {
  std::string name;
  std::function<double(Rng&, size_t)> logit, change;
  float sink = -std::numeric_limits<float>::infinity();
};

class SoftmaxTest : public PerTarget {
 protected:
  void expect_change(const Change& change, int64_t keys);
  // The tile with what its queries see, in the device's memory until the call is over.
  AttentionTile with(AttentionTile tile, const std::vector<KeyRange>& visible) {
    tile.visible = on(visible).data();
    return tile;
  }
};
INSTANTIATE_PER_DEVICE(SoftmaxTest);

std::vector<double> exact_softmax(const std::vector<double>& s) {
  const double top = *std::ranges::max_element(s);
  std::vector<double> p(s.size());
  double sum = 0;
  for (size_t i = 0; i < s.size(); ++i) sum += p[i] = std::exp(s[i] - top);
  for (double& v : p) v /= sum;
  return p;
}

TEST_P(SoftmaxTest, RowsSeeRangesOfKeys) {
  const AttentionTile tile{.heads = 2, .queries = 6, .keys = 24, .scale = 0.375f, .first_key = 100};
  const std::vector<KeyRange> visible{{100, 120}, {100, 121}, {103, 122}, {120, 123}, {107, 124}, {117, 118}};
  const int64_t rows = tile.heads * tile.queries;
  Rng rng(1);
  const std::vector<float> raw = qsweep::testing::normals(rng, rows * tile.keys, 10);
  std::vector<float> s = raw, p(raw.size(), NAN), lse(static_cast<size_t>(rows));
  std::vector<int32_t> argmax(static_cast<size_t>(rows));
  softmax(device(), with(tile, visible), on(Matrix(s.data(), rows, tile.keys)),
          on(Matrix(p.data(), rows, tile.keys)), on(lse), on(argmax));
  for (int64_t r = 0; r < rows; ++r) {
    const KeyRange keys = visible[static_cast<size_t>(r % tile.queries)];
    const int64_t from = keys.from - tile.first_key, to = keys.to - tile.first_key;
    const float *raw_row = raw.data() + r * tile.keys, *p_row = p.data() + r * tile.keys;
    std::vector<double> scaled;
    for (int64_t c = from; c < to; ++c) {
      EXPECT_EQ(s[static_cast<size_t>(r * tile.keys + c)], raw_row[c] * tile.scale);
      scaled.push_back(raw_row[c] * tile.scale);
    }
    const std::vector<double> exact = exact_softmax(scaled);
    // A few ulp of exp and of the sum of the terms.
    EXPECT_TRUE(relative_error(std::span(p_row + from, exact.size()), std::span<const double>(exact)) <=
                static_cast<double>(to - from + 8) * 0x1p-24);
    for (int64_t c = 0; c < tile.keys; ++c) EXPECT_TRUE((c >= from && c < to) || p_row[c] == 0.0f);
    const auto top = std::ranges::max_element(scaled);
    EXPECT_EQ(argmax[static_cast<size_t>(r)], from + (top - scaled.begin()));
    const double exact_lse = *top - std::log(exact[static_cast<size_t>(top - scaled.begin())]);
    EXPECT_TRUE(std::fabs(lse[static_cast<size_t>(r)] - exact_lse) <=
                0x1p-20 * std::max(1.0, std::fabs(exact_lse)));
  }
}

// P_j (e^(c_j - dlse) - 1), exact where P' - P itself would cancel even in f64; long double neither overflows
// nor underflows here.
std::vector<double> exact_change(const std::vector<float>& s, const std::vector<float>& ds, long double scale,
                                 float sink) {
  const auto top = static_cast<size_t>(std::ranges::max_element(s) - s.begin());
  std::vector<long double> p, c;
  const long double moves = scale * ds[top], of_sink = std::exp(sink - scale * s[top]);
  const long double common = of_sink > 1 ? 0 : moves;
  long double sum = of_sink, change = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    p.push_back(std::exp(scale * (static_cast<long double>(s[i]) - s[top])));
    c.push_back(of_sink > 1 ? scale * ds[i] : scale * (static_cast<long double>(ds[i]) - ds[top]));
    sum += p[i];
  }
  for (size_t i = 0; i < s.size(); ++i) change += (p[i] /= sum) * std::expm1(c[i]);
  if (of_sink > 0) change += of_sink / sum * std::expm1(-common);
  std::vector<double> want;
  for (size_t i = 0; i < s.size(); ++i)
    want.push_back(static_cast<double>(p[i] * std::expm1(c[i] - std::log1p(change))));
  return want;
}

std::vector<Change> changes() {
  const auto spread = [](Rng& rng, size_t) { return 70 * normal(rng); };
  const auto ordinary = [](Rng& rng, size_t) { return normal(rng); };
  const auto small = [](Rng& rng, size_t) { return 1e-4 * normal(rng); };
  return {
      {"small", ordinary, small},
      {"tiny", ordinary, [](Rng& rng, size_t) { return 1e-7 * normal(rng); }},
      {"large", ordinary, [](Rng& rng, size_t) { return 3 * normal(rng); }},
      {"spread", spread, small},
      {"peaked", [](Rng& rng, size_t i) { return i == 5 ? 15 : normal(rng); }, small},
      {"peaked_top_moves", [](Rng& rng, size_t i) { return i == 5 ? 15 : normal(rng); },
       [](Rng& rng, size_t i) { return i == 5 ? 1e-3 : 1e-6 * normal(rng); }},
      {"ties", [](Rng&, size_t) { return 2.0; }, small},
      // A common change of 64 with differences of 2^-11: exact in f32, lost if it is not taken out first.
      {"common_shift", ordinary,
       [](Rng& rng, size_t) { return 64 + std::ldexp(static_cast<double>(rng.below(64)), -11); }},
      // Another logit wins by far; its new exponential overflows relative to the old normalizer.
      {"winner_changes", ordinary, [](Rng& rng, size_t i) { return i == 3 ? 500 : normal(rng); }},
      {"underflowed_winner", [](Rng& rng, size_t i) { return i == 3 ? -200 : normal(rng); },
       [](Rng& rng, size_t i) { return i == 3 ? 200.5 : 0.01 * normal(rng); }},
      {"top_falls", [](Rng& rng, size_t i) { return i == 5 ? 150 : normal(rng); },
       [](Rng& rng, size_t i) { return i == 5 ? -160 : 0.1 * normal(rng); }},
      // A probability that is 0 in f32 grows to a billionth, which is most of the change.
      {"return_from_underflow", [](Rng& rng, size_t i) { return i == 3 ? -106 : normal(rng); },
       [](Rng& rng, size_t i) { return i == 3 ? 87 : 1e-12 * normal(rng); }},
      {"high_logits", [](Rng& rng, size_t) { return 400 + normal(rng); },
       [](Rng& rng, size_t) { return 3 * normal(rng); }},
      {"everything_falls_but_one", spread, [](Rng& rng, size_t) { return 100 * normal(rng); }},
      {"weak_sink", ordinary, small, -4},
      {"sink_as_a_key", ordinary, small, 1},
      {"strong_sink", ordinary, small, 12},
      {"strong_sink_common_shift", ordinary, [](Rng& rng, size_t) { return 2 + 1e-3 * normal(rng); }, 12},
      {"sink_of_a_peak", [](Rng& rng, size_t i) { return i == 5 ? 15 : normal(rng); }, small, 14},
      {"keys_fall_below_the_sink", ordinary, [](Rng& rng, size_t) { return -300 + normal(rng); }, -2},
      {"keys_rise_above_the_sink", ordinary, [](Rng& rng, size_t) { return 300 + normal(rng); }, 150},
      {"sink_returns_from_underflow", ordinary, [](Rng& rng, size_t) { return -150 + normal(rng); }, -140},
  };
}

// One row, as a tile of one query and one head: in f32, in bf16 and in place.
void SoftmaxTest::expect_change(const Change& change, int64_t keys) {
  const std::vector<float> sinks{change.sink};
  AttentionTile tile{.heads = 1, .queries = 1, .keys = keys, .scale = 0.5f};
  const auto with_sink = [&] {
    tile.sinks = on(sinks).data();
    return tile;
  };
  Rng rng(static_cast<uint64_t>(keys));
  std::vector<float> s, ds;
  for (int64_t c = 0; c < keys; ++c) {
    s.push_back(static_cast<float>(2 * change.logit(rng, static_cast<size_t>(c))));
    ds.push_back(static_cast<float>(2 * change.change(rng, static_cast<size_t>(c))));
  }
  const std::vector<double> want = exact_change(s, ds, 0.5, change.sink);
  std::vector<float> p(s.size()), lse(1), got(s.size() + 1, -99.0f);
  std::vector<int32_t> argmax(1);
  softmax(device(), with_sink(), on(Matrix(s.data(), 1, keys)), on(Matrix(p.data(), 1, keys)), on(lse),
          on(argmax));
  softmax_delta(device(), with_sink(), on(Matrix<const float>(s.data(), 1, keys)),
                on(Matrix<const float>(p.data(), 1, keys)), on(lse), on(argmax),
                on(Matrix<const float>(ds.data(), 1, keys)),
                on(MatrixView{got.data(), DType::f32, 1, keys, keys}));
  double error = 0, norm = 0;
  for (size_t c = 0; c < s.size(); ++c) {
    error += (got[c] - want[c]) * (got[c] - want[c]);
    norm += want[c] * want[c];
  }
  // Below the smallest normal float nothing is accurate.
  const double floor = static_cast<double>(keys) * std::numeric_limits<float>::min();
  EXPECT_TRUE(std::sqrt(error) <= 1e-5 * std::sqrt(norm) + floor)
      << change.name << ", " << keys << " keys: " << std::sqrt(error / norm);
  EXPECT_EQ(got.back(), -99.0f);

  std::vector<bf16> narrow(s.size());
  softmax_delta(device(), with_sink(), on(Matrix<const float>(s.data(), 1, keys)),
                on(Matrix<const float>(p.data(), 1, keys)), on(lse), on(argmax),
                on(Matrix<const float>(ds.data(), 1, keys)),
                on(MatrixView{narrow.data(), DType::bf16, 1, keys, keys}));
  for (size_t c = 0; c < s.size(); ++c) EXPECT_EQ(narrow[c].bits, to_bf16(got[c]).bits) << change.name;

  softmax_delta(device(), with_sink(), on(Matrix<const float>(s.data(), 1, keys)),
                on(Matrix<const float>(p.data(), 1, keys)), on(lse), on(argmax),
                on(Matrix<const float>(ds.data(), 1, keys)),
                on(MatrixView{ds.data(), DType::f32, 1, keys, keys}));
  EXPECT_TRUE(std::equal(ds.begin(), ds.end(), got.begin())) << change.name << ": in place";
}

TEST_P(SoftmaxTest, ChangesMatchDifferences) {
  for (const Change& change : changes())
    for (const int64_t keys : {6, 16, 71}) expect_change(change, keys);
}

// scale P_j (dp_j - sum P dp), of which only differences of dp matter.
std::vector<double> exact_vjp(const std::vector<float>& s, const std::vector<float>& dp, long double scale,
                              float sink) {
  const auto top = static_cast<size_t>(std::ranges::max_element(s) - s.begin());
  std::vector<long double> p;
  const long double of_sink = std::exp(sink - scale * s[top]), common = of_sink > 1 ? 0 : dp[top];
  long double sum = of_sink;
  for (const float v : s) sum += p.emplace_back(std::exp(scale * (static_cast<long double>(v) - s[top])));
  long double mean = -of_sink / sum * common;
  for (size_t i = 0; i < s.size(); ++i) mean += p[i] / sum * (static_cast<long double>(dp[i]) - common);
  std::vector<double> want;
  for (size_t i = 0; i < s.size(); ++i)
    want.push_back(
        static_cast<double>(scale * p[i] / sum * (static_cast<long double>(dp[i]) - common - mean)));
  return want;
}

// Row by row, so that a row whose gradient is small because it is peaked counts as much as any other.
TEST_P(SoftmaxTest, CotangentsMatchF64) {
  for (const Change& change : changes())
    for (const int64_t keys : {6, 16, 71}) {
      const int64_t probes = 3;
      AttentionTile tile{.heads = 2, .queries = 1, .keys = keys, .scale = 0.5f};
      const std::vector<float> sinks{change.sink, change.sink};
      const auto with_sinks = [&] {
        tile.sinks = on(sinks).data();
        return tile;
      };
      Rng rng(static_cast<uint64_t>(keys));
      std::vector<float> s, dp;
      for (int64_t i = 0; i < 2 * keys; ++i)
        s.push_back(static_cast<float>(2 * change.logit(rng, static_cast<size_t>(i % keys))));
      for (int64_t i = 0; i < probes * 2 * keys; ++i)
        dp.push_back(static_cast<float>(change.change(rng, static_cast<size_t>(i % keys))));
      std::vector<float> scaled = s, p(s.size()), lse(2), got(dp.size() + 1, -99.0f);
      std::vector<int32_t> argmax(2);
      softmax(device(), with_sinks(), on(Matrix(scaled.data(), 2, keys)), on(Matrix(p.data(), 2, keys)),
              on(lse), on(argmax));
      const Matrix<const float> p_rows(p.data(), 2, keys), dp_rows(dp.data(), probes * 2, keys);
      softmax_vjp(device(), with_sinks(), on(p_rows), on(lse), on(argmax), on(dp_rows),
                  on(MatrixView{got.data(), DType::f32, probes * 2, keys, keys}));
      for (int64_t r = 0; r < probes * 2; ++r) {
        const auto row = [&](const std::vector<float>& all, int64_t i) {
          return std::vector<float>(all.begin() + i * keys, all.begin() + (i + 1) * keys);
        };
        const std::vector<double> want = exact_vjp(row(s, r % 2), row(dp, r), 0.5, change.sink);
        double error = 0, norm = 0;
        for (size_t c = 0; c < want.size(); ++c) {
          error += std::pow(row(got, r)[c] - want[c], 2);
          norm += want[c] * want[c];
        }
        // Below the smallest normal float nothing is accurate; the changes reach 500.
        const double floor = 500 * static_cast<double>(keys) * std::numeric_limits<float>::min();
        EXPECT_TRUE(std::sqrt(error) <= 1e-5 * std::sqrt(norm) + floor)
            << change.name << ", " << keys << " keys, row " << r << ": " << std::sqrt(error / norm);
      }
      EXPECT_EQ(got.back(), -99.0f);

      std::vector<bf16> narrow(dp.size());
      softmax_vjp(device(), with_sinks(), on(p_rows), on(lse), on(argmax), on(dp_rows),
                  on(MatrixView{narrow.data(), DType::bf16, probes * 2, keys, keys}));
      for (size_t i = 0; i < dp.size(); ++i) EXPECT_EQ(narrow[i].bits, to_bf16(got[i]).bits) << change.name;
      softmax_vjp(device(), with_sinks(), on(p_rows), on(lse), on(argmax), on(dp_rows),
                  on(MatrixView{dp.data(), DType::f32, probes * 2, keys, keys}));
      EXPECT_TRUE(std::equal(dp.begin(), dp.end(), got.begin())) << change.name << ": in place";
    }
}

TEST_P(SoftmaxTest, ChangesAndCotangentsAreZeroWhereNothingIsVisible) {
  const AttentionTile tile{.heads = 1, .queries = 3, .keys = 5, .scale = 2};
  const std::vector<KeyRange> visible{{0, 3}, {0, 4}, {2, 5}};
  const std::vector<size_t> unseen{3, 4, 9, 10, 11};
  Rng rng(4);
  std::vector<float> s = qsweep::testing::normals(rng, 15), p(15), lse(3);
  std::vector<int32_t> argmax(3);
  softmax(device(), with(tile, visible), on(Matrix(s.data(), 3, 5)), on(Matrix(p.data(), 3, 5)), on(lse),
          on(argmax));
  std::vector<float> d = qsweep::testing::normals(rng, 15), dp(15, NAN), ds(15, NAN);
  for (const size_t i : unseen) s[i] = d[i] = NAN;
  const Matrix<const float> s_rows(s.data(), 3, 5), p_rows(p.data(), 3, 5), d_rows(d.data(), 3, 5);
  softmax_delta(device(), with(tile, visible), on(s_rows), on(p_rows), on(lse), on(argmax), on(d_rows),
                on(MatrixView{dp.data(), DType::f32, 3, 5, 5}));
  softmax_vjp(device(), with(tile, visible), on(p_rows), on(lse), on(argmax), on(d_rows),
              on(MatrixView{ds.data(), DType::f32, 3, 5, 5}));
  for (const std::vector<float>& got : {dp, ds})
    for (size_t i = 0; i < got.size(); ++i) {
      const bool is_unseen = std::ranges::find(unseen, i) != unseen.end();
      EXPECT_TRUE(is_unseen ? got[i] == 0 : std::isfinite(got[i]) && got[i] != 0) << i << ": " << got[i];
    }
}

}  // namespace
}  // namespace qsweep::kernels
