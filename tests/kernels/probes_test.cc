// Probes: what they are, element by element; that their squares have the mean they promise; products with
// errors.
#include "kernels/probes.h"

#include <cmath>

#include <gtest/gtest.h>

#include "kernels/per_target.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

constexpr int64_t kColumns = 131;  // of the vocabulary
constexpr int64_t kTile = 50;

struct Row {
  Runner& runner;
  std::vector<float> logits;
  std::vector<double> p;
  std::vector<LogitsNormalizer> normalizer{1};

  Row(Runner& test, uint64_t seed) : runner(test) {
    Rng rng(seed);
    logits = qsweep::testing::normals(rng, kColumns);
    for (float& z : logits) z *= 3;
    update_normalizers(runner.device(), runner.on(Matrix(logits.data(), 1, kColumns)), 0,
                       runner.on(normalizer));
    double total = 0;
    for (const float z : logits) total += std::exp(static_cast<double>(z));
    for (const float z : logits) p.push_back(std::exp(static_cast<double>(z)) / total);
  }

  // The probe's rows, tile by tile.
  std::vector<float> fill(ProbeKind kind, std::vector<ProbeRow> probes) const {
    for (int64_t first = 0; first < kColumns && kind == ProbeKind::fisher; first += kTile)
      kernels::add_projections(runner.device(), runner.on(probes), runner.on(tile(first)),
                               runner.on(normalizer), first);
    std::vector<float> u(probes.size() * static_cast<size_t>(kColumns));
    const auto rows = static_cast<int64_t>(probes.size());
    for (int64_t first = 0; first < kColumns; first += kTile) {
      const int64_t n = std::min(kTile, kColumns - first);
      kernels::fill_probes(runner.device(), kind, runner.on(probes), runner.on(tile(first)),
                           runner.on(normalizer), first,
                           runner.on(MatrixView{u.data() + first, DType::f32, rows, n, kColumns}));
    }
    return u;
  }
  Matrix<const float> tile(int64_t first) const {
    return {logits.data() + first, 1, std::min(kTile, kColumns - first), kColumns};
  }
};

std::vector<ProbeRow> streams(int n) {
  std::vector<ProbeRow> rows;
  for (int i = 0; i < n; ++i) rows.push_back({.stream = static_cast<uint64_t>(i) * 977 + 5});
  return rows;
}

class ProbesTest : public PerTarget {};
INSTANTIATE_PER_DEVICE(ProbesTest);

TEST_P(ProbesTest, RademacherProbesAreIndependentSigns) {
  const Row row(*this, 1);
  constexpr int kProbes = 400;
  const std::vector<float> u = row.fill(ProbeKind::rademacher, streams(kProbes));
  for (const float v : u) EXPECT_TRUE(v == 1 || v == -1);
  // Means of products of two columns, each of 400 signs: within five standard errors of 0, of 1 with
  // themselves.
  for (int64_t a = 0; a < kColumns; ++a)
    for (int64_t b = a + 1; b < kColumns; ++b) {
      double mean = 0;
      for (int k = 0; k < kProbes; ++k)
        mean += static_cast<double>(u[static_cast<size_t>(k * kColumns + a)] *
                                    u[static_cast<size_t>(k * kColumns + b)]) /
                kProbes;
      EXPECT_TRUE(std::abs(mean) <= 5.0 / std::sqrt(kProbes)) << a << " " << b;
    }
}

TEST_P(ProbesTest, FisherProbesHaveTheFisherMatrixAsTheirCovariance) {
  const Row row(*this, 2);
  constexpr int kProbes = 20000;
  const std::vector<float> u = row.fill(ProbeKind::fisher, streams(kProbes));
  Rng rng(3);
  for (int i = 0; i < 5; ++i) {  // along random directions d: the mean of (u d)^2 is sum p d^2 - (sum p d)^2
    const auto d = qsweep::testing::normals(rng, kColumns);
    double mean_square = 0, expected = 0, first = 0;
    for (int k = 0; k < kProbes; ++k) {
      double product = 0;
      for (size_t c = 0; c < d.size(); ++c)
        product += static_cast<double>(u[static_cast<size_t>(k) * d.size() + c]) * static_cast<double>(d[c]);
      mean_square += product * product / kProbes;
    }
    for (size_t c = 0; c < d.size(); ++c) {
      expected += row.p[c] * static_cast<double>(d[c]) * static_cast<double>(d[c]);
      first += row.p[c] * static_cast<double>(d[c]);
    }
    expected -= first * first;
    EXPECT_TRUE(std::abs(mean_square / expected - 1) <= 0.06) << mean_square << " " << expected;
  }
  for (int k = 0; k < 10; ++k) {  // softmax does not see a shift of the whole row
    double sum = 0;
    for (int64_t c = 0; c < kColumns; ++c)
      sum += static_cast<double>(u[static_cast<size_t>(k * kColumns + c)]);
    EXPECT_TRUE(std::abs(sum) <= 1e-5);
  }
}

TEST_P(ProbesTest, CrossEntropyIsTheGradientOfTheNegativeLogLikelihood) {
  const Row row(*this, 4);
  for (const int32_t target : {0, 49, 50, 130}) {
    const std::vector<float> u = row.fill(ProbeKind::cross_entropy, {{.target = target}});
    for (int64_t c = 0; c < kColumns; ++c) {
      const double want = row.p[static_cast<size_t>(c)] - (c == target ? 1 : 0);
      EXPECT_TRUE(std::abs(static_cast<double>(u[static_cast<size_t>(c)]) - want) <= 1e-6) << c;
    }
  }
}

TEST_P(ProbesTest, UnusedRowsAreZero) {
  const Row row(*this, 5);
  for (const ProbeKind kind : {ProbeKind::rademacher, ProbeKind::fisher, ProbeKind::cross_entropy})
    for (const float v : row.fill(kind, {{.stream = 3, .used = false, .target = 1}})) EXPECT_EQ(v, 0.0f);
}

TEST_P(ProbesTest, RowProductsOfEveryProbe) {
  constexpr int64_t rows = 5, probes = 3, cols = 37;
  Rng rng(6);
  const auto g = qsweep::testing::normals(rng, rows * probes * cols),
             e = qsweep::testing::normals(rng, rows * cols);
  std::vector<double> sums(rows * probes), squares(sums.size());
  const MatrixView gradients{const_cast<float*>(g.data()), DType::f32, rows * probes, cols, cols};
  row_products(device(), on(gradients), on(Matrix(e.data(), rows, cols)), on(sums));
  row_squared_products(device(), on(gradients), on(Matrix(e.data(), rows, cols)), on(squares));
  for (int64_t r = 0; r < rows * probes; ++r) {
    double sum = 0, square = 0;
    for (int64_t c = 0; c < cols; ++c) {
      const double product = static_cast<double>(g[static_cast<size_t>(r * cols + c)]) *
                             static_cast<double>(e[static_cast<size_t>(r % rows * cols + c)]);
      sum += product;
      square += product * product;
    }
    EXPECT_TRUE(std::abs(sums[static_cast<size_t>(r)] - sum) <= 1e-12 * cols);
    EXPECT_TRUE(std::abs(squares[static_cast<size_t>(r)] - square) <= 1e-12 * cols);
  }
}

TEST_P(ProbesTest, ProductsWithChangesByBlocks) {
  constexpr int64_t kParents = 5, kProbes = 6, kRows = 6, kCols = 37;
  const std::vector<RowBlock> blocks{{.rows = 2, .parent = 3, .in = {0, kAbsent, kAbsent}, .out = 4},
                                     {.rows = 4, .parent = 1, .in = {2, kAbsent, kAbsent}, .out = 6}};
  Rng rng(8);
  const auto u = qsweep::testing::normals(rng, kProbes * kParents * kCols);
  const auto d = qsweep::testing::normals(rng, kRows * kCols);
  std::vector<bf16> rounded;
  for (const float v : d) rounded.push_back(to_bf16(v));
  std::vector<LogitsSums> shifts(10);
  for (size_t i = 0; i < shifts.size(); ++i) shifts[i].shift = static_cast<double>(i) / 4;
  for (const bool shifted : {false, true})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      std::vector<double> products(kRows * kProbes, 0.5);
      const void* const data = dtype == DType::bf16 ? static_cast<const void*>(rounded.data()) : d.data();
      const MatrixView changes{const_cast<void*>(data), dtype, kRows, kCols, kCols};
      probe_products(device(), blocks, kProbes, on(Matrix<const float>(u.data(), kProbes * kParents, kCols)),
                     on(changes), shifted ? on(shifts) : std::span<const LogitsSums>(), on(products));
      for (const RowBlock& b : blocks)
        for (int64_t r = 0; r < b.rows; ++r)
          for (int64_t p = 0; p < kProbes; ++p) {
            double expected = 0.5;
            for (int64_t c = 0; c < kCols; ++c) {
              const auto at = static_cast<size_t>((b.in[0] + r) * kCols + c);
              const double change = static_cast<double>(dtype == DType::bf16 ? to_float(rounded[at]) : d[at]);
              expected +=
                  static_cast<double>(u[static_cast<size_t>((p * kParents + b.parent + r) * kCols + c)]) *
                  (change - (shifted ? shifts[static_cast<size_t>(b.out + r)].shift : 0));
            }
            EXPECT_NEAR(products[static_cast<size_t>((b.in[0] + r) * kProbes + p)], expected, 1e-4);
          }
    }
}

}  // namespace
}  // namespace qsweep::kernels
