#include "graph/batch.h"

#include <algorithm>

namespace qsweep::graph {
namespace {

kernels::Buffer concatenate(kernels::Device device, const std::vector<SampleInputs>& samples,
                            const std::string& name, Batch::Contents contents) {
  int64_t rows = 0, cols = 0;
  for (const SampleInputs& s : samples) {
    const Tensor& t = s.tables.at(name);
    rows += t.shape()[0];
    cols = t.shape()[1];
  }
  kernels::Buffer all(contents == Batch::Contents::values ? device : Threads{1}, DType::f32, rows, cols);
  if (contents == Batch::Contents::shapes) return all;
  auto* out = static_cast<std::byte*>(all.data());
  for (const SampleInputs& s : samples) {
    const Tensor& t = s.tables.at(name);
    kernels::copy_to_device(device, out, t.bytes(), t.size_bytes());
    out += t.size_bytes();
  }
  return all;
}

template <class Map, class Find>
const auto& named(const Map& map, const std::string& name, Find what) {
  const auto it = map.find(name);
  QSWEEP_CHECK(it != map.end(), "the samples bring no {} \"{}\"", what, name);
  return it->second;
}

}  // namespace

Batch::Batch(std::vector<SampleInputs> samples, Contents contents, kernels::Device device) {
  QSWEEP_CHECK(!samples.empty(), "a batch without samples");
  for (size_t kind = 0; kind < kRowKinds; ++kind) {
    first_row_[kind].push_back(0);
    for (const SampleInputs& s : samples) first_row_[kind].push_back(first_row_[kind].back() + s.rows[kind]);
  }
  for (const auto& [name, table] : samples.front().tables)
    tables_.emplace(name, concatenate(device, samples, name, contents));
  for (size_t i = 0; i < samples.size(); ++i) {
    const SampleInputs& s = samples[i];
    token_ids_.insert(token_ids_.end(), s.token_ids.begin(), s.token_ids.end());
    for (const auto& [name, index] : s.indices) {
      Index& all = indices_[name];
      const int64_t base = first_row(index.source, static_cast<int64_t>(i));
      for (const int64_t row : index.rows) {
        all.within_sample.push_back(row);
        all.within_batch.push_back(row < 0 ? row : row + base);
      }
    }
    for (const auto& [name, lengths] : s.segments) {
      auto& all = segments_[name];
      for (const int64_t rows : lengths)
        all.push_back({.first = all.empty() ? 0 : all.back().first + all.back().rows, .rows = rows});
    }
  }
}

Matrix<const float> Batch::table(const std::string& name) const {
  return named(tables_, name, "table").matrix<const float>();
}
const Batch::Index& Batch::index(const std::string& name) const { return named(indices_, name, "index"); }
std::span<const ops::attention::Segment> Batch::segments(const std::string& name) const {
  return named(segments_, name, "segments");
}

int64_t Batch::size_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, table] : tables_) bytes += table.size_bytes();
  for (const auto& [name, index] : indices_) bytes += static_cast<int64_t>(index.within_batch.size() * 16);
  return bytes;
}

}  // namespace qsweep::graph
