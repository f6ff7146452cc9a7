// The forward interpreter a second time, in plain loops and f64, for stages of whole numbers: what a model in
// any configuration computes. Quantizers are the ones of quant/, which have their own tests.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "quant/quantizers.h"

namespace qsweep::graph {

struct PlainValue {
  int64_t rows = 0, cols = 0;
  std::vector<double> numbers;

  PlainValue() = default;
  PlainValue(int64_t r, int64_t c) : rows(r), cols(c), numbers(static_cast<size_t>(r * c)) {}
  double& at(int64_t row, int64_t col) { return numbers[static_cast<size_t>(row * cols + col)]; }
  double at(int64_t row, int64_t col) const { return numbers[static_cast<size_t>(row * cols + col)]; }
  bool operator==(const PlainValue&) const = default;
};
using PlainValues = std::map<std::string, PlainValue>;

PlainValue plain(Matrix<const float> m);
PlainValue plain(const TensorView& weight, int64_t rows);

// The weight and the input of an op as a format has them; null: float.
PlainValue quantized_weight(const LinearOp& op, const quant::Format* format);
PlainValue quantized_input(const PlainValue& x, const quant::Format* format, const quant::Range* range);

// Adds what the stage leaves to `values`. formats: by op; range: of every op's input. Fails the test where
// f32 would have to round: where a number is not whole, or a sum's terms reach 2^23.
void run_plainly(const Stage& stage, std::span<const LinearOp> ops, const Batch& batch,
                 std::span<const quant::Format* const> formats, const quant::Range& range,
                 PlainValues& values);

}  // namespace qsweep::graph
