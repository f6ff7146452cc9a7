// Attention with windows, causal masks, spans, grouped heads and several sorts of logits.
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
    std::vector<std::vector<Segment>>
        spans;                      // of every sample, in its rows; fewer samples: none in the others
    std::vector<float> sinks = {};  // of heads
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
  std::vector<Segment> spans() const {
    std::vector<Segment> all;
    for (size_t sample = 0; sample < shape.spans.size(); ++sample)
      for (const Segment& span : shape.spans[sample])
        all.push_back({first_row(sample) + span.first, span.rows});
    return all;
  }
  static bool contains(const Segment& s, int64_t row) { return row >= s.first && row < s.first + s.rows; }
  // Rows of one sample in one segment.
  bool sees(size_t sample, int64_t query, int64_t key) const {
    if (!shape.spec.causal) return true;
    if (sample < shape.spans.size())
      for (const Segment& span : shape.spans[sample])
        if (contains(span, query) && contains(span, key)) return true;
    return key <= query && (shape.spec.window == 0 || query - key < shape.spec.window);
  }
  void naive_row(int64_t head, const std::vector<int64_t>& keys, int64_t row, std::span<const Table> x,
                 Table& y) const {
    const int64_t d = shape.spec.head_dim, kv = head / (shape.spec.n_heads / shape.spec.n_kv_heads);
    std::vector<double> p;
    for (const int64_t k : keys) {
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += x[0].row(row)[head * d + i] * x[1].row(k)[kv * d + i];
      p.push_back(dot * static_cast<double>(shape.spec.scale));
    }
    double top = *std::ranges::max_element(p), sum = 0;
    if (!shape.sinks.empty()) {
      const auto sink = static_cast<double>(shape.sinks[static_cast<size_t>(head)]);
      top = std::max(top, sink);
      sum = std::exp(sink - top);
    }
    for (double& v : p) sum += v = std::exp(v - top);
    for (size_t k = 0; k < keys.size(); ++k)
      for (int64_t i = 0; i < d; ++i) y.row(row)[head * d + i] += p[k] / sum * x[2].row(keys[k])[kv * d + i];
  }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, output_cols());
    int64_t first = 0;
    for (const int64_t window : shape.windows[sample]) {
      for (int64_t query = first; query < first + window; ++query) {
        std::vector<int64_t> keys;
        for (int64_t key = first; key < first + window; ++key)
          if (sees(sample, query, key)) keys.push_back(key);
        for (int64_t h = 0; h < shape.spec.n_heads; ++h) naive_row(h, keys, query, x, y);
      }
      first += window;
    }
    return y;
  }
  attention::Spec spec(const Place::Call& at) const {
    attention::Spec spec = shape.spec;
    if (!shape.sinks.empty()) spec.sinks = at.on(shape.sinks);
    return spec;
  }
  void forward(const Place::Call& at, std::span<const Matrix<const float>> x,
               Matrix<float> y) const override {
    const std::vector<Segment> segments = this->segments(), spans = this->spans();
    attention::forward(at, spec(at), {segments, spans}, {x[0], x[1], x[2]}, y);
  }
  void delta(const Place::Call& at, std::span<const RowBlock> blocks, std::span<const Matrix<const float>> x,
             std::span<const MatrixView> dx, MatrixView dy) const override {
    const std::vector<Segment> segments = this->segments(), spans = this->spans();
    attention::delta(at, spec(at), {segments, spans}, blocks, {x[0], x[1], x[2]}, {dx[0], dx[1], dx[2]}, dy);
  }
  void vjp(const Place::Call& at, std::span<const Matrix<const float>> x, MatrixView dy, int64_t probes,
           std::span<const MatrixView> dx) const override {
    const std::vector<Segment> segments = this->segments(), spans = this->spans();
    attention::vjp(at, spec(at), {segments, spans}, {x[0], x[1], x[2]}, dy, probes, {dx[0], dx[1], dx[2]});
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
  // relative to that, and the error of a logit's change is passed on by its exponential. With sinks the
  // keys and values keep what they have in common.
  double bf16_bound(double size) const override {
    double roundings = shape.spec.head_dim < 8 ? 4 * 0x1p-9 : 4e-3;
    if (shape.logits == Logits::spread || !shape.sinks.empty()) roundings = 4 * 0x1p-8;
    if (shape.logits == Logits::shifted) roundings *= static_cast<double>(kCommon);
    return roundings * (1 + size * scale() * scale());
  }
  double bf16_vjp_bound() const override { return shape.sinks.empty() ? 4e-3 : 8e-3; }
  int64_t tile_bytes() const override { return shape.tile_bytes; }
};

attention::Spec with_window(attention::Spec spec, int64_t window) {
  spec.window = window;
  return spec;
}

// Windows and spans. With `some` bytes a tile has up to 64 queries, with `little` about ten, with `least` one
// or two.
std::vector<Attention::Shape> ranges(const attention::Spec& spec, const attention::Spec& small) {
  const std::vector<std::vector<int64_t>> whole{{33}, {41}, {1}}, parts{{33}, {10, 31}, {1}},
      tiles{{80}, {46, 20}}, few{{9}, {4, 7}, {1}};
  constexpr int64_t some = 600 << 10, little = 128 << 10, least = 4 << 10;
  const attention::Spec spread{.n_heads = 4, .n_kv_heads = 4, .head_dim = 16, .causal = true};
  return {
      {.name = "window", .spec = with_window(spec, 7), .windows = whole},
      {.name = "window_near_segments", .spec = with_window(spec, 40), .windows = {{33, 40}, {41}, {1}}},
      {.name = "window_in_tiles", .spec = with_window(spec, 7), .windows = tiles, .tile_bytes = some},
      {.name = "window_over_tiles", .spec = with_window(spec, 30), .windows = tiles, .tile_bytes = little},
      {.name = "window_peaked", .spec = with_window(spec, 7), .windows = whole, .logits = Logits::peaked},
      {.name = "window_spread", .spec = with_window(spread, 9), .windows = whole, .logits = Logits::spread},
      {.name = "window_shifted", .spec = with_window(spec, 7), .windows = whole, .logits = Logits::shifted},
      {.name = "small_window", .spec = with_window(small, 3), .windows = few},
      {.name = "small_window_of_one", .spec = with_window(small, 1), .windows = few},
      {.name = "small_window_tiles",
       .spec = with_window(small, 3),
       .windows = {{12}, {7}},
       .tile_bytes = least},
      // At the beginning and at the end of segments; some touch.
      {.name = "spans",
       .spec = spec,
       .windows = parts,
       .spans = {{{0, 5}, {28, 5}}, {{2, 8}, {10, 6}, {20, 9}, {29, 3}}}},
      // Of one row, over the border of two tiles, and of a whole segment.
      {.name = "span_tiles",
       .spec = spec,
       .windows = tiles,
       .tile_bytes = some,
       .spans = {{{3, 1}, {60, 9}, {69, 11}}, {{1, 40}, {46, 20}}}},
      {.name = "spans_in_window",
       .spec = with_window(spec, 12),
       .windows = parts,
       .spans = {{{5, 6}, {28, 5}}, {{11, 9}, {20, 3}}}},
      {.name = "spans_beyond_window",
       .spec = with_window(spec, 4),
       .windows = parts,
       .spans = {{{0, 11}, {11, 15}}, {{25, 16}}}},
      {.name = "spans_over_tiles",
       .spec = with_window(spec, 10),
       .windows = tiles,
       .tile_bytes = little,
       .spans = {{{30, 30}, {60, 20}}, {{0, 46}, {50, 3}}}},
      {.name = "small_spans", .spec = small, .windows = few, .spans = {{{0, 3}, {3, 4}}, {{4, 2}, {7, 4}}}},
      {.name = "small_spans_in_window",
       .spec = with_window(small, 2),
       .windows = few,
       .spans = {{{1, 4}, {5, 2}}, {{0, 4}, {8, 3}}}},
      {.name = "small_span_tiles",
       .spec = with_window(small, 3),
       .windows = {{12}, {7}},
       .tile_bytes = least,
       .spans = {{{2, 5}, {7, 3}}, {{3, 4}}}},
  };
}

// Weaker than the keys, as strong, and stronger: with most of the probability.
std::vector<Attention::Shape> with_sinks(const attention::Spec& spec, const attention::Spec& small) {
  const std::vector<std::vector<int64_t>> whole{{33}, {41}};
  const std::vector<float> sinks{-3, 0.5, 2, 4, 8, 30}, of_small{-1, 0, 2, 6};
  return {
      {.name = "sinks", .spec = spec, .windows = whole, .sinks = sinks},
      {.name = "sinks_peaked", .spec = spec, .windows = whole, .logits = Logits::peaked, .sinks = sinks},
      {.name = "sinks_spread", .spec = spec, .windows = whole, .logits = Logits::spread, .sinks = sinks},
      {.name = "sinks_window_in_tiles",
       .spec = with_window(spec, 7),
       .windows = {{80}, {46, 20}},
       .tile_bytes = 600 << 10,
       .sinks = sinks},
      {.name = "small_sinks", .spec = small, .windows = {{6}, {5, 2}}, .sinks = of_small},
      {.name = "small_sinks_in_tiles",
       .spec = with_window(small, 3),
       .windows = {{12}, {7}},
       .tile_bytes = 4 << 10,
       .sinks = of_small},
  };
}

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
  for (const Attention::Shape& shape : ranges(grouped, small_causal))
    cases.push_back(std::make_shared<Attention>(shape));
  for (const Attention::Shape& shape : with_sinks(grouped_16, small_causal))
    cases.push_back(std::make_shared<Attention>(shape));
}

}  // namespace qsweep::ops::testing
