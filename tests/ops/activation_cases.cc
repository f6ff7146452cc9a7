// Activations, alone and as gates.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "ops/activation.h"
#include "ops/gated.h"
#include "ops/op_case.h"

namespace qsweep::ops::testing {
namespace {

using activation::Kind;
using kernels::RowBlock;
using Inputs = std::span<const Matrix<const float>>;
using Deltas = std::span<const MatrixView>;
using Blocks = std::span<const RowBlock>;

constexpr int64_t kCols = 45;

struct Function {
  Kind kind;
  std::string name;
  double (*value)(double x);
};

const Function kFunctions[] = {
    {Kind::silu, "silu", [](double x) { return x / (1 + std::exp(-x)); }},
    {Kind::gelu, "gelu", [](double x) { return x * 0.5 * std::erfc(-x / std::numbers::sqrt2); }},
    {Kind::gelu_tanh, "gelu_tanh",
     [](double x) {
       const double argument = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
       return 0.5 * x * (1 + std::tanh(argument));
     }},
    {Kind::quick_gelu, "quick_gelu", [](double x) { return x / (1 + std::exp(-1.702 * x)); }},
};

struct Activation : OpCase {
  Function f;
  float scale;
  Activation(Function function, float s) : f(std::move(function)), scale(s) {}
  std::string name() const override { return fmt::format("activation_{}_inputs_of_{}", f.name, scale); }
  std::vector<int64_t> input_cols() const override { return {kCols}; }
  int64_t output_cols() const override { return kCols; }
  void fill(Rng& rng, size_t input, Matrix<float> x) const override {
    OpCase::fill(rng, input, x);
    multiply_all(x, scale);
  }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y = x[0];
    for (double& v : y.values) v = f.value(v);
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    activation::forward(at, f.kind, x[0], y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs x, Deltas dx, MatrixView dy) const override {
    activation::delta(at, blocks, f.kind, x[0], dx[0], dy);
  }
  void vjp(const Place::Call& at, Inputs x, MatrixView dy, int64_t probes, Deltas dx) const override {
    activation::vjp(at, f.kind, x[0], dy, probes, dx[0]);
  }
  double step() const override { return 1e-2 / static_cast<double>(scale); }  // its bend is as wide as 1
  bool row_wise() const override { return true; }
  double forward_bound() const override { return 8 * kUnit; }
};

struct Gated : OpCase {
  Function f;
  float gate_scale;
  gated::Form form;
  Gated(Function function, float scale) : f(std::move(function)), gate_scale(scale), form{.f = f.kind} {}
  Gated(Function function, float scale, float limit, float offset) : Gated(std::move(function), scale) {
    form.limit = limit;
    form.offset = offset;
  }
  std::string name() const override {
    const std::string clamped = form.clamped() ? fmt::format("_within_{}", form.limit) : "";
    return fmt::format("gated_{}_gates_of_{}{}", f.name, gate_scale, clamped);
  }
  std::vector<int64_t> input_cols() const override { return {kCols, kCols}; }
  int64_t output_cols() const override { return kCols; }
  void fill(Rng& rng, size_t input, Matrix<float> x) const override {
    OpCase::fill(rng, input, x);
    if (input == 0) multiply_all(x, gate_scale);
    if (form.clamped()) keep_from_limits(x);
  }
  // Where the numeric derivative would see both sides of a bend.
  void keep_from_limits(Matrix<float> x) const {
    for (int64_t i = 0; i < x.rows * x.cols; ++i)
      if (std::fabs(std::fabs(x.data[i]) - form.limit) < 0.02f * form.limit) x.data[i] *= 0.9f;
  }
  Table naive(size_t, std::span<const Table> x) const override {
    Table y = x[1];
    const auto limit = static_cast<double>(form.limit), offset = static_cast<double>(form.offset);
    for (size_t i = 0; i < y.values.size(); ++i)
      y.values[i] =
          (std::clamp(y.values[i], -limit, limit) + offset) * f.value(std::min(x[0].values[i], limit));
    return y;
  }
  void forward(const Place::Call& at, Inputs x, Matrix<float> y) const override {
    gated::forward(at, form, x[0], x[1], y);
  }
  void delta(const Place::Call& at, Blocks blocks, Inputs x, Deltas dx, MatrixView dy) const override {
    gated::delta(at, blocks, form, x[0], x[1], dx[0], dx[1], dy);
  }
  void vjp(const Place::Call& at, Inputs x, MatrixView dy, int64_t probes, Deltas dx) const override {
    gated::vjp(at, form, x[0], x[1], dy, probes, dx[0], dx[1]);
  }
  double step() const override { return std::min(1e-3, 1e-2 / static_cast<double>(gate_scale)); }
  bool row_wise() const override { return true; }
  double forward_bound() const override { return 8 * kUnit; }
};

}  // namespace

void add_activation_cases(Cases& cases) {
  for (const Function& f : kFunctions) {
    for (const float scale : {1.0f, 10.0f, 1000.0f}) cases.push_back(std::make_shared<Activation>(f, scale));
    for (const float scale : {1.0f, 10.0f, 100.0f}) cases.push_back(std::make_shared<Gated>(f, scale));
    cases.push_back(std::make_shared<Gated>(f, 1.0f, 1.0f, 0.5f));
  }
}

}  // namespace qsweep::ops::testing
