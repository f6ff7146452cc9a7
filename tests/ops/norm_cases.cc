// Norms of rows and of groups of columns.
#include <cmath>

#include <fmt/format.h>

#include "ops/layer_norm.h"
#include "ops/op_case.h"
#include "ops/rms_norm.h"
#include "support/random.h"

namespace qsweep::ops::testing {
namespace {

using kernels::RowBlock;
using Inputs = std::span<const Matrix<const float>>;
using Deltas = std::span<const MatrixView>;
using Blocks = std::span<const RowBlock>;

constexpr float kEps = 1e-6f;

// Sorts of values: normal, outliers (one channel in 50 is 200 times larger), tiny (eps matters), shifted (all
// of a row by 20).
void fill_norm(Rng& rng, const OpCase& op, const std::string& kind, Matrix<float> x) {
  op.OpCase::fill(rng, 0, x);
  if (kind == "tiny") multiply_all(x, 1e-3f);
  for (int64_t r = 0; kind == "shifted" && r < x.rows; ++r)
    for (int64_t c = 0; c < x.cols; ++c) x.row(r)[c] += 20;
  for (int64_t c = 0; kind == "outliers" && c < x.cols; c += 50) multiply_all(x.cols_at(c, 1), 200);
}

struct RmsNorm : OpCase {
  int64_t groups, n;
  float offset;
  std::string kind;
  std::vector<float> w;

  RmsNorm(int64_t length, std::string k, int64_t group_count = 1, float o = 0)
      : groups(group_count), n(length), offset(o), kind(std::move(k)) {
    Rng rng(101);
    w = qsweep::testing::normals(rng, n);
  }
  std::string name() const override {
    return fmt::format("rms_norm_{}{}_{}{}", groups == 1 ? "" : fmt::format("{}_groups_of_", groups), n, kind,
                       offset == 0 ? "" : "_one_plus");
  }
  std::vector<int64_t> input_cols() const override { return {groups * n}; }
  int64_t output_cols() const override { return groups * n; }
  void fill(Rng& rng, size_t, Matrix<float> x) const override { fill_norm(rng, *this, kind, x); }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y(x[0].rows, x[0].cols);
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t g = 0; g < groups; ++g) {
        const double* from = x[0].row(r) + g * n;
        double squares = 0;
        for (int64_t c = 0; c < n; ++c) squares += from[c] * from[c];
        const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(kEps));
        for (int64_t c = 0; c < n; ++c)
          y.row(r)[g * n + c] =
              (static_cast<double>(offset) + static_cast<double>(w[static_cast<size_t>(c)])) * from[c] *
              scale;
      }
    return y;
  }
  rms_norm::Weight weight(const Place::Call& at) const { return {at.on(w), kEps, offset}; }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    rms_norm::forward(at, x[0], weight(at), y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs x, Deltas dx, MatrixView dy) const override {
    rms_norm::delta(at, blocks, x[0], dx[0], weight(at), dy);
  }
  void vjp(const Place::Call& at, Inputs x, MatrixView dy, int64_t probes, Deltas dx) const override {
    rms_norm::vjp(at, x[0], weight(at), dy, probes, dx[0]);
  }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return static_cast<double>(n + 8) * kUnit; }
};

struct LayerNorm : OpCase {
  int64_t n;
  std::string kind;
  std::vector<float> w, bias;

  LayerNorm(int64_t length, std::string k) : n(length), kind(std::move(k)) {
    Rng rng(104);
    w = qsweep::testing::normals(rng, n);
    bias = qsweep::testing::normals(rng, n);
  }
  std::string name() const override { return fmt::format("layer_norm_{}_{}", n, kind); }
  std::vector<int64_t> input_cols() const override { return {n}; }
  int64_t output_cols() const override { return n; }
  void fill(Rng& rng, size_t, Matrix<float> x) const override { fill_norm(rng, *this, kind, x); }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y(x[0].rows, n);
    const auto count = static_cast<double>(n);
    for (int64_t r = 0; r < y.rows; ++r) {
      double mean = 0, squares = 0;
      for (int64_t c = 0; c < n; ++c) mean += x[0].row(r)[c] / count;
      for (int64_t c = 0; c < n; ++c) squares += (x[0].row(r)[c] - mean) * (x[0].row(r)[c] - mean);
      const double scale = 1 / std::sqrt(squares / count + static_cast<double>(kEps));
      for (int64_t c = 0; c < n; ++c) {
        const auto i = static_cast<size_t>(c);
        y.row(r)[c] =
            static_cast<double>(w[i]) * (x[0].row(r)[c] - mean) * scale + static_cast<double>(bias[i]);
      }
    }
    return y;
  }
  layer_norm::Weight weight(const Place::Call& at) const { return {at.on(w), at.on(bias), kEps}; }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    layer_norm::forward(at, x[0], weight(at), y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs x, Deltas dx, MatrixView dy) const override {
    layer_norm::delta(at, blocks, x[0], dx[0], weight(at), dy);
  }
  void vjp(const Place::Call& at, Inputs x, MatrixView dy, int64_t probes, Deltas dx) const override {
    layer_norm::vjp(at, x[0], weight(at), dy, probes, dx[0]);
  }
  // Differences are to be small against the deviation, not against the values.
  double step() const override { return kind == "shifted" ? 1e-3 / 20 : 1e-3; }
  bool row_wise() const override { return true; }
  // The mean's error is relative to the values, which a shift makes large against their deviation.
  double forward_bound() const override {
    return static_cast<double>(n + 8) * kUnit * (kind == "shifted" ? 20 : 1);
  }
};

}  // namespace

void add_norm_cases(Cases& cases) {
  for (const char* kind : {"normal", "outliers", "tiny"})
    cases.push_back(std::make_shared<RmsNorm>(351, kind));
  cases.push_back(std::make_shared<RmsNorm>(7, "normal"));
  cases.push_back(std::make_shared<RmsNorm>(351, "normal", 1, 1.0f));
  for (const float offset : {0.0f, 1.0f}) {
    cases.push_back(std::make_shared<RmsNorm>(12, "outliers", 6, offset));
    cases.push_back(std::make_shared<RmsNorm>(21, "normal", 3, offset));
  }
  for (const char* kind : {"normal", "outliers", "tiny", "shifted"})
    cases.push_back(std::make_shared<LayerNorm>(351, kind));
  cases.push_back(std::make_shared<LayerNorm>(7, "normal"));
}

}  // namespace qsweep::ops::testing
