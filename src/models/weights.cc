#include "models/weights.h"

#include <algorithm>

namespace qsweep::models {
namespace {

constexpr std::string_view kUnusedPrefixes[] = {"mtp.", "model.mtp."};
constexpr std::string_view kUnusedSuffixes[] = {".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq"};

// Number `i` of the tensors of shape `one` that stand behind one another.
TensorView slice(const TensorView& all, int64_t i, const Shape& one) {
  const int64_t bytes = element_count(one) * size_bytes(all.dtype);
  return {all.dtype, one, all.data == nullptr ? nullptr : all.data + i * bytes};
}

// Of all experts' rows those of the part.
graph::StoredWeight every_row(const graph::StoredWeight& all, const ExpertPart& part, int64_t outputs) {
  graph::StoredWeight its = all.rows(part.expert * outputs, outputs);
  auto& scaled = std::get<graph::Scaled>(its.layout);
  if (part.every == 1) return its.rows(part.first, part.count);
  scaled.first = part.first;
  scaled.every = part.every;
  its.shape[0] = part.count;
  return its;
}

}  // namespace

Weights::Weights(const io::Checkpoint& checkpoint, std::span<const NameRow> names, Packing packing)
    : checkpoint_(checkpoint), names_(names.begin(), names.end()), packing_(std::move(packing)) {
  const std::vector<std::string> stored = checkpoint.names();
  const auto is_there = [&](const NameRow& row) {
    return std::ranges::any_of(stored, [&](const std::string& name) { return name.starts_with(row.stored); });
  };
  // A longer prefix says more: with "model.language_model." there, "model." is no layout of its own.
  std::ranges::stable_sort(names_, std::greater<>(), [&](const NameRow& row) {
    return is_there(row) ? static_cast<int64_t>(row.stored.size()) : -1;
  });
}

std::string Weights::stored_name(const std::string& name) const {
  std::string usual;
  for (const NameRow& row : names_) {
    if (!name.starts_with(row.canonical)) continue;
    const std::string stored = std::string(row.stored) + name.substr(row.canonical.size());
    if (checkpoint_.find(stored) != nullptr) return stored;
    if (usual.empty()) usual = stored;
  }
  return usual.empty() ? name : usual;
}

TensorView Weights::get(const std::string& name, const Shape& shape) const {
  return checkpoint_.get(stored_name(name), shape);
}

TensorView Weights::get_less_one(const std::string& name, const Shape& shape) const {
  less_one_.push_back(stored_name(name));
  return get(name, shape);
}

graph::StoredWeight Weights::linear(const std::string& name, int64_t out, int64_t in) const {
  return packed_weight(
      checkpoint_, packing_, name, [&](const std::string& full) { return stored_name(full); }, out, in);
}

graph::StoredWeight Weights::transposed(const std::string& name, int64_t out, int64_t in) const {
  const TensorView stored = get(name, {in, out});
  return {stored.dtype, {out, in}, {.source = stored, .row_step = 1, .column_step = out}};
}

graph::StoredWeight Weights::expert(const std::string& name, const Stacked& s, const ExpertPart& part) const {
  if (packing_.method == Packing::Method::mxfp4 && !has(name) && has(name + "_blocks")) {
    const std::string blocks = stored_name(name + "_blocks");
    const std::string stored = blocks.substr(0, blocks.size() - std::string_view("_blocks").size());
    return every_row(mxfp4_weights(checkpoint_, stored, s.experts, s.outputs, s.inputs), part, s.outputs);
  }
  const Shape one = s.transposed ? Shape{s.inputs, s.outputs} : Shape{s.outputs, s.inputs};
  const TensorView its = slice(get(name, {s.experts, one[0], one[1]}), part.expert, one);
  const int64_t output_step = s.transposed ? 1 : s.inputs;
  if (!s.transposed && part.every == 1) return graph::StoredWeight(its).rows(part.first, part.count);
  return {its.dtype,
          {part.count, s.inputs},
          {.source = its,
           .first = part.first * output_step,
           .row_step = part.every * output_step,
           .column_step = s.transposed ? s.outputs : 1}};
}

graph::StoredWeight Weights::expert_bias(const std::string& name, const Stacked& s,
                                         const ExpertPart& part) const {
  const TensorView its = slice(get(name, {s.experts, s.outputs}), part.expert, {s.outputs});
  return {its.dtype, {part.count}, {.source = its, .first = part.first, .row_step = part.every}};
}

const TensorView* Weights::find(const std::string& name) const { return checkpoint_.find(stored_name(name)); }

std::vector<std::string> Weights::unused() const {
  std::vector<std::string> names = checkpoint_.unread();
  std::erase_if(names, [](const std::string& name) {
    return std::ranges::any_of(kUnusedPrefixes, [&](auto prefix) { return name.starts_with(prefix); }) ||
           std::ranges::any_of(kUnusedSuffixes, [&](auto suffix) { return name.ends_with(suffix); });
  });
  return names;
}

}  // namespace qsweep::models
