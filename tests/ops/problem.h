// A case with data: inputs, variants whose deltas are present in every combination, and the results.
#pragma once

#include <array>
#include <vector>

#include "ops/op_case.h"

namespace qsweep::ops::testing {

// Rows of f32 or bf16 with unused columns behind each.
class Buffer {
 public:
  Buffer(DType dtype, int64_t rows, int64_t cols, float everywhere);

  MatrixView view();
  Matrix<float> f32() { return view().as<float>(); }
  float at(int64_t r, int64_t c) const;
  void set(int64_t r, int64_t c, float value);
  // Rows [first, first + count) widened, one after the other.
  std::vector<float> rows_at(int64_t first, int64_t count) const;
  // The same elements in bf16.
  Buffer narrowed() const;

  DType dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t stride() const { return cols_ + kPadding; }

 private:
  static constexpr int64_t kPadding = 3;
  DType dtype_;
  int64_t rows_, cols_;
  std::vector<float> wide_;
  std::vector<bf16> narrow_;
};

inline constexpr float kUntouched = -12288;  // what results hold where nothing was written

struct Pair {
  size_t sample = 0;
  kernels::RowBlock block;
};

class Problem {
 public:
  // With bf16_deltas the deltas are bf16 numbers (kept in f32).
  Problem(const OpCase& op, double size, bool bf16_deltas = false);

  const std::vector<Pair>& pairs() const { return pairs_; }
  // f(x) of a sample and f(x + d) - f(x) of every pair, in f64.
  std::vector<double> exact_forward(size_t sample) const;
  std::vector<std::vector<double>> exact_deltas() const;

  // The op's own results, into a buffer full of kUntouched.
  Buffer forward(Place& place);
  enum class Order { as_placed, reversed };
  Buffer delta(Place& place, DType dtype, Order order = Order::as_placed);
  // Every element of a delta result outside the pairs' rows is kUntouched.
  bool only_pairs_written(const Buffer& result) const;

 private:
  Table table(size_t input, size_t sample, const Pair* changed) const;
  std::vector<Matrix<const float>> inputs(const Place::Call& at);
  void place_pairs();

  const OpCase& op_;
  std::vector<Buffer> x_, d_;
  std::vector<Pair> pairs_;
  int64_t result_rows_ = 0;
};

}  // namespace qsweep::ops::testing
