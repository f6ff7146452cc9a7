// Attention with windows, causal masks, grouped heads and several sorts of logits.
#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/op_case.h"
#include "support/random.h"

namespace qsweep::ops::testing {
namespace {

using attention::Segment;
using kernels::RowBlock;

// What the logits look like.
enum class Logits {
  ordinary,
  peaked,  // the largest probability of most rows is close to 1
  spread,  // over more than 200: most probabilities underflow. Queries and keys are multiples of 1/4, so that
           // the logits are exact and their own rounding, which would dominate, is not what is measured
  shifted  // a large common part in the keys, and a common change of them
};

struct Attention : OpCase {
  struct Shape {
    std::string name;
    attention::Spec spec;
    std::vector<std::vector<int64_t>> windows;  // rows of every sample's segments
    Logits logits = Logits::ordinary;
    int64_t tile_bytes = int64_t{256} << 20;
  } shape;
  std::vector<float> direction;  // of the keys' common part

  explicit Attention(Shape s) : shape(std::move(s)) {
    shape.spec.scale = 1 / std::sqrt(static_cast<float>(shape.spec.head_dim));
    Rng rng(104);
    direction = qsweep::testing::normals(rng, shape.spec.n_kv_heads * shape.spec.head_dim);
  }

  std::string name() const override { return "attention_" + shape.name; }
  std::vector<int64_t> sample_rows() const override {
    std::vector<int64_t> rows;
    for (const auto& windows : shape.windows) {
      rows.push_back(0);
      for (const int64_t w : windows) rows.back() += w;
    }
    return rows;
  }
  std::vector<int64_t> input_cols() const override {
    const int64_t kv = shape.spec.n_kv_heads * shape.spec.head_dim;
    return {output_cols(), kv, kv};
  }
  int64_t output_cols() const override { return shape.spec.n_heads * shape.spec.head_dim; }

  static constexpr float kCommon = 10;  // the shifted keys' common part against the rest

  // Queries and keys are scaled alike, so that the logits have a standard deviation of its square.
  double scale() const { return shape.logits == Logits::spread ? 9 : shape.logits == Logits::peaked ? 3 : 1; }
  void fill(Rng& rng, size_t input, Matrix<float> x) const override {
    OpCase::fill(rng, input, x);
    if (input == 2) return;
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t c = 0; c < x.cols; ++c) {
        x.row(r)[c] *= static_cast<float>(scale());
        if (shape.logits == Logits::spread) x.row(r)[c] = std::nearbyint(4 * x.row(r)[c]) / 4;
        if (input == 1 && shape.logits == Logits::shifted)
          x.row(r)[c] += kCommon * direction[static_cast<size_t>(c)];
      }
  }
  void perturb(Rng& rng, size_t input, Matrix<const float> x, double size, Matrix<float> d) const override {
    OpCase::perturb(rng, input, x, size, d);
    if (input != 1 || shape.logits != Logits::shifted) return;
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t c = 0; c < x.cols; ++c)
        d.row(r)[c] += static_cast<float>(20 * size) * direction[static_cast<size_t>(c)];
  }

  std::vector<Segment> segments() const {
    std::vector<Segment> all;
    int64_t first = 0;
    for (const auto& windows : shape.windows)
      for (const int64_t w : windows) {
        all.push_back({first, w});
        first += w;
      }
    return all;
  }
  void naive_row(int64_t head, int64_t first, int64_t keys, int64_t row, std::span<const Table> x,
                 Table& y) const {
    const int64_t d = shape.spec.head_dim, kv = head / (shape.spec.n_heads / shape.spec.n_kv_heads);
    std::vector<double> p;
    for (int64_t k = first; k < first + keys; ++k) {
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += x[0].row(row)[head * d + i] * x[1].row(k)[kv * d + i];
      p.push_back(dot * static_cast<double>(shape.spec.scale));
    }
    const double top = *std::ranges::max_element(p);
    double sum = 0;
    for (double& v : p) sum += v = std::exp(v - top);
    for (int64_t k = 0; k < keys; ++k)
      for (int64_t i = 0; i < d; ++i)
        y.row(row)[head * d + i] += p[static_cast<size_t>(k)] / sum * x[2].row(first + k)[kv * d + i];
  }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, output_cols());
    int64_t first = 0;
    for (const int64_t window : shape.windows[sample]) {
      for (int64_t r = 0; r < window; ++r)
        for (int64_t h = 0; h < shape.spec.n_heads; ++h)
          naive_row(h, first, shape.spec.causal ? r + 1 : window, first + r, x, y);
      first += window;
    }
    return y;
  }
  void forward(const Place::Call& at, std::span<const Matrix<const float>> x,
               Matrix<float> y) const override {
    attention::forward(at, shape.spec, segments(), x[0], x[1], x[2], y);
  }
  void delta(const Place::Call& at, std::span<const RowBlock> blocks, std::span<const Matrix<const float>> x,
             std::span<const MatrixView> dx, MatrixView dy) const override {
    attention::delta(at, shape.spec, segments(), blocks, x[0], x[1], x[2], dx[0], dx[1], dx[2], dy);
  }
  void vjp(const Place::Call& at, std::span<const Matrix<const float>> x, MatrixView dy, int64_t probes,
           std::span<const MatrixView> dx) const override {
    attention::vjp(at, shape.spec, segments(), x[0], x[1], x[2], dy, probes, dx[0], dx[1], dx[2]);
  }

  // The error of a logit, from a sum of head_dim products that is large against the result, passes to the
  // probabilities; the sum over the keys adds its own.
  double forward_bound() const override {
    const double logit = shape.logits == Logits::shifted ? 40 : 4 * scale() * scale();
    const std::vector<int64_t> rows = sample_rows();
    const auto keys = static_cast<double>(*std::ranges::max_element(rows));
    return (static_cast<double>(shape.spec.head_dim) * logit / 4 + keys + 8) * kUnit;
  }
  // Four things are rounded to bf16 one after the other. Where few probabilities carry the whole change, or
  // there are few elements at all, these errors do not average, where keys have a common part they are
  // relative to that, and the error of a logit's change is passed on by its exponential.
  double bf16_bound(double size) const override {
    double roundings = shape.spec.head_dim < 8 ? 4 * 0x1p-9 : 4e-3;
    if (shape.logits == Logits::spread) roundings = 4 * 0x1p-8;
    if (shape.logits == Logits::shifted) roundings *= static_cast<double>(kCommon);
    return roundings * (1 + size * scale() * scale());
  }
  int64_t tile_bytes() const override { return shape.tile_bytes; }
};

}  // namespace

void add_attention_cases(Cases& cases) {
  const attention::Spec plain{.n_heads = 4, .n_kv_heads = 4, .head_dim = 16};
  const attention::Spec grouped{.n_heads = 6, .n_kv_heads = 2, .head_dim = 12, .causal = true};
  const attention::Spec one_kv{.n_heads = 3, .n_kv_heads = 1, .head_dim = 20};
  const attention::Spec grouped_16{.n_heads = 6, .n_kv_heads = 2, .head_dim = 16, .causal = true};
  const attention::Spec small{.n_heads = 4, .n_kv_heads = 2, .head_dim = 3};
  const attention::Spec small_causal{.n_heads = 4, .n_kv_heads = 2, .head_dim = 3, .causal = true};
  const std::vector<std::vector<int64_t>> windows{{8, 8, 5}, {16, 3}, {1}}, whole{{33}, {41}, {1}};
  const std::vector<Attention::Shape> shapes{
      {"windows", plain, windows},
      {"causal_grouped", grouped, whole},
      {"one_key_head", one_kv, windows},
      {"causal_windows", grouped, windows},
      {"tiles_of_few_queries", plain, whole, Logits::ordinary, 40 << 10},
      {"causal_tiles", grouped, {{72}, {66}}, Logits::ordinary, 128 << 10},
      {"tiles_of_few_pairs", one_kv, whole, Logits::ordinary, 200 << 10},
      {"peaked", plain, whole, Logits::peaked},
      {"spread", plain, whole, Logits::spread},
      {"causal_spread", grouped_16, whole, Logits::spread},
      {"shifted", plain, whole, Logits::shifted},
      {"small_windows", small, {{4, 3}, {5}, {1}}},
      {"small_causal", small_causal, {{6}, {5, 2}, {1}}},
      {"small_causal_tiles", small_causal, {{9}, {7}}, Logits::ordinary, 4 << 10},
  };
  for (const Attention::Shape& shape : shapes) cases.push_back(std::make_shared<Attention>(shape));
}

}  // namespace qsweep::ops::testing
