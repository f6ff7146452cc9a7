#include "compare/match.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "scores/op_names.h"

namespace qsweep::compare {
namespace {

using Members = std::vector<std::string>;

class Matcher {
 public:
  Matcher(const std::vector<scores::OpRecord>& ops, Agreement& agreement) : ops_(ops), result_(agreement) {
    for (size_t i = 0; i < ops.size(); ++i) {
      places_[ops[i].name] = i;
      if (ops[i].fusion_group) groups_[*ops[i].fusion_group].push_back(ops[i].name);
    }
    for (const Entry& entry : result_.run.entries)
      if (!scores_.emplace(entry.name, entry.score).second)
        fail("{}: expected one score for each op, found two of {}", result_.run.source, entry.name);
    for (const auto& [op, why] : result_.run.unscored) why_unscored_[op] = why;
    for (const Entry& entry : result_.other.entries)
      named_.insert(entry.members.begin(), entry.members.end());
  }

  std::vector<Placed> run() {
    for (const Entry& entry : result_.other.entries) place(entry);
    for (const auto& [op, why] : result_.other.unscored) {
      if (!scores_.contains(op)) continue;
      result_.unscored_in_other.push_back({op, why});
      taken_.insert(op);
    }
    for (const Entry& entry : result_.run.entries)
      if (!taken_.contains(entry.name)) result_.only_in_run.push_back(entry.name);
    std::stable_sort(result_.units.begin(), result_.units.end(), [&](const Unit& a, const Unit& b) {
      return places_.at(a.members.front()) < places_.at(b.members.front());
    });
    return std::move(placed_);
  }

 private:
  // The ops of the run that a name stands for; none where the run knows no such op.
  Members resolve(const std::string& name) const {
    if (places_.contains(name)) return {name};
    if (const auto group = groups_.find(name); group != groups_.end()) return group->second;
    const Members members = scores::fused_members(name);
    const bool known = std::all_of(members.begin(), members.end(),
                                   [&](const std::string& op) { return places_.contains(op); });
    return known ? members : Members();
  }

  // The fused group of an op, if the other tool names no other member of it: its score then is the group's.
  std::optional<Members> whole_group(const std::string& op) const {
    const auto& group = ops_[places_.at(op)].fusion_group;
    if (!result_.other.names_first_members || !group) return std::nullopt;
    const Members& members = groups_.at(*group);
    const auto named = std::count_if(members.begin(), members.end(),
                                     [&](const std::string& member) { return named_.contains(member); });
    return named == 1 ? std::optional(members) : std::nullopt;
  }

  std::optional<Members> members_of(const Entry& entry) const {
    Members members;
    for (const std::string& name : entry.members) {
      const Members found = resolve(name);
      if (found.empty()) return std::nullopt;
      members.insert(members.end(), found.begin(), found.end());
    }
    if (members.size() == 1)
      if (auto group = whole_group(members.front())) return group;
    return members;
  }

  void place(const Entry& entry) {
    const std::optional<Members> members = members_of(entry);
    if (!members) {
      result_.only_in_other.push_back(entry.name);
      return;
    }
    bool scored = true;
    Unit unit{.name = members->size() == 1 ? members->front() : entry.name,
              .members = *members,
              .tower = ops_[places_.at(members->front())].tower,
              .other_score = entry.score};
    placed_.push_back({unit.tower, unit.other_score});
    for (const std::string& op : *members) {
      if (!taken_.insert(op).second)
        fail("{}: expected one score for each op, found two of {}", result_.other.source, op);
      const auto score = scores_.find(op);
      if (score == scores_.end()) {
        scored = false;
        const auto why = why_unscored_.find(op);
        result_.unscored_in_run.push_back({op, why == why_unscored_.end() ? "no record" : why->second});
      } else {
        unit.run_score += score->second;
      }
    }
    if (unit.members.size() > 1 && result_.run.smallest_first)
      fail(
          "{}: leave-one-out scores of the group {} cannot be added without the error of everything "
          "quantized (the run's baseline)",
          result_.run.source, unit.name);
    if (scored) result_.units.push_back(std::move(unit));
  }

  const std::vector<scores::OpRecord>& ops_;
  Agreement& result_;
  std::map<std::string, size_t> places_;  // index in ops_
  std::map<std::string, Members> groups_;
  std::map<std::string, double> scores_;  // of the run
  std::map<std::string, std::string> why_unscored_;
  std::set<std::string> named_;  // by the other tool
  std::set<std::string> taken_;  // ops that the other tool's scores are of
  std::vector<Placed> placed_;
};

}  // namespace

std::vector<Placed> match(const std::vector<scores::OpRecord>& ops, Agreement& agreement) {
  return Matcher(ops, agreement).run();
}

}  // namespace qsweep::compare
