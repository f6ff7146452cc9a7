#include "models/weights.h"

#include <algorithm>

namespace qsweep::models {
namespace {

constexpr std::string_view kUnusedPrefixes[] = {"mtp.", "model.mtp."};
constexpr std::string_view kUnusedSuffixes[] = {".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq"};

}  // namespace

Weights::Weights(const io::Checkpoint& checkpoint, std::span<const NameRow> names)
    : checkpoint_(checkpoint), names_(names.begin(), names.end()) {
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

TensorView Weights::get_transposed(const std::string& name, const Shape& stored_shape) const {
  return checkpoint_.get_transposed(stored_name(name), stored_shape);
}

bool Weights::has(const std::string& name) const { return checkpoint_.find(stored_name(name)) != nullptr; }

std::vector<std::string> Weights::unused() const {
  std::vector<std::string> names = checkpoint_.unread();
  std::erase_if(names, [](const std::string& name) {
    return std::ranges::any_of(kUnusedPrefixes, [&](auto prefix) { return name.starts_with(prefix); }) ||
           std::ranges::any_of(kUnusedSuffixes, [&](auto suffix) { return name.ends_with(suffix); });
  });
  return names;
}

}  // namespace qsweep::models
