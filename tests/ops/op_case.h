// What the tests of this folder need to know of an op kind.
#pragma once

#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ops/place.h"

namespace qsweep::ops::testing {

// A matrix of doubles, which the naive forwards compute with.
struct Table {
  int64_t rows = 0, cols = 0;
  std::vector<double> values;

  Table() = default;
  Table(int64_t r, int64_t c) : rows(r), cols(c), values(static_cast<size_t>(r * c)) {}
  double* row(int64_t r) { return values.data() + r * cols; }
  const double* row(int64_t r) const { return values.data() + r * cols; }
};

// One op kind with one shape and one sort of values. A new op kind gets every test by deriving a struct from
// this and adding it to all_cases(). Inputs are those that can have a delta; weights, tables and indices
// belong to the struct and are made in its constructor from fixed seeds.
struct OpCase {
  virtual ~OpCase() = default;

  // Letters, digits and _; enough to find the case again.
  virtual std::string name() const = 0;

  // Samples lie one after the other in the inputs and in the output.
  virtual std::vector<int64_t> sample_rows() const { return {5, 37, 1}; }
  virtual int64_t input_rows(size_t /*input*/, size_t sample) const { return sample_rows()[sample]; }
  virtual std::vector<int64_t> input_cols() const = 0;
  virtual int64_t output_cols() const = 0;

  // The values of an input: standard normal unless the case says otherwise.
  virtual void fill(Rng& rng, size_t input, Matrix<float> x) const;
  // A delta of relative size `size` for one sample's rows: normal, times size, times each row's root mean
  // square.
  virtual void perturb(Rng& rng, size_t input, Matrix<const float> x, double size, Matrix<float> d) const;

  // The op on one sample in f64, independent of the kernels.
  virtual Table naive(size_t sample, std::span<const Table> x) const = 0;
  virtual void forward(const Place::Call& at, std::span<const Matrix<const float>> x,
                       Matrix<float> y) const = 0;
  virtual void delta(const Place::Call& at, std::span<const kernels::RowBlock> blocks,
                     std::span<const Matrix<const float>> x, std::span<const MatrixView> dx,
                     MatrixView dy) const = 0;
  // Cotangents of every input, all samples and probes.
  virtual bool has_vjp() const { return true; }
  virtual void vjp(const Place::Call& at, std::span<const Matrix<const float>> x, MatrixView dy,
                   int64_t probes, std::span<const MatrixView> dx) const = 0;
  // An output row depends on the same row of the inputs only.
  virtual bool row_wise() const { return false; }

  // Bounds of relative errors, as norms over one (variant, sample) pair: forward (from eps and length), delta
  // in f32 against f64, delta in bf16 against f32; vjp likewise, over one input's cotangents.
  virtual double forward_bound() const = 0;
  virtual double delta_bound() const { return 1e-5; }
  virtual double bf16_bound(double /*size*/) const { return 4e-3; }
  virtual double vjp_bound() const { return 1e-5; }
  virtual double step() const { return 1e-3; }  // of numeric derivatives, relative to the inputs
  virtual double bf16_vjp_bound() const { return 4e-3; }
  virtual int64_t tile_bytes() const { return int64_t{256} << 20; }

  int64_t first_row(size_t sample) const;
  int64_t first_input_row(size_t input, size_t sample) const;
  int64_t total_rows() const { return first_row(sample_rows().size()); }
};

void multiply_all(Matrix<float> x, float factor);

inline constexpr double kUnit = 0x1p-24;  // largest relative error of one f32 rounding

using CasePtr = std::shared_ptr<const OpCase>;
using Cases = std::vector<CasePtr>;

inline void PrintTo(const CasePtr& op, std::ostream* out) { *out << op->name(); }

void add_linear_cases(Cases& cases);
void add_row_cases(Cases& cases);
void add_norm_cases(Cases& cases);
void add_activation_cases(Cases& cases);
void add_index_cases(Cases& cases);
void add_attention_cases(Cases& cases);
void add_sequence_cases(Cases& cases);
Cases all_cases();

}  // namespace qsweep::ops::testing
