// What a pass measures.
#pragma once

#include <vector>

#include "graph/variants.h"

namespace qsweep::pass {

// A variant's place among all of a run.
enum class VariantId : int {};
inline constexpr VariantId kReference{-1};  // the float model: none of them

// What a list of one element per variant holds for it.
template <class List>
decltype(auto) at(List&& list, VariantId variant) {
  return list[static_cast<size_t>(variant)];
}

// A model configuration. A carried one is computed in f32 values, so that others can be written as their
// difference from it; a leaf is carried as its difference from its parent.
struct Variant {
  bool carried = false;
  std::vector<const quant::Format*> formats = {};  // carried: per op, null is float
  VariantId parent = kReference;                   // leaf: a carried variant, or the reference
  std::vector<graph::Override> overrides = {};     // leaf: ascending by op
};

inline std::vector<VariantId> all_of(const std::vector<Variant>& variants) {
  std::vector<VariantId> all;
  for (size_t v = 0; v < variants.size(); ++v) all.push_back(VariantId{static_cast<int>(v)});
  return all;
}

}  // namespace qsweep::pass
