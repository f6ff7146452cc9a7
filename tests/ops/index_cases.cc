// Ops that move rows.
#include <numeric>

#include "ops/gather.h"
#include "ops/mean.h"
#include "ops/merge.h"
#include "ops/op_case.h"
#include "ops/scatter.h"

namespace qsweep::ops::testing {
namespace {

using kernels::RowBlock;
using Inputs = std::span<const Matrix<const float>>;
using Deltas = std::span<const MatrixView>;
using Blocks = std::span<const RowBlock>;

void copy_row(const double* from, int64_t cols, double* to) { std::copy_n(from, cols, to); }

// Rows of all samples instead of rows within each: base(s) more for sample s; -1 stays.
template <class Base>
std::vector<int64_t> within_batch(const OpCase& op, std::vector<int64_t> source, Base&& base) {
  for (size_t s = 0; s < op.sample_rows().size(); ++s)
    for (int64_t r = op.first_row(s); r < op.first_row(s + 1); ++r)
      if (source[static_cast<size_t>(r)] >= 0) source[static_cast<size_t>(r)] += base(s);
  return source;
}

struct Gather : OpCase {
  static constexpr int64_t kCols = 13;
  bool repeats;
  std::vector<int64_t> source;  // within the sample; every row once, or some several times and some never

  explicit Gather(bool r) : repeats(r) {
    Rng rng(102);
    for (const int64_t rows : sample_rows()) {
      std::vector<int64_t> order(static_cast<size_t>(rows));
      std::iota(order.begin(), order.end(), 0);
      rng.shuffle(std::span(order));
      if (repeats)
        for (int64_t& row : order) row = row / 3 * 2;
      source.insert(source.end(), order.begin(), order.end());
    }
  }
  std::string name() const override { return repeats ? "gather_with_repeats" : "gather"; }
  std::vector<int64_t> input_cols() const override { return {kCols}; }
  int64_t output_cols() const override { return kCols; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, kCols);
    for (int64_t r = 0; r < y.rows; ++r)
      copy_row(x[0].row(source[static_cast<size_t>(first_row(sample) + r)]), kCols, y.row(r));
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    gather::forward(at, source_of_all(), x[0], y);
  }
  std::vector<int64_t> source_of_all() const {
    return within_batch(*this, source, [&](size_t s) { return first_row(s); });
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    gather::delta(at, blocks, source, dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t probes, Deltas dx) const override {
    gather::vjp(at, source_of_all(), dy, probes, dx[0]);
  }
  double forward_bound() const override { return 0; }
};

// Every third row of a sample is an image row, in reverse order.
struct Scatter : OpCase {
  static constexpr int64_t kCols = 13;
  std::vector<int64_t> source;  // within the sample's features; -1: a token

  Scatter() {
    for (size_t s = 0; s < sample_rows().size(); ++s)
      for (int64_t r = 0; r < sample_rows()[s]; ++r)
        source.push_back(r % 3 == 0 ? Scatter::input_rows(1, s) - 1 - r / 3 : kernels::kAbsent);
  }
  std::string name() const override { return "scatter"; }
  std::vector<int64_t> input_cols() const override { return {kCols, kCols}; }
  int64_t input_rows(size_t input, size_t sample) const override {
    return input == 0 ? sample_rows()[sample] : (sample_rows()[sample] + 2) / 3;
  }
  int64_t output_cols() const override { return kCols; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(sample_rows()[sample], kCols);
    for (int64_t r = 0; r < y.rows; ++r) {
      const int64_t from = source[static_cast<size_t>(first_row(sample) + r)];
      copy_row(from >= 0 ? x[1].row(from) : x[0].row(r), kCols, y.row(r));
    }
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    scatter::forward(at, source_of_all(), x[0], x[1], y);
  }
  std::vector<int64_t> source_of_all() const {
    return within_batch(*this, source, [&](size_t s) { return first_input_row(1, s); });
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    scatter::delta(at, blocks, source, dx[0], dx[1], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t probes, Deltas dx) const override {
    scatter::vjp(at, source_of_all(), dy, probes, dx[0], dx[1]);
  }
  double forward_bound() const override { return 0; }
};

// `kFactor` neighbouring rows become one.
struct Neighbours : OpCase {
  static constexpr int64_t kCols = 13, kFactor = 3;
  std::vector<int64_t> input_cols() const override { return {kCols}; }
  int64_t input_rows(size_t, size_t sample) const override { return kFactor * sample_rows()[sample]; }
};

struct Mean : Neighbours {
  std::string name() const override { return "mean"; }
  int64_t output_cols() const override { return kCols; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(sample_rows()[sample], kCols);
    for (int64_t r = 0; r < x[0].rows; ++r)
      for (int64_t c = 0; c < kCols; ++c) y.row(r / kFactor)[c] += x[0].row(r)[c] / kFactor;
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    mean::forward(at, x[0], kFactor, y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    mean::delta(at, blocks, kFactor, dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t, Deltas dx) const override {
    mean::vjp(at, kFactor, dy, dx[0]);
  }
  double forward_bound() const override { return (kFactor + 1) * kUnit; }
};

struct Merge : Neighbours {
  std::string name() const override { return "merge"; }
  int64_t output_cols() const override { return kFactor * kCols; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(sample_rows()[sample], kFactor * kCols);
    for (int64_t r = 0; r < x[0].rows; ++r)
      for (int64_t c = 0; c < kCols; ++c) y.row(r / kFactor)[kFactor * c + r % kFactor] = x[0].row(r)[c];
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    merge::forward(at, x[0], kFactor, y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    merge::delta(at, blocks, kFactor, dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t, Deltas dx) const override {
    merge::vjp(at, kFactor, dy, dx[0]);
  }
  double forward_bound() const override { return 0; }
};

}  // namespace

void add_index_cases(Cases& cases) {
  for (const bool repeats : {false, true}) cases.push_back(std::make_shared<Gather>(repeats));
  cases.push_back(std::make_shared<Scatter>());
  cases.push_back(std::make_shared<Mean>());
  cases.push_back(std::make_shared<Merge>());
}

}  // namespace qsweep::ops::testing
