// What mixes the rows of a sequence in their order: causal convolutions.
#include <algorithm>

#include <fmt/format.h>

#include "ops/causal_conv.h"
#include "ops/op_case.h"
#include "support/random.h"

namespace qsweep::ops::testing {
namespace {

using kernels::RowBlock;
using Inputs = std::span<const Matrix<const float>>;
using Deltas = std::span<const MatrixView>;
using Blocks = std::span<const RowBlock>;

// Rows of every sample's segments.
using Lengths = std::vector<std::vector<int64_t>>;

// Samples of several segments.
struct SequenceCase : OpCase {
  Lengths lengths;
  explicit SequenceCase(Lengths l) : lengths(std::move(l)) {}

  std::vector<int64_t> sample_rows() const override {
    std::vector<int64_t> rows;
    for (const auto& sample : lengths) {
      rows.push_back(0);
      for (const int64_t n : sample) rows.back() += n;
    }
    return rows;
  }
  std::vector<Segment> segments() const {
    std::vector<Segment> all;
    int64_t first = 0;
    for (const auto& sample : lengths)
      for (const int64_t n : sample) {
        all.push_back({first, n});
        first += n;
      }
    return all;
  }
};

struct CausalConv : SequenceCase {
  int64_t cols, width;
  std::vector<float> w;  // [cols, width]

  CausalConv(int64_t c, int64_t n, Lengths l) : SequenceCase(std::move(l)), cols(c), width(n) {
    Rng rng(110);
    w = qsweep::testing::normals(rng, cols * width);
  }
  std::string name() const override { return fmt::format("causal_conv_{}_columns_{}_wide", cols, width); }
  std::vector<int64_t> input_cols() const override { return {cols}; }
  int64_t output_cols() const override { return cols; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, cols);
    int64_t first = 0;
    for (const int64_t n : lengths[sample]) {
      for (int64_t t = 0; t < n; ++t)
        for (int64_t c = 0; c < cols; ++c)
          for (int64_t from = std::max<int64_t>(0, t - width + 1); from <= t; ++from)
            y.row(first + t)[c] +=
                static_cast<double>(w[static_cast<size_t>((c + 1) * width - 1 - t + from)]) *
                x[0].row(first + from)[c];
      first += n;
    }
    return y;
  }
  Matrix<const float> weights(const Place::Call& at) const {
    return at.on(Matrix<const float>(w.data(), cols, width));
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    causal_conv::forward(at, segments(), x[0], weights(at), y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    causal_conv::delta(at, segments(), blocks, dx[0], weights(at), dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t probes, Deltas dx) const override {
    causal_conv::vjp(at, segments(), weights(at), dy, probes, dx[0]);
  }
  double forward_bound() const override { return static_cast<double>(width + 1) * kUnit; }
};

}  // namespace

void add_sequence_cases(Cases& cases) {
  const Lengths lengths{{5}, {17, 3, 12}, {1}};
  cases.push_back(std::make_shared<CausalConv>(19, 4, lengths));
  cases.push_back(std::make_shared<CausalConv>(64, 4, lengths));
  cases.push_back(std::make_shared<CausalConv>(7, 1, lengths));
  cases.push_back(std::make_shared<CausalConv>(3, 20, lengths));
}

}  // namespace qsweep::ops::testing
