// Linear layers and the ops that work element by element or row by row.
#include <cmath>

#include <fmt/format.h>

#include "ops/add.h"
#include "ops/join.h"
#include "ops/linear.h"
#include "ops/op_case.h"
#include "ops/rope.h"
#include "ops/scale.h"
#include "support/random.h"

namespace qsweep::ops::testing {
namespace {

using kernels::RowBlock;
using Inputs = std::span<const Matrix<const float>>;
using Deltas = std::span<const MatrixView>;
using Blocks = std::span<const RowBlock>;

struct Linear : OpCase {
  int64_t in, out;
  bool has_bias;
  std::vector<bf16> w16;  // the same weights in both types
  std::vector<float> w, bias;

  Linear(int64_t i, int64_t o, bool b) : in(i), out(o), has_bias(b) {
    Rng rng(100);
    for (const float v : qsweep::testing::normals(rng, in * out)) {
      w16.push_back(to_bf16(v));
      w.push_back(to_float(w16.back()));
    }
    bias = qsweep::testing::normals(rng, out);
  }
  std::string name() const override {
    return fmt::format("linear_{}_to_{}{}", in, out, has_bias ? "_bias" : "");
  }
  std::vector<int64_t> input_cols() const override { return {in}; }
  int64_t output_cols() const override { return out; }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y(x[0].rows, out);
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t o = 0; o < out; ++o) {
        double sum = has_bias ? bias[static_cast<size_t>(o)] : 0;
        for (int64_t i = 0; i < in; ++i) sum += x[0].row(r)[i] * w[static_cast<size_t>(o * in + i)];
        y.row(r)[o] = sum;
      }
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    linear::forward(at, x[0], at.on(view_of({w.data(), out, in})), has_bias ? at.on(bias).data() : nullptr,
                    y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    const MatrixView weights = at.on(weights_in(dy.dtype));
    for (const RowBlock& b : blocks)
      linear::delta(at, dx[0].rows_at(b.in[0], b.rows), weights, dy.rows_at(b.out, b.rows));
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t, Deltas dx) const override {
    const MatrixView weights = at.on(weights_in(dy.dtype));
    linear::vjp(at, dy, weights, dx[0]);
  }
  MatrixView weights_in(DType dtype) const {
    void* data = dtype == DType::bf16 ? static_cast<void*>(const_cast<bf16*>(w16.data()))
                                      : const_cast<float*>(w.data());
    return {data, dtype, out, in, in};
  }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return static_cast<double>(in + 2) * kUnit; }
};

struct Add : OpCase {
  int64_t n;
  explicit Add(int64_t length) : n(length) {}
  std::string name() const override { return fmt::format("add_{}", n); }
  std::vector<int64_t> input_cols() const override { return {n, n}; }
  int64_t output_cols() const override { return n; }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y = x[0];
    for (size_t i = 0; i < y.values.size(); ++i) y.values[i] += x[1].values[i];
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    add::forward(at, x[0], x[1], y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    add::delta(at, blocks, dx[0], dx[1], dy);
  }
  bool has_vjp() const override { return false; }  // its inputs' cotangents are the output's
  void vjp(const Place::Call&, Inputs, MatrixView, int64_t, Deltas) const override {}
  double forward_bound() const override { return kUnit; }
};

struct Join : OpCase {
  static constexpr int64_t kFirst = 24, kSecond = 11;
  std::string name() const override { return "join"; }
  std::vector<int64_t> input_cols() const override { return {kFirst, kSecond}; }
  int64_t output_cols() const override { return kFirst + kSecond; }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y(x[0].rows, kFirst + kSecond);
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c)
        y.row(r)[c] = c < kFirst ? x[0].row(r)[c] : x[1].row(r)[c - kFirst];
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    join::forward(at, x[0], x[1], y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    join::delta(at, blocks, dx[0], dx[1], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t, Deltas dx) const override {
    join::vjp(at, dy, dx[0], dx[1]);
  }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return 0; }
};

struct Scale : OpCase {
  static constexpr int64_t kCols = 19;
  static constexpr float kFactor = 8.485f;
  std::string name() const override { return "scale"; }
  std::vector<int64_t> input_cols() const override { return {kCols}; }
  int64_t output_cols() const override { return kCols; }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y = x[0];
    for (double& v : y.values) v *= static_cast<double>(kFactor);
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    scale::forward(at, x[0], kFactor, y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    scale::delta(at, blocks, kFactor, dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t, Deltas dx) const override {
    scale::vjp(at, kFactor, dy, dx[0]);
  }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return kUnit; }
};

struct Rope : OpCase {
  int64_t heads, head_dim;
  std::vector<float> cos_sin;  // [all rows, head_dim]

  Rope(int64_t h, int64_t d) : heads(h), head_dim(d) {
    for (int64_t r = 0; r < total_rows(); ++r)
      for (int64_t i = 0; i < head_dim; ++i) {
        const int64_t pair = i % (head_dim / 2);
        const double angle = static_cast<double>(r) * std::pow(100.0, -2.0 * static_cast<double>(pair) /
                                                                          static_cast<double>(head_dim));
        cos_sin.push_back(static_cast<float>(i < head_dim / 2 ? std::cos(angle) : std::sin(angle)));
      }
  }
  std::string name() const override { return fmt::format("rope_{}_heads_of_{}", heads, head_dim); }
  std::vector<int64_t> input_cols() const override { return {heads * head_dim}; }
  int64_t output_cols() const override { return heads * head_dim; }
  Table naive(size_t sample, std::span<const Table> x) const override {
    Table y(x[0].rows, x[0].cols);
    const int64_t half = head_dim / 2;
    for (int64_t r = 0; r < y.rows; ++r) {
      const float* table = cos_sin.data() + (first_row(sample) + r) * head_dim;
      for (int64_t c = 0; c < y.cols; ++c) {
        const int64_t i = c % head_dim;
        const double other = i < half ? -x[0].row(r)[c + half] : x[0].row(r)[c - half];
        y.row(r)[c] = x[0].row(r)[c] * table[i % half] + other * table[half + i % half];
      }
    }
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    rope::forward(at, x[0], at.on(Matrix<const float>(cos_sin.data(), total_rows(), head_dim)), y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs, Deltas dx, MatrixView dy) const override {
    rope::delta(at, blocks, at.on(Matrix<const float>(cos_sin.data(), total_rows(), head_dim)), dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs, MatrixView dy, int64_t probes, Deltas dx) const override {
    rope::vjp(at, at.on(Matrix<const float>(cos_sin.data(), total_rows(), head_dim)), dy, probes, dx[0]);
  }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return 3 * kUnit; }
};

}  // namespace

void add_linear_cases(Cases& cases) {
  cases.push_back(std::make_shared<Linear>(1, 1, false));
  cases.push_back(std::make_shared<Linear>(37, 24, true));
  cases.push_back(std::make_shared<Linear>(160, 33, false));
}

void add_row_cases(Cases& cases) {
  cases.push_back(std::make_shared<Add>(19));
  cases.push_back(std::make_shared<Join>());
  cases.push_back(std::make_shared<Scale>());
  cases.push_back(std::make_shared<Rope>(3, 10));
  cases.push_back(std::make_shared<Rope>(1, 64));
}

}  // namespace qsweep::ops::testing
