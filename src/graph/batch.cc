#include "graph/batch.h"

#include <algorithm>

namespace qsweep::graph {
namespace {

template <class Map, class Find>
const auto& named(const Map& map, const std::string& name, Find what) {
  const auto it = map.find(name);
  QSWEEP_CHECK(it != map.end(), "the samples bring no {} \"{}\"", what, name);
  return it->second;
}

}  // namespace

Batch::Batch(const std::vector<SampleInputs>& samples, Contents contents, kernels::Device device)
    : device_(device) {
  QSWEEP_CHECK(!samples.empty(), "a batch without samples");
  for (size_t kind = 0; kind < kRowKinds; ++kind) {
    first_row_[kind].push_back(0);
    for (const SampleInputs& s : samples)
      first_row_[kind].push_back(first_row_[kind].back() + s.rows.by_kind[kind]);
  }
  for (const auto& [name, table] : samples.front().tables) {
    Table& all = tables_[name];
    int64_t rows = 0, cols = 0;
    for (const SampleInputs& s : samples) {
      all.first_row.push_back(rows);
      rows += s.tables.at(name).shape()[0];
      cols = s.tables.at(name).shape()[1];
    }
    all.values = kernels::Buffer(contents == Contents::shapes ? Threads{1} : device, DType::f32, rows, cols);
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    const SampleInputs& s = samples[i];
    token_ids_.insert(token_ids_.end(), s.token_ids.begin(), s.token_ids.end());
    for (const auto& [name, index] : s.indices) {
      index_bytes_ += std::ssize(index.rows) * 2 * int64_t{sizeof(int64_t)};
      if (contents != Contents::shapes) add_index(indices_[name], index, static_cast<int64_t>(i));
    }
    for (const auto& [name, lengths] : s.segments) {
      auto& all = segments_[name];
      for (const int64_t rows : lengths)
        all.push_back({.first = all.empty() ? 0 : all.back().first + all.back().rows, .rows = rows});
    }
    for (const auto& [name, spans] : s.spans) {
      auto& all = spans_[name];
      for (const auto& span : spans)
        all.push_back(
            {.first = first_row(Rows::tokens, static_cast<int64_t>(i)) + span.first, .rows = span.rows});
    }
    if (contents == Contents::values) fill(static_cast<int64_t>(i), s);
  }
}

int64_t Batch::most_rows() const {
  int64_t most = 0;
  for (const std::vector<int64_t>& starts : first_row_) most = std::max(most, starts.back());
  return most;
}

void Batch::add_index(Index& all, const RowIndex& index, int64_t sample) const {
  const int64_t base = first_row(index.source, sample);
  for (const int64_t row : index.rows) {
    all.within_sample.push_back(row);
    all.within_batch.push_back(row < 0 ? row : row + base);
  }
}

void Batch::fill(int64_t sample, const SampleInputs& inputs) {
  for (auto& [name, table] : tables_) {
    const Tensor& values = inputs.tables.at(name);
    const MatrixView to =
        table.values.view().rows_at(table.first_row[static_cast<size_t>(sample)], values.shape()[0]);
    kernels::copy_to_device(device_, to.data, values.bytes(), values.size_bytes());
  }
}

Matrix<const float> Batch::table(const std::string& name) const {
  return named(tables_, name, "table").values.matrix<const float>();
}
const Batch::Index& Batch::index(const std::string& name) const { return named(indices_, name, "index"); }
ops::attention::Layout Batch::layout(const std::string& segments, const std::string& spans) const {
  ops::attention::Layout layout{named(segments_, segments, "segments"), {}};
  if (!spans.empty()) layout.spans = named(spans_, spans, "spans");
  return layout;
}

int64_t Batch::size_bytes() const {
  int64_t bytes = index_bytes_;
  for (const auto& [name, table] : tables_) bytes += table.values.size_bytes();
  return bytes;
}

}  // namespace qsweep::graph
