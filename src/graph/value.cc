#include "graph/value.h"

#include <algorithm>

namespace qsweep::graph {

void PairTable::add(Pair pair) {
  pairs_.push_back(pair);
  for (size_t kind = 0; kind < kRowKinds; ++kind)
    first_row_[kind].push_back(first_row_[kind].back() + batch_.rows(static_cast<Rows>(kind), pair.sample));
}

std::vector<PairRange> merged(const std::vector<PairRange>& a, const std::vector<PairRange>& b) {
  std::vector<PairRange> all(a);
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end(), [](const PairRange& x, const PairRange& y) { return x.first < y.first; });
  std::vector<PairRange> out;
  for (const PairRange& r : all) {
    if (!out.empty() && r.first <= out.back().last) {
      out.back().last = std::max(out.back().last, r.last);
    } else {
      out.push_back(r);
    }
  }
  return out;
}

int64_t rows_in(const PairTable& pairs, const std::vector<PairRange>& ranges, Rows kind) {
  int64_t rows = 0;
  for (const PairRange& r : ranges) rows += pairs.first_row(kind, r.last) - pairs.first_row(kind, r.first);
  return rows;
}

Delta allocate_delta(Workspace& workspace, DType dtype, const PairTable& pairs, Rows kind, int64_t cols,
                     std::vector<PairRange> ranges) {
  Delta d{.block = nullptr, .view = {}, .kind = kind, .ranges = std::move(ranges)};
  const int64_t rows = rows_in(pairs, d.ranges, kind);
  d.block = workspace.allocate(dtype, rows, cols);
  d.view = {d.block->data(), dtype, rows, cols, cols};
  return d;
}

namespace {

// Walks a delta's pairs in ascending order.
class Cursor {
 public:
  Cursor(const PairTable& pairs, const Delta* delta) : pairs_(pairs), delta_(delta) {}

  // The first row of `pair`, or kAbsent. Pairs must be asked for in ascending order.
  int64_t row_of(int64_t pair) {
    if (delta_ == nullptr) return kernels::kAbsent;
    const auto& ranges = delta_->ranges;
    while (next_ < ranges.size() && ranges[next_].last <= pair) {
      base_ += span(ranges[next_].first, ranges[next_].last);
      ++next_;
    }
    if (next_ == ranges.size() || pair < ranges[next_].first) return kernels::kAbsent;
    return base_ + span(ranges[next_].first, pair);
  }

 private:
  int64_t span(int64_t first, int64_t last) const {
    return pairs_.first_row(delta_->kind, last) - pairs_.first_row(delta_->kind, first);
  }
  const PairTable& pairs_;
  const Delta* delta_;
  size_t next_ = 0;
  int64_t base_ = 0;
};

}  // namespace

std::vector<kernels::RowBlock> row_blocks(const Batch& batch, const PairTable& pairs, const Delta& out,
                                          const std::vector<const Delta*>& inputs) {
  std::vector<Cursor> cursors;
  for (const Delta* input : inputs) cursors.emplace_back(pairs, input);
  Cursor out_cursor(pairs, &out);
  std::vector<kernels::RowBlock> blocks;
  for (const PairRange& range : out.ranges) {
    for (int64_t pair = range.first; pair < range.last; ++pair) {
      const int64_t sample = pairs[pair].sample;
      kernels::RowBlock block{.rows = batch.rows(out.kind, sample),
                              .parent = batch.first_row(out.kind, sample),
                              .out = out_cursor.row_of(pair)};
      for (size_t i = 0; i < cursors.size(); ++i) block.in[i] = cursors[i].row_of(pair);
      blocks.push_back(block);
    }
  }
  return blocks;
}

}  // namespace qsweep::graph
