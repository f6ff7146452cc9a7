// Values that flow along a graph: the reference's, and the live variants' deltas against it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/batch.h"
#include "graph/workspace.h"
#include "kernels/rows.h"

namespace qsweep::graph {

// f32 [rows of all samples, cols]; may be a view of another value's memory.
struct Value {
  std::shared_ptr<Workspace::Block> block;
  Matrix<float> matrix;
};

// One live variant of one sample.
struct Pair {
  int variant = 0;  // index among the leaves of its branch
  int64_t sample = 0;
};

// All pairs that have been forked, in fork order, and how many rows each has in a value of each kind.
class PairTable {
 public:
  explicit PairTable(const Batch& batch) : batch_(batch) {
    for (auto& starts : first_row_) starts.push_back(0);
  }

  void add(Pair pair);
  int64_t size() const { return static_cast<int64_t>(pairs_.size()); }
  const Pair& operator[](int64_t i) const { return pairs_[static_cast<size_t>(i)]; }
  // Rows of the pairs before pair i, were a value to hold them all.
  int64_t first_row(Rows kind, int64_t i) const {
    return first_row_[static_cast<size_t>(kind)][static_cast<size_t>(i)];
  }

 private:
  const Batch& batch_;
  std::vector<Pair> pairs_;
  std::array<std::vector<int64_t>, kRowKinds> first_row_;
};

struct PairRange {
  int64_t first = 0;
  int64_t last = 0;  // exclusive
};

// The deltas of some pairs: rows exist only for the pairs in `ranges` (ascending, disjoint), in pair order;
// every other pair is an implicit zero.
struct Delta {
  std::shared_ptr<Workspace::Block> block;
  MatrixView view;
  Rows kind = Rows::tokens;
  std::vector<PairRange> ranges;

  bool empty() const { return ranges.empty(); }
};

// Of a value of this kind and width, for the pairs of the ranges; not filled in.
Delta allocate_delta(Workspace& workspace, DType dtype, const PairTable& pairs, Rows kind, int64_t cols,
                     std::vector<PairRange> ranges);

std::vector<PairRange> merged(const std::vector<PairRange>& a, const std::vector<PairRange>& b);
int64_t rows_in(const PairTable& pairs, const std::vector<PairRange>& ranges, Rows kind);

// The blocks of `out`, one per pair, and where their rows stand in up to three inputs (null or empty:
// implicit zeros).
std::vector<kernels::RowBlock> row_blocks(const Batch& batch, const PairTable& pairs, const Delta& out,
                                          const std::vector<const Delta*>& inputs);

// What stages leave for later ones.
using Values = std::map<std::string, Value>;
using Deltas = std::map<std::string, Delta>;

}  // namespace qsweep::graph
