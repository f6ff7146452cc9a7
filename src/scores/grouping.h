// Which ops take one format together, and how several ops' error follows from what a run has measured.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scores/record.h"

namespace qsweep::scores {

// `fused`: those that serving stacks store as one. `block` and `role` keep these together too; `op` does not.
// A cache has formats of its own, so it is in no block with linear ops.
enum class Grouping { fused, op, block, role };
Grouping parse_grouping(std::string_view text);  // Error with the valid names

// Ops by their indexes, ascending.
struct OpGroup {
  std::string name;
  std::vector<size_t> ops;
};
// What must have one format whatever the grouping, in the order of the first op: fused ones, else single
// ops.
std::vector<std::vector<size_t>> units(std::span<const OpRecord> ops, Grouping grouping);
// The name of the group that a unit belongs to.
std::string group_name(std::span<const OpRecord> ops, const std::vector<size_t>& unit, Grouping grouping);
// All ops in groups, in the order of their first op.
std::vector<OpGroup> groups_of(std::span<const OpRecord> ops, Grouping grouping);

// Of groups of ops those that hold nothing but `ops` and share none, the largest first; their ops are taken
// out of `ops`. As indexes, ascending.
std::vector<size_t> take_groups(std::span<const std::vector<std::string>> groups, std::set<std::string>& ops);

}  // namespace qsweep::scores
