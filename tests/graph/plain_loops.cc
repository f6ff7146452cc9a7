#include "graph/plain_loops.h"

#include <cmath>

#include <gtest/gtest.h>

namespace qsweep::graph {
namespace {

constexpr double kLargest = 1 << 23;

std::vector<float> floats(const PlainValue& v) { return {v.numbers.begin(), v.numbers.end()}; }

PlainValue sum(const PlainValue& a, const PlainValue& b) {
  PlainValue y = a;
  for (size_t i = 0; i < y.numbers.size(); ++i) y.numbers[i] += b.numbers[i];
  return y;
}

PlainValue product(const PlainValue& x, const PlainValue& w) {
  PlainValue y(x.rows, w.rows);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t c = 0; c < y.cols; ++c) {
      double terms = 0;
      for (int64_t i = 0; i < x.cols; ++i) {
        y.at(r, c) += x.at(r, i) * w.at(c, i);
        terms += std::abs(x.at(r, i) * w.at(c, i));
      }
      EXPECT_TRUE(terms < kLargest && y.at(r, c) == std::round(y.at(r, c)));
    }
  return y;
}

// Row index[r] of x per row, or that of `otherwise`, or zeros.
PlainValue chosen_rows(std::span<const int64_t> index, const PlainValue& x, const PlainValue& otherwise) {
  PlainValue y(static_cast<int64_t>(index.size()), x.cols);
  for (int64_t r = 0; r < y.rows; ++r) {
    const int64_t from = index[static_cast<size_t>(r)];
    for (int64_t c = 0; c < y.cols; ++c)
      y.at(r, c) = from >= 0 ? x.at(from, c) : otherwise.rows > 0 ? otherwise.at(r, c) : 0;
  }
  return y;
}

// One node, whose inputs are there.
struct Compute {
  const Node& node;
  std::span<const LinearOp> ops;
  const Batch& batch;
  std::span<const quant::Format* const> formats;
  const quant::Range& range;
  const PlainValues& values;
  std::vector<const PlainValue*> in;

  PlainValue operator()(const Input& n) const { return values.at(n.name); }
  PlainValue operator()(const Table& n) const { return plain(batch.table(n.name)); }
  PlainValue operator()(const Linear& n) const {
    const auto op_index = static_cast<size_t>(n.op);
    const LinearOp& op = ops[op_index];
    PlainValue y =
        product(quantized_input(*in[0], formats[op_index], &range), quantized_weight(op, formats[op_index]));
    for (int64_t r = 0; op.bias && r < y.rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c) y.at(r, c) += op.bias->as<float>()[static_cast<size_t>(c)];
    return y;
  }
  PlainValue operator()(const Add&) const { return sum(*in[0], *in[1]); }
  PlainValue operator()(const Embedding& n) const {
    std::vector<int64_t> ids(batch.token_ids().begin(), batch.token_ids().end());
    return chosen_rows(ids, plain(n.table, n.table.shape[0]), {});
  }
  PlainValue operator()(const Scatter& n) const {
    return chosen_rows(batch.index(n.index).within_batch, *in[1], *in[0]);
  }
  PlainValue operator()(const Gather& n) const {
    return chosen_rows(batch.index(n.index).within_batch, *in[0], {});
  }
  PlainValue operator()(const Scale& n) const {
    PlainValue y = *in[0];
    for (double& v : y.numbers) v *= static_cast<double>(n.factor);
    return y;
  }
  PlainValue operator()(const Mean& n) const {
    PlainValue y(batch.rows(node.rows), node.cols);
    for (int64_t r = 0; r < in[0]->rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c)
        y.at(r / n.factor, c) += in[0]->at(r, c) / static_cast<double>(n.factor);
    return y;
  }
  PlainValue operator()(const Merge& n) const {
    PlainValue y(batch.rows(node.rows), node.cols);
    for (int64_t r = 0; r < in[0]->rows; ++r)
      for (int64_t c = 0; c < in[0]->cols; ++c) {
        const int64_t k = r % n.factor;
        y.at(r / n.factor, n.order == MergeOrder::rows_first ? k * in[0]->cols + c : c * n.factor + k) =
            in[0]->at(r, c);
      }
    return y;
  }
  PlainValue operator()(const Columns& n) const {
    PlainValue y(in[0]->rows, node.cols);
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c) y.at(r, c) = in[0]->at(r, n.first + c);
    return y;
  }
  template <class Other>
  PlainValue operator()(const Other&) const {
    ADD_FAILURE() << name(node.operation) << " is not exact in whole numbers";
    return {};
  }
};

}  // namespace

PlainValue plain(Matrix<const float> m) {
  PlainValue v(m.rows, m.cols);
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < m.cols; ++c) v.at(r, c) = m.row(r)[c];
  return v;
}

PlainValue plain(const TensorView& weight, int64_t rows) {
  return plain(Matrix<const float>(weight.as<float>().data(), rows, weight.elements() / rows));
}

PlainValue quantized_weight(const LinearOp& op, const quant::Format* format) {
  const PlainValue w = plain(op.weight, op.out_features());
  if (format == nullptr) return w;
  std::vector<float> from = floats(w), to(from.size());
  quant::fake_quantize_weight(Threads{1}, *format, {from.data(), w.rows, w.cols}, nullptr,
                              {to.data(), w.rows, w.cols});
  return plain(Matrix<const float>(to.data(), w.rows, w.cols));
}

PlainValue quantized_input(const PlainValue& x, const quant::Format* format, const quant::Range* range) {
  if (format == nullptr || x.rows == 0) return x;
  std::vector<float> from = floats(x), to(from.size());
  quant::fake_quantize_input(Threads{1}, *format, {from.data(), x.rows, x.cols}, range,
                             {to.data(), x.rows, x.cols});
  return plain(Matrix<const float>(to.data(), x.rows, x.cols));
}

void run_plainly(const Stage& stage, std::span<const LinearOp> ops, const Batch& batch,
                 std::span<const quant::Format* const> formats, const quant::Range& range,
                 PlainValues& values) {
  std::vector<PlainValue> local;
  for (const Node& node : stage.nodes) {
    Compute compute{node, ops, batch, formats, range, values, {}};
    for (const int input : node.inputs) compute.in.push_back(&local[static_cast<size_t>(input)]);
    PlainValue y = std::visit(compute, node.operation);
    local.push_back(std::move(y));
  }
  for (const auto& [name, node] : stage.outputs) values[name] = local[static_cast<size_t>(node)];
}

}  // namespace qsweep::graph
