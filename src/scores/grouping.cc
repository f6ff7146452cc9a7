#include "scores/grouping.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include <fmt/ranges.h>

#include "base/error.h"

namespace qsweep::scores {
namespace {

constexpr std::array<std::string_view, 4> kGroupings{"fused", "op", "block", "role"};

}  // namespace

Grouping parse_grouping(std::string_view text) {
  const auto found = std::ranges::find(kGroupings, text);
  if (found == kGroupings.end()) fail("expected one of {}, found \"{}\"", fmt::join(kGroupings, ", "), text);
  return static_cast<Grouping>(found - kGroupings.begin());
}

std::vector<std::vector<size_t>> units(std::span<const OpRecord> ops, Grouping grouping) {
  std::vector<std::vector<size_t>> units;
  std::map<std::string, size_t> of_group;
  for (size_t op = 0; op < ops.size(); ++op) {
    const auto& group = ops[op].fusion_group;
    if (group && grouping != Grouping::op) {
      const auto [place, is_new] = of_group.try_emplace(*group, units.size());
      if (!is_new) {
        units[place->second].push_back(op);
        continue;
      }
    }
    units.push_back({op});
  }
  return units;
}

std::string group_name(std::span<const OpRecord> ops, const std::vector<size_t>& unit, Grouping grouping) {
  const OpRecord& op = ops[unit.front()];
  const std::string unit_name = unit.size() > 1 ? *op.fusion_group : op.name;
  switch (grouping) {
    case Grouping::block:
      return op.block && !op.cache ? fmt::format("{} block {}", op.tower, *op.block) : unit_name;
    case Grouping::role:
      return fmt::format("{} {}", op.tower,
                         unit.size() > 1 ? unit_name.substr(unit_name.rfind('.') + 1) : op.role);
    default:
      return unit_name;
  }
}

std::vector<OpGroup> groups_of(std::span<const OpRecord> ops, Grouping grouping) {
  std::vector<OpGroup> groups;
  std::map<std::string, size_t> places;
  for (const std::vector<size_t>& unit : units(ops, grouping)) {
    const std::string name = group_name(ops, unit, grouping);
    const auto [place, is_new] = places.try_emplace(name, groups.size());
    if (is_new) groups.push_back({.name = name, .ops = {}});
    auto& all = groups[place->second].ops;
    all.insert(all.end(), unit.begin(), unit.end());
  }
  for (OpGroup& group : groups) std::ranges::sort(group.ops);
  return groups;
}

std::vector<size_t> take_groups(std::span<const std::vector<std::string>> groups,
                                std::set<std::string>& ops) {
  std::vector<size_t> order(groups.size()), taken;
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return groups[i].size(); });
  for (const size_t i : order) {
    if (groups[i].empty() ||
        !std::ranges::all_of(groups[i], [&](const std::string& op) { return ops.contains(op); }))
      continue;
    for (const std::string& op : groups[i]) ops.erase(op);
    taken.push_back(i);
  }
  std::ranges::sort(taken);
  return taken;
}

}  // namespace qsweep::scores
