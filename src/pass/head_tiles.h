// lm_head, some rows of its weight at a time.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "graph/linear_step.h"
#include "models/model.h"

namespace qsweep::pass {

// Vocabulary columns per tile.
inline constexpr int64_t kHeadTile = 512;

struct HeadTile {
  int64_t first = 0;
  graph::LinearOp op;  // these rows alone, with their part of the bias
  graph::LinearWeights weights;
};

class HeadTiles {
 public:
  HeadTiles(const models::Model& model, const graph::Pass& pass) : model_(model), pass_(pass) {}

  int64_t columns() const { return model_.lm_head().out_features(); }
  HeadTile load(int64_t first) const;
  int64_t rows_from(int64_t first) const { return std::min(kHeadTile, columns() - first); }
  // Rows [first, first + count) of the weight.
  graph::StoredWeight rows(int64_t first, int64_t count) const;
  // Calls body(tile) for every tile, and lets its memory go; of a dry pass the first tile alone, since the
  // others take as much.
  template <class Body>
  void each(Body&& body) const {
    for (int64_t first = 0; first < columns(); first += kHeadTile) {
      for (const int64_t soon : {first, first + kHeadTile})
        if (soon < columns() && !pass_.workspace.dry())
          pass_.workspace.weights().prefetch(rows(soon, rows_from(soon)).parts());
      const HeadTile tile = load(first);
      body(tile);
      if (pass_.workspace.dry()) return;
      const std::vector<TensorView> parts = tile.op.weight.parts();
      pass_.workspace.weights().release(parts);
      for (const TensorView& part : parts) model_.checkpoint.release(part);
      if (tile.op.bias) model_.checkpoint.release(*tile.op.bias);
    }
  }
  // How many times the columns of the tiles that each() visits all columns are.
  double scale() const {
    if (!pass_.workspace.dry()) return 1;
    return static_cast<double>(columns()) / static_cast<double>(std::min(kHeadTile, columns()));
  }

  // One walk over the tiles: the normalizers of the reference's logits, and the weight's range where one of
  // the formats asks for it, both in the device's memory.
  kernels::Buffer normalize(Matrix<const float> hidden, std::span<const quant::Format* const> formats,
                            std::span<kernels::LogitsNormalizer> normalizers) const;

 private:
  const models::Model& model_;
  const graph::Pass& pass_;
};

}  // namespace qsweep::pass
