// What the interpreters share of the kind Experts: who works on which rows. A row's experts are known only
// once its router has been computed; a dry walk sends all rows to the first ones, so many as work on a row:
// no expert can get more, and all together do not.
#pragma once

#include "graph/graph.h"
#include "graph/pass.h"
#include "graph/scratch.h"
#include "graph/value.h"
#include "kernels/row_moves.h"

namespace qsweep::graph {

// A row that an expert works on.
struct RoutedRow {
  int64_t row = 0;
  double weight = 0;  // of the expert in the row's sum
};

// Of the rows of a value.
class Routing {
 public:
  Routing(const Pass& pass, const Experts& node, Matrix<const float> x);

  const std::vector<RoutedRow>& rows_of(size_t expert) const { return by_expert_[expert]; }  // ascending
  // Of a row; not of a dry walk.
  std::span<const ops::router::Share> shares(int64_t row) const { return shares_[static_cast<size_t>(row)]; }
  std::span<const float> logits(int64_t row) const {
    return std::span(logits_).subspan(static_cast<size_t>(row) * by_expert_.size(), by_expert_.size());
  }

 private:
  std::vector<float> logits_;  // [rows, experts]
  std::vector<std::vector<ops::router::Share>> shares_;
  std::vector<std::vector<RoutedRow>> by_expert_;
};

// Where each sample's begin among ascending rows of a kind, and the end of the last one's.
std::vector<int64_t> first_rows(const Batch& batch, Rows kind, std::span<const RoutedRow> rows);

// f32 [rows, cols], not filled in.
Value new_value(const Pass& pass, int64_t rows, int64_t cols);
// The rows of x in this order, and what gate and up make of them.
Value gather_rows(const Pass& pass, Matrix<const float> x, std::span<const RoutedRow> rows);
Value gated_rows(const Pass& pass, const ops::gated::Form& form, Matrix<const float> gate,
                 Matrix<const float> up);
void clear_rows(const Pass& pass, Matrix<float> y);
void add_rows(const Pass& pass, std::span<const kernels::RowTerm> terms, MatrixView x, Matrix<float> y);

}  // namespace qsweep::graph
