// The samples that one pass computes together, and what the ops need to know of each: no padding exists,
// every value holds the rows of all samples one after the other.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/buffer.h"
#include "ops/attention.h"
#include "tensor/tensor.h"

namespace qsweep::graph {

// What one row of a value stands for; a model names the kinds that it has beside tokens. Their number differs
// per sample, and may be 0.
enum class Rows : uint8_t { tokens };
inline constexpr size_t kRowKinds = 3;  // the most of a model

// How many rows of each kind a sample has.
struct RowCounts {
  std::array<int64_t, kRowKinds> by_kind{};

  int64_t operator[](Rows kind) const { return by_kind[static_cast<size_t>(kind)]; }
  int64_t& operator[](Rows kind) { return by_kind[static_cast<size_t>(kind)]; }
};

// For every output row, the row of `source` kind within the same sample that it comes from, or -1.
struct RowIndex {
  Rows source = Rows::tokens;
  std::vector<int32_t> rows;
};

// One sample as a model family prepares it. Tables and indices are named by the family's stages.
struct SampleInputs {
  RowCounts rows;
  std::vector<int32_t> token_ids;
  std::map<std::string, Tensor> tables;                  // f32 [rows of some kind, n]
  std::map<std::string, RowIndex> indices;               // one entry per output row
  std::map<std::string, std::vector<int32_t>> segments;  // attention segments: their lengths, in order
  // Tokens, counted within the sample, that see each other both ways in causal segments; in order.
  std::map<std::string, std::vector<ops::attention::Segment>> spans;
};

class Batch {
 public:
  struct Index {
    std::vector<int64_t> within_sample;  // rows counted within each sample
    std::vector<int64_t> within_batch;   // rows counted within the batch
  };

  // Every sample must bring the same names. Of `shapes` the tables have no values and the indices no rows:
  // enough to plan a pass. With `room` the tables have no values yet: fill() brings those of one sample at a
  // time, so that they are never there twice.
  enum class Contents { values, shapes, room };
  // device: that the tables are for.
  explicit Batch(const std::vector<SampleInputs>& samples, Contents contents = Contents::values,
                 kernels::Device device = Threads{1});
  void fill(int64_t sample, const SampleInputs& inputs);

  int64_t samples() const { return static_cast<int64_t>(first_row_[0].size()) - 1; }
  int64_t rows(Rows kind) const { return starts(kind).back(); }
  int64_t most_rows() const;  // of any kind
  int64_t rows(Rows kind, int64_t sample) const {
    return first_row(kind, sample + 1) - first_row(kind, sample);
  }
  int64_t first_row(Rows kind, int64_t sample) const { return starts(kind)[static_cast<size_t>(sample)]; }

  // Of every sample, and behind the last one.
  const std::vector<int64_t>& first_rows(Rows kind) const { return starts(kind); }

  std::span<const int32_t> token_ids() const { return token_ids_; }
  Matrix<const float> table(const std::string& name) const;  // in the device's memory
  const Index& index(const std::string& name) const;
  // spans: empty if there are none.
  ops::attention::Layout layout(const std::string& segments, const std::string& spans) const;
  int64_t size_bytes() const;

 private:
  void add_index(Index& all, const RowIndex& index, int64_t sample) const;
  const std::vector<int64_t>& starts(Rows kind) const { return first_row_[static_cast<size_t>(kind)]; }

  struct Table {
    kernels::Buffer values;
    std::vector<int64_t> first_row;  // per sample
  };

  kernels::Device device_;
  std::array<std::vector<int64_t>, kRowKinds> first_row_;  // per kind: samples + 1 row offsets
  std::vector<int32_t> token_ids_;
  std::map<std::string, Table> tables_;
  std::map<std::string, Index> indices_;
  int64_t index_bytes_ = 0;
  std::map<std::string, std::vector<ops::attention::Segment>> segments_, spans_;
};

}  // namespace qsweep::graph
