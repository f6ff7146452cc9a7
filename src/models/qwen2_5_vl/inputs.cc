#include "models/qwen2_5_vl/inputs.h"

#include <algorithm>

namespace qsweep::models::qwen2_5_vl {

WindowOrder window_order(std::span<const Grid> grids, int64_t merge, int64_t side) {
  WindowOrder order;
  int64_t first = 0;  // unit of the image
  for (const Grid& g : grids) {
    const int64_t high = g.h / merge, wide = g.w / merge;
    for (int64_t t = 0; t < g.t; ++t, first += high * wide) {
      for (int64_t top = 0; top < high; top += side) {
        for (int64_t left = 0; left < wide; left += side) {
          const int64_t bottom = std::min(top + side, high), right = std::min(left + side, wide);
          for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = left; x < right; ++x)
              order.units.push_back(static_cast<int32_t>(first + y * wide + x));
          order.sizes.push_back(static_cast<int32_t>((bottom - top) * (right - left)));
        }
      }
    }
  }
  return order;
}

Inputs::Inputs(std::string folder, const Config& config, LoadOptions options)
    : qwen_vl::Inputs(std::move(folder), config, config.vision.head_dim, std::move(options)),
      window_side_(config.vision.window_size / config.images.merge() / config.images.geometry.patch_size) {}

void Inputs::add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const {
  qwen_vl::Inputs::add_tower(grids, Pixels::shapes, inputs);
  const WindowOrder order = window_order(grids, images().merge(), window_side_);
  const auto patches_of_unit = static_cast<int32_t>(images().merge() * images().merge());
  graph::RowIndex reorder{.source = kPatches, .rows = {}};
  graph::RowIndex restore{.source = kUnits, .rows = std::vector<int32_t>(order.units.size())};
  for (size_t position = 0; position < order.units.size(); ++position) {
    for (int32_t inner = 0; inner < patches_of_unit; ++inner)
      reorder.rows.push_back(order.units[position] * patches_of_unit + inner);
    restore.rows[static_cast<size_t>(order.units[position])] = static_cast<int32_t>(position);
  }
  auto& windows = inputs.segments[kWindows];
  for (const int32_t units : order.sizes) windows.push_back(units * patches_of_unit);
  if (pixels != Pixels::shapes) inputs.tables[qwen_vl::kVisionCosSin] = vision_cos_sin(grids, reorder.rows);
  inputs.indices[kWindowOrder] = std::move(reorder);
  inputs.indices[kWindowRestore] = std::move(restore);
}

}  // namespace qsweep::models::qwen2_5_vl
