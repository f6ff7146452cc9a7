// What mixes the rows of a sequence in their order: causal convolutions and the gated delta rule.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "ops/causal_conv.h"
#include "ops/delta_net.h"
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

struct DeltaNet : SequenceCase {
  std::string kind;
  delta_net::Spec spec;
  float rate;  // of the decay
  std::vector<float> a_log, dt_bias;

  DeltaNet(std::string k, const delta_net::Spec& s, Lengths l, float r = 0.5f)
      : SequenceCase(std::move(l)), kind(std::move(k)), spec(s), rate(r) {
    Rng rng(111);
    a_log = qsweep::testing::normals(rng, spec.n_value_heads);
    for (float& v : a_log) v = 0.5f * v + std::log(rate);
    dt_bias = qsweep::testing::normals(rng, spec.n_value_heads);
  }
  std::string name() const override { return "delta_net_" + kind; }
  std::vector<int64_t> input_cols() const override {
    return {2 * spec.n_key_heads * spec.key_dim + output_cols(), spec.n_value_heads, spec.n_value_heads};
  }
  int64_t output_cols() const override { return spec.n_value_heads * spec.value_dim; }

  // x / (sum x^2 + eps)^(1/2)
  std::vector<double> of_length_1(const double* x) const {
    double squares = static_cast<double>(spec.eps);
    for (int64_t i = 0; i < spec.key_dim; ++i) squares += x[i] * x[i];
    std::vector<double> y(x, x + spec.key_dim);
    for (double& v : y) v /= std::sqrt(squares);
    return y;
  }
  // One token of a head: S [key_dim, value_dim], by the formula as it is published.
  void naive_token(int64_t head, int64_t t, std::span<const Table> x, Table& state, Table& y) const {
    const int64_t key_head = head / (spec.n_value_heads / spec.n_key_heads);
    const double* const row = x[0].row(t);
    const std::vector<double> q = of_length_1(row + key_head * spec.key_dim),
                              k = of_length_1(row + (spec.n_key_heads + key_head) * spec.key_dim);
    const double* const v = row + 2 * spec.n_key_heads * spec.key_dim + head * spec.value_dim;
    const auto h = static_cast<size_t>(head);
    const double decay = std::exp(-std::exp(static_cast<double>(a_log[h])) *
                                  std::log(1 + std::exp(x[1].row(t)[h] + static_cast<double>(dt_bias[h]))));
    const double beta = 1 / (1 + std::exp(-x[2].row(t)[h]));
    for (double& s : state.values) s *= decay;
    for (int64_t j = 0; j < spec.value_dim; ++j) {
      double read = 0, out = 0;
      for (int64_t i = 0; i < spec.key_dim; ++i) read += state.row(i)[j] * k[static_cast<size_t>(i)];
      for (int64_t i = 0; i < spec.key_dim; ++i) {
        state.row(i)[j] += k[static_cast<size_t>(i)] * beta * (v[j] - read);
        out += state.row(i)[j] * q[static_cast<size_t>(i)];
      }
      y.row(t)[head * spec.value_dim + j] = out / std::sqrt(static_cast<double>(spec.key_dim));
    }
  }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, output_cols());
    for (int64_t head = 0; head < spec.n_value_heads; ++head) {
      int64_t first = 0;
      for (const int64_t n : lengths[sample]) {
        Table state(spec.key_dim, spec.value_dim);
        for (int64_t t = first; t < first + n; ++t) naive_token(head, t, x, state, y);
        first += n;
      }
    }
    return y;
  }
  delta_net::Weights weights(const Place::Call& at) const { return {at.on(a_log), at.on(dt_bias)}; }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    delta_net::forward(at, spec, segments(), {x[0], x[1], x[2]}, weights(at), y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs x, Deltas dx, MatrixView dy) const override {
    delta_net::delta(at, spec, segments(), blocks, {x[0], x[1], x[2]}, weights(at), {dx[0], dx[1], dx[2]},
                     dy);
  }
  void vjp(const Place::Call& at, Inputs x, MatrixView dy, int64_t probes, Deltas dx) const override {
    delta_net::vjp(at, spec, segments(), {x[0], x[1], x[2]}, weights(at), dy, probes, {dx[0], dx[1], dx[2]});
  }
  // Every token adds the errors of two sums over a key to those of a state that forgets.
  double forward_bound() const override { return static_cast<double>(2 * spec.key_dim + 32) * kUnit; }
};

}  // namespace

void add_sequence_cases(Cases& cases) {
  const Lengths lengths{{5}, {17, 3, 12}, {1}};
  cases.push_back(std::make_shared<CausalConv>(19, 4, lengths));
  cases.push_back(std::make_shared<CausalConv>(64, 4, lengths));
  cases.push_back(std::make_shared<CausalConv>(7, 1, lengths));
  cases.push_back(std::make_shared<CausalConv>(3, 20, lengths));

  const delta_net::Spec grouped{.n_key_heads = 2, .n_value_heads = 4, .key_dim = 12, .value_dim = 8};
  const delta_net::Spec one{.n_key_heads = 1, .n_value_heads = 1, .key_dim = 16, .value_dim = 48};
  const delta_net::Spec small{.n_key_heads = 1, .n_value_heads = 2, .key_dim = 3, .value_dim = 2};
  const Lengths longer{{33}, {10, 31}, {1}}, longest{{70}, {16, 32}};
  cases.push_back(std::make_shared<DeltaNet>("grouped", grouped, longer));
  cases.push_back(std::make_shared<DeltaNet>("grouped_slow", grouped, longest, 0.01f));
  cases.push_back(std::make_shared<DeltaNet>("grouped_fast", grouped, longer, 8.0f));
  cases.push_back(std::make_shared<DeltaNet>("one_head", one, longer, 0.1f));
  cases.push_back(std::make_shared<DeltaNet>("small", small, Lengths{{9}, {4, 7}, {1}}, 0.2f));
}

}  // namespace qsweep::ops::testing
