#include "schedule/work.h"

#include <algorithm>
#include <set>

#include "pass/head_tiles.h"
#include "pass/setting.h"

namespace qsweep::schedule {

using graph::kRowKinds;

Tally::Tally(const models::Model& model, const std::vector<models::Sample>& data,
             std::span<const pass::Variant> variants, DType delta_dtype)
    : model_(model), data_(data), variants_(variants), delta_dtype_(delta_dtype) {
  for (const graph::Rows kind : pass::row_kinds(model)) places_.push_back({.kind = kind});
  int mixtures = 0;
  for (const graph::Stage& stage : model.stages)
    for (const graph::Node& node : stage.nodes) {
      const auto* const mixture = std::get_if<graph::Experts>(&node.operation);
      if (mixture == nullptr) continue;
      const auto all = std::ssize(mixture->experts);
      for (int e = 0; e < all; ++e) {
        const auto& [gate, up, down] = mixture->experts[static_cast<size_t>(e)];
        for (const int op : {gate, up, down}) {
          Place& place = places_[static_cast<size_t>(op)];
          place.share = static_cast<double>(mixture->rule.chosen) / static_cast<double>(all);
          place.mixture = mixtures;
          place.expert = e;
        }
      }
      ++mixtures;
    }
}

void Tally::Live::reach(const Place& place) {
  if (place.mixture == mixture && place.expert == expert) return;
  auto& left = place.mixture == mixture ? beside : before;
  for (size_t k = 0; k < kRowKinds; ++k) {
    left[k] += here[k];
    here[k] = 0;
    if (place.mixture == mixture) continue;
    before[k] += beside[k];
    beside[k] = 0;
  }
  mixture = place.mixture;
  expert = place.expert;
}

void Tally::add(const std::vector<int>& samples, const std::vector<pass::VariantId>& variants) {
  std::set<pass::VariantId> parents{pass::kReference};
  std::vector<int64_t> forks(places_.size());  // per op: leaves that leave their parent there
  for (const pass::VariantId v : variants) {
    const pass::Variant& variant = at(variants_, v);
    parents.insert(variant.carried ? v : variant.parent);
    if (!variant.carried) ++forks[static_cast<size_t>(variant.overrides.front().op)];
  }
  Live live;
  for (size_t op = 0; op < places_.size(); ++op) {
    const Place& place = places_[op];
    live.reach(place);
    int64_t rows = 0, delta_rows = 0;
    for (const int s : samples) {
      const models::Sample& sample = data_[static_cast<size_t>(s)];
      rows += sample.rows[place.kind];
      for (size_t k = 0; k < kRowKinds; ++k)
        if (sample.rows.by_kind[k] > 0)
          delta_rows += sample.rows[place.kind] * (live.before[k] + live.here[k]);
    }
    for (size_t i = 0; i < parents.size(); ++i) add(DType::f32, op, place.share * static_cast<double>(rows));
    add(delta_dtype_, op, place.share * static_cast<double>(delta_rows));
    live.here[static_cast<size_t>(place.kind)] += forks[op];
  }
}

Amount Tally::amount() const {
  Amount amount;
  for (const auto& [key, sum] : sums_) {
    amount.flops += sum.flops;
    amount.elements += sum.elements;
  }
  return amount;
}

std::vector<ProductShape> Tally::largest(size_t count) const {
  std::vector<ProductShape> shapes;
  for (const auto& [key, sum] : sums_)
    shapes.push_back({.dtype = std::get<0>(key),
                      .in = std::get<1>(key),
                      .out = std::get<2>(key),
                      .rows = static_cast<int64_t>(sum.weighted_rows / sum.flops),
                      .flops = sum.flops});
  std::ranges::stable_sort(shapes, std::greater(), &ProductShape::flops);
  shapes.resize(std::min(shapes.size(), count));
  return shapes;
}

void Tally::add(DType dtype, size_t op, double rows) {
  const graph::LinearOp& linear = model_.ops[op];
  if (rows == 0 || linear.cache) return;
  const bool head = &linear == &model_.lm_head();
  const int64_t in = linear.in_features(), out = linear.out_features();
  const double flops = 2.0 * rows * static_cast<double>(in) * static_cast<double>(out);
  Sum& sum = sums_[{dtype, in, head ? std::min(out, pass::kHeadTile) : out}];
  sum.flops += flops;
  sum.weighted_rows += flops * rows;
  sum.elements += rows * static_cast<double>(in + out);
}

}  // namespace qsweep::schedule
