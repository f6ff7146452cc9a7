// What the tower of Qwen2.5-VL reads of a sample: patches in the order of their windows.
#pragma once

#include <vector>

#include "models/qwen2_5_vl/config.h"

namespace qsweep::models::qwen2_5_vl {

// Names under which the stages find them.
inline constexpr char kWindowOrder[] = "window_order";      // patches from patches
inline constexpr char kWindowRestore[] = "window_restore";  // units from units: the inverse
inline constexpr char kWindows[] = "windows";               // segments of patches in window order

// The order of merged units in which windows are contiguous, and each window's number of units. side: of a
// window, in units.
struct WindowOrder {
  std::vector<int32_t> units;  // position -> unit, image by image
  std::vector<int32_t> sizes;
};
WindowOrder window_order(std::span<const Grid> grids, int64_t merge, int64_t side);

class Inputs : public qwen_vl::Inputs {
 public:
  Inputs(std::string folder, const Config& config, LoadOptions options);

 protected:
  void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const override;

 private:
  int64_t window_side_;
};

}  // namespace qsweep::models::qwen2_5_vl
