#include "pass/head_tiles.h"

#include "base/trace.h"
#include "ops/linear.h"

namespace qsweep::pass {

TensorView HeadTiles::rows(int64_t first, int64_t count) const {
  const graph::LinearOp& head = model_.lm_head();
  return {head.weight.dtype,
          {count, head.in_features()},
          head.weight.data + first * head.in_features() * size_bytes(head.weight.dtype)};
}

HeadTile HeadTiles::load(int64_t first) const {
  HeadTile tile{.first = first, .op = {}, .weights = {}};
  const graph::LinearOp& head = model_.lm_head();
  tile.op.name = head.name;
  const int64_t count = rows_from(first);
  tile.op.weight = rows(first, count);
  if (head.bias)
    tile.op.bias =
        TensorView{head.bias->dtype, {count}, head.bias->data + first * size_bytes(head.bias->dtype)};
  if (!pass_.workspace.dry()) {
    const trace::Span span("weights", tile.op.name,
                           {.bytes = static_cast<double>(tile.op.weight.size_bytes())});
    model_.checkpoint.populate(tile.op.weight);
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
