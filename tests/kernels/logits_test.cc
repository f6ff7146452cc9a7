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

constexpr Threads kThreads{2};
constexpr int64_t kVocabulary = 333, kParentRows = 4, kDeltaRows = 9, kOutRows = 7;

class LogitsTest : public PerTarget {};
INSTANTIATE_PER_TARGET(LogitsTest);

struct Data {
  std::vector<float> z, d;
  std::vector<RowBlock> blocks{{.rows = 3, .parent = 1, .in = {6, kAbsent, kAbsent}, .out = 0},
                               {.rows = 2, .parent = 0, .in = {1, kAbsent, kAbsent}, .out = 4}};
  std::vector<int32_t> target{0, -1, kVocabulary - 1, 100};

  explicit Data(double scale) {
    Rng rng(11);
    z = normals(rng, kParentRows * kVocabulary, 5);
    d = normals(rng, kDeltaRows * kVocabulary, scale);
    // The largest logit twice, in two tiles: the first one counts.
    z[50] = z[250] = 40;
    d[kVocabulary + 50] = d[kVocabulary + 250] = 0.25f;
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

Result run(const Data& data, int64_t tile) {
  Result result;
  for (int64_t first = 0; first < kVocabulary; first += tile)
    update_normalizers(kThreads, data.part(data.z, kParentRows, first, std::min(tile, kVocabulary - first)),
                       first, result.normalizers);
  for (int64_t first = 0; first < kVocabulary; first += tile) {
    const int64_t cols = std::min(tile, kVocabulary - first);
    const auto z = data.part(data.z, kParentRows, first, cols);
    const Matrix<double> p(result.p.data() + first, kParentRows, cols, kVocabulary);
    probabilities(kThreads, z, result.normalizers, p);
    accumulate_logits(kThreads, data.blocks, z, p, data.part(data.d, kDeltaRows, first, cols), first,
                      data.target, result.sums);
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
    squared += d * d;
    mean += p * d;
    absolute_mean += p * std::fabs(d);
    curvature += p * curvature_of(d);
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
  EXPECT_EQ(got.target_delta, target < 0 ? 0.0 : data.change(row, target));
}

TEST_P(LogitsTest, SumsMatchF64WholeAndStreamed) {
  for (const double scale : {1e-6, 1e-2, 1.0, 20.0}) {
    const Data data(scale);
    for (const int64_t tile : {kVocabulary, int64_t{1}, int64_t{7}, int64_t{64}, kVocabulary - 1}) {
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
  const Data data(1);
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

TEST_P(LogitsTest, HugeLogitsDoNotOverflow) {
  const std::vector<float> z{3000, -3000, 2999, 3e4f, 3e4f, -3e30f};
  std::vector<LogitsNormalizer> rows(2);
  std::vector<double> p(6);
  update_normalizers(kThreads, Matrix<const float>(z.data(), 2, 3), 0, rows);
  probabilities(kThreads, Matrix<const float>(z.data(), 2, 3), rows, {p.data(), 2, 3});
  EXPECT_NEAR(p[0], 1 / (1 + std::exp(-1.0)), 1e-12);
  EXPECT_EQ(p[1], 0);
  EXPECT_NEAR(p[3], 0.5, 1e-11);
  EXPECT_EQ(p[5], 0);
}

}  // namespace
}  // namespace qsweep::kernels
