#include "schedule/work.h"

#include <algorithm>
#include <set>

#include "pass/head_tiles.h"
#include "pass/setting.h"

namespace qsweep::schedule {

using graph::kRowKinds;

Tally::Tally(const models::Model& model, const std::vector<models::Sample>& data,
             std::span<const pass::Variant> variants, DType delta_dtype)
    : model_(model),
      data_(data),
      variants_(variants),
      delta_dtype_(delta_dtype),
      kinds_(pass::row_kinds(model)) {}

void Tally::add(const std::vector<int>& samples, const std::vector<pass::VariantId>& variants) {
  std::set<pass::VariantId> parents{pass::kReference};
  std::vector<int64_t> forks(kinds_.size());  // per op: leaves that leave their parent there
  for (const pass::VariantId v : variants) {
    const pass::Variant& variant = at(variants_, v);
    parents.insert(variant.carried ? v : variant.parent);
    if (!variant.carried) ++forks[static_cast<size_t>(variant.overrides.front().op)];
  }
  std::array<int64_t, kRowKinds> live{};  // leaves by the kind of rows that they forked on
  for (size_t op = 0; op < kinds_.size(); ++op) {
    const auto kind = static_cast<size_t>(kinds_[op]);
    int64_t rows = 0, delta_rows = 0;
    for (const int s : samples) {
      const models::Sample& sample = data_[static_cast<size_t>(s)];
      rows += sample.rows[kinds_[op]];
      for (size_t k = 0; k < kRowKinds; ++k)
        if (sample.rows.by_kind[k] > 0) delta_rows += sample.rows[kinds_[op]] * live[k];
    }
    for (size_t i = 0; i < parents.size(); ++i) add(DType::f32, op, rows);
    add(delta_dtype_, op, delta_rows);
    live[kind] += forks[op];
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

void Tally::add(DType dtype, size_t op, int64_t rows) {
  if (rows == 0) return;
  const graph::LinearOp& linear = model_.ops[op];
  const bool head = &linear == &model_.lm_head();
  const int64_t in = linear.in_features(), out = linear.out_features();
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  Sum& sum = sums_[{dtype, in, head ? std::min(out, pass::kHeadTile) : out}];
  sum.flops += flops;
  sum.weighted_rows += flops * static_cast<double>(rows);
  sum.elements += static_cast<double>(rows) * static_cast<double>(in + out);
}

}  // namespace qsweep::schedule
