// Output metrics of logits against a naive f64 computation, whole and streamed over tiles of the vocabulary.
#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/per_target.h"
#include "kernels/rows.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

using qsweep::testing::normals;

constexpr int64_t kVocabulary = 333, kParentRows = 4, kDeltaRows = 9, kOutRows = 7;

struct Data {
  std::vector<float> z, d;
  std::vector<RowBlock> blocks{{.rows = 3, .parent = 1, .in = {6, kAbsent, kAbsent}, .out = 0},
                               {.rows = 2, .parent = 0, .in = {1, kAbsent, kAbsent}, .out = 4}};
  std::vector<int32_t> target{0, -1, kVocabulary - 1, 100};

  double common;  // added to every change, and taken out again as the rows' shift

  Data(double scale, float shift) : common(shift) {
    Rng rng(11);
    z = normals(rng, kParentRows * kVocabulary, 5);
    d = normals(rng, kDeltaRows * kVocabulary, scale);
    for (float& v : d) v += shift;
    // The largest logit twice, in two tiles: the first one counts.
    z[50] = z[250] = 40;
    d[kVocabulary + 50] = d[kVocabulary + 250] = shift + 0.25f;
  }
  float logit(int64_t r, int64_t c) const { return z[static_cast<size_t>(r * kVocabulary + c)]; }
  float change(int64_t r, int64_t c) const { return d[static_cast<size_t>(r * kVocabulary + c)]; }
  // Columns [first, first + cols) of all rows.
  Matrix<const float> part(const std::vector<float>& m, int64_t rows, int64_t first, int64_t cols) const {
    return Matrix<const float>(m.data(), rows, kVocabulary).cols_at(first, cols);
  }
};

struct Result {
  std::vector<LogitsNormalizer> normalizers = std::vector<LogitsNormalizer>(kParentRows);
  std::vector<double> p = std::vector<double>(kParentRows * kVocabulary);
  std::vector<LogitsSums> sums = std::vector<LogitsSums>(kOutRows);
};

class LogitsTest : public PerTarget {
 protected:
  Result run(const Data& data, int64_t tile);
};
INSTANTIATE_PER_DEVICE(LogitsTest);

Result LogitsTest::run(const Data& data, int64_t tile) {
  Result result;
  for (LogitsSums& sums : result.sums) sums.shift = data.common;
  for (int64_t first = 0; first < kVocabulary; first += tile)
    update_normalizers(device(),
                       on(data.part(data.z, kParentRows, first, std::min(tile, kVocabulary - first))), first,
                       on(result.normalizers));
  for (int64_t first = 0; first < kVocabulary; first += tile) {
    const int64_t cols = std::min(tile, kVocabulary - first);
    const auto z = data.part(data.z, kParentRows, first, cols);
    const Matrix<double> p(result.p.data() + first, kParentRows, cols, kVocabulary);
    probabilities(device(), on(z), on(result.normalizers), on(p));
    accumulate_logits(device(), data.blocks, on(z), on(p), on(data.part(data.d, kDeltaRows, first, cols)),
                      first, on(data.target), on(result.sums));
  }
  return result;
}

// e^x - 1 - x in long double.
long double curvature_of(long double x) {
  if (std::fabs(x) > 0.1L) return std::expm1(x) - x;
  return x * x / 2 *
         (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7 * (1 + x / 8 * (1 + x / 9)))))));
}

void expect_close(double got, long double want, long double absolute_terms, const char* what) {
  EXPECT_TRUE(std::fabs(got - want) <= 1e-13L * absolute_terms) << what << ": " << got << ", exact " << want;
}

void expect_row(const Data& data, const Result& result, const RowBlock& b, int64_t r) {
  const int64_t parent = b.parent + r, row = b.in[0] + r;
  long double sum = 0;
  for (int64_t c = 0; c < kVocabulary; ++c) sum += std::exp(static_cast<long double>(data.logit(parent, c)));
  long double squared = 0, mean = 0, absolute_mean = 0, curvature = 0;
  double best = -INFINITY;
  int64_t argmax = -1;
  for (int64_t c = 0; c < kVocabulary; ++c) {
    const long double d = data.change(row, c),
                      p = std::exp(static_cast<long double>(data.logit(parent, c))) / sum;
    expect_close(result.p[static_cast<size_t>(parent * kVocabulary + c)], p, p, "probability");
    const long double rest = d - data.common;
    squared += d * d;
    mean += p * rest;
    absolute_mean += p * std::fabs(rest);
    curvature += p * curvature_of(rest);
    const double changed = static_cast<double>(data.logit(parent, c)) + data.change(row, c);
    if (changed > best) {
      best = changed;
      argmax = c;
    }
  }
  const LogitsSums& got = result.sums[static_cast<size_t>(b.out + r)];
  expect_close(got.squared, squared, squared, "squared");
  expect_close(got.mean, mean, absolute_mean, "mean");
  expect_close(got.curvature, curvature, curvature, "curvature");
  EXPECT_EQ(got.best, best);
  EXPECT_EQ(got.argmax, argmax);
  const int32_t target = data.target[static_cast<size_t>(parent)];
  EXPECT_EQ(got.target_delta, target < 0 ? 0.0 : data.change(row, target) - data.common);
}

TEST_P(LogitsTest, SumsMatchF64WholeAndStreamed) {
  const std::pair<double, float> changes[] = {{1e-6, 0}, {1e-2, 0}, {1, 0}, {20, 0}, {0.1, 0.5f}, {1, 900}};
  for (const auto& [scale, common] : changes) {
    const Data data(scale, common);
    for (const int64_t tile : {kVocabulary, int64_t{3}, int64_t{7}, int64_t{64}, kVocabulary - 1}) {
      const Result result = run(data, tile);
      for (const RowBlock& b : data.blocks)
        for (int64_t r = 0; r < b.rows; ++r) expect_row(data, result, b, r);
      // Row 3 belongs to no block.
      EXPECT_EQ(result.sums[3].argmax, -1);
      EXPECT_EQ(result.sums[3].squared, 0);
    }
  }
}

TEST_P(LogitsTest, NormalizersAreTheLogSumExp) {
  const Data data(1, 0);
  for (const int64_t tile : {kVocabulary, int64_t{5}}) {
    const Result result = run(data, tile);
    for (int64_t r = 0; r < kParentRows; ++r) {
      long double sum = 0;
      for (int64_t c = 0; c < kVocabulary; ++c) sum += std::exp(static_cast<long double>(data.logit(r, c)));
      const LogitsNormalizer& n = result.normalizers[static_cast<size_t>(r)];
      expect_close(n.max + std::log(n.sum), std::log(sum), std::log(sum), "log-sum-exp");
      EXPECT_EQ(n.max, data.logit(r, n.argmax));
    }
    EXPECT_EQ(result.normalizers[0].argmax, 50);
  }
}

TEST_P(LogitsTest, ShiftIsTheProductWithTheParentsDirection) {
  constexpr int64_t n = 29;
  Rng rng(12);
  std::vector<float> direction, d;
  for (int64_t i = 0; i < kParentRows * n; ++i) direction.push_back(static_cast<float>(rng.below(9)) - 4);
  for (int64_t i = 0; i < kDeltaRows * n; ++i) d.push_back(static_cast<float>(rng.below(9)) - 4);
  std::vector<bf16> d16;
  for (const float v : d) d16.push_back(to_bf16(v));
  const Data data(1, 0);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<LogitsSums> sums(kOutRows, LogitsSums{.shift = -1000});
    void* changes = dtype == DType::f32 ? static_cast<void*>(d.data()) : d16.data();
    shift_along(device(), data.blocks, on(Matrix<const float>(direction.data(), kParentRows, n)),
                on(MatrixView{changes, dtype, kDeltaRows, n, n}), on(sums));
    for (const RowBlock& b : data.blocks)
      for (int64_t r = 0; r < b.rows; ++r) {
        double want = 0;
        for (int64_t i = 0; i < n; ++i)
          want += direction[static_cast<size_t>((b.parent + r) * n + i)] *
                  d[static_cast<size_t>((b.in[0] + r) * n + i)];
        EXPECT_EQ(sums[static_cast<size_t>(b.out + r)].shift, want);
      }
    EXPECT_EQ(sums[3].shift, -1000);
  }
}

TEST_P(LogitsTest, HugeLogitsDoNotOverflow) {
  const std::vector<float> z{3000, -3000, 2999, 3e4f, 3e4f, -3e30f};
  std::vector<LogitsNormalizer> rows(2);
  std::vector<double> p(6);
  update_normalizers(device(), on(Matrix<const float>(z.data(), 2, 3)), 0, on(rows));
  probabilities(device(), on(Matrix<const float>(z.data(), 2, 3)), on(rows), on(Matrix(p.data(), 2, 3)));
  EXPECT_NEAR(p[0], 1 / (1 + std::exp(-1.0)), 1e-12);
  EXPECT_EQ(p[1], 0);
  EXPECT_NEAR(p[3], 0.5, 1e-11);
  EXPECT_EQ(p[5], 0);
}

}  // namespace
}  // namespace qsweep::kernels
