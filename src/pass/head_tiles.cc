#include "pass/head_tiles.h"

#include "base/trace.h"
#include "ops/linear.h"

namespace qsweep::pass {

graph::StoredWeight HeadTiles::rows(int64_t first, int64_t count) const {
  return model_.lm_head().weight.rows(first, count);
}

HeadTile HeadTiles::load(int64_t first) const {
  HeadTile tile{.first = first, .op = {}, .weights = {}};
  const graph::LinearOp& head = model_.lm_head();
  tile.op.name = head.name;
  const int64_t count = rows_from(first);
  tile.op.weight = rows(first, count);
  if (head.bias) tile.op.bias = head.bias->rows(first, count);
  if (!pass_.workspace.dry()) {
    const trace::Span span("weights", tile.op.name,
                           {.bytes = static_cast<double>(tile.op.weight.part_bytes())});
    for (const TensorView& part : tile.op.weight.parts()) model_.checkpoint.populate(part);
  }
  tile.weights = graph::LinearWeights(pass_, tile.op);
  return tile;
}

kernels::Buffer HeadTiles::normalize(Matrix<const float> hidden,
                                     std::span<const quant::Format* const> formats,
                                     std::span<kernels::LogitsNormalizer> normalizers) const {
  const kernels::Device device = pass_.ops.device();
  const bool ranged = std::any_of(formats.begin(), formats.end(), [](const quant::Format* f) {
    return f != nullptr && quant::needs_weight_range(*f);
  });
  const auto tiles = (columns() + kHeadTile - 1) / kHeadTile;
  const kernels::Buffer min(device, DType::f32, 1, tiles), max(device, DType::f32, 1, tiles);
  each([&](const HeadTile& tile) {
    const int64_t cols = tile.op.out_features();
    const auto block = pass_.workspace.allocate(DType::f32, hidden.rows, cols);
    const Matrix<float> logits{static_cast<float*>(block->data()), hidden.rows, cols};
    const MatrixView w = tile.weights.for_values(hidden.rows);
    if (pass_.workspace.dry()) return;
    ops::linear::forward(pass_.ops, hidden, w, tile.weights.bias(), logits);
    kernels::update_normalizers(device, logits, tile.first, normalizers);
    const auto place = static_cast<size_t>(tile.first / kHeadTile);
    if (ranged)
      quant::find_weight_range(device, tile.weights.stored(),
                               {&min.elements<float>()[place], &max.elements<float>()[place]});
  });
  kernels::Buffer range;
  if (!ranged) return range;
  range = kernels::Buffer(device, DType::u8, 1, sizeof(quant::Range));
  if (!pass_.workspace.dry())
    kernels::join_ranges(device, min.elements<float>(), max.elements<float>(),
                         static_cast<quant::Range*>(range.data()));
  return range;
}

}  // namespace qsweep::pass
