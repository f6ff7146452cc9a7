#include "compare/agreement.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/stats.h"
#include "compare/fit.h"
#include "compare/match.h"

namespace qsweep::compare {
namespace {

constexpr int64_t kTop[] = {5, 10, 20};
constexpr int64_t kPercent = 10;
constexpr size_t kOutliers = 10;

// Scores such that the largest is the most sensitive.
struct Sides {
  std::vector<double> run, other;
};

Sides sensitivities(const Agreement& agreement, const std::vector<size_t>& units) {
  Sides sides;
  for (size_t i : units) {
    const Unit& unit = agreement.units[i];
    sides.run.push_back(agreement.run.smallest_first ? -unit.run_score : unit.run_score);
    sides.other.push_back(agreement.other.smallest_first ? -unit.other_score : unit.other_score);
  }
  return sides;
}

std::vector<double> ranks_from_the_top(std::vector<double> values) {
  for (double& value : values) value = -value;
  return average_ranks(values);
}

// The chance of each to be among the first k, where equal ones are drawn at random.
std::vector<double> chances(const std::vector<double>& values, int64_t k) {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double edge = sorted[static_cast<size_t>(k) - 1];
  const auto above = std::count_if(values.begin(), values.end(), [&](double v) { return v > edge; });
  const auto at = std::count(values.begin(), values.end(), edge);
  std::vector<double> chance;
  for (double v : values)
    chance.push_back(v > edge ? 1 : v == edge ? static_cast<double>(k - above) / static_cast<double>(at) : 0);
  return chance;
}

TopK top_k(const Sides& sides, int64_t k, std::optional<int64_t> percent) {
  TopK top{k, percent, 0};
  const std::vector<double> run = chances(sides.run, k), other = chances(sides.other, k);
  for (size_t i = 0; i < run.size(); ++i) top.overlap += run[i] * other[i];
  return top;
}

Statistics statistics(const Sides& sides) {
  const auto n = static_cast<int64_t>(sides.run.size());
  Statistics s{n, spearman(sides.run, sides.other), kendall_tau_b(sides.run, sides.other), {}};
  for (int64_t k : kTop)
    if (k < n) s.top.push_back(top_k(sides, k, std::nullopt));
  const int64_t share = (n * kPercent + 99) / 100;
  if (share > 0 && share < n) s.top.push_back(top_k(sides, share, kPercent));
  return s;
}

std::map<double, int64_t> multiplicities(const Agreement& agreement, double Unit::*score) {
  std::map<double, int64_t> counts;
  for (const Unit& unit : agreement.units) ++counts[unit.*score];
  return counts;
}

void find_indistinct(const std::vector<Placed>& scores, bool of_run, std::vector<Indistinct>& indistinct) {
  std::map<double, int64_t> counts;
  std::map<std::string, int64_t> of_tower;
  std::map<std::pair<std::string, double>, int64_t> equal;
  for (const Placed& placed : scores) {
    ++counts[placed.score];
    ++of_tower[placed.tower];
  }
  for (const Placed& placed : scores)
    if (counts.at(placed.score) > 1) ++equal[{placed.tower, placed.score}];
  for (const auto& [key, units] : equal)
    indistinct.push_back({of_run, key.first, key.second, units, of_tower.at(key.first)});
}

// Units whose scores occur once on either side.
std::vector<size_t> told_apart(const Agreement& agreement) {
  const auto run = multiplicities(agreement, &Unit::run_score);
  const auto other = multiplicities(agreement, &Unit::other_score);
  std::vector<size_t> units;
  for (size_t i = 0; i < agreement.units.size(); ++i)
    if (run.at(agreement.units[i].run_score) == 1 && other.at(agreement.units[i].other_score) == 1)
      units.push_back(i);
  return units;
}

void find_outliers(Agreement& agreement) {
  const auto difference = [&](size_t i) {
    return std::fabs(agreement.units[i].run_rank - agreement.units[i].other_rank);
  };
  for (size_t i = 0; i < agreement.units.size(); ++i)
    if (difference(i) > 0) agreement.outliers.push_back(i);
  std::stable_sort(agreement.outliers.begin(), agreement.outliers.end(),
                   [&](size_t a, size_t b) { return difference(a) > difference(b); });
  if (agreement.outliers.size() > kOutliers) agreement.outliers.resize(kOutliers);
}

}  // namespace

Agreement compare(const std::vector<scores::OpRecord>& ops, const Ranking& run, const Ranking& other) {
  Agreement agreement{.run = run, .other = other};
  const std::vector<Placed> of_other = match(ops, agreement);
  if (agreement.units.empty())
    fail("{}: expected scores of ops that {} scored too (such as {}), found none (but {})", other.source,
         run.source, run.entries.front().name, other.entries.front().name);
  std::vector<size_t> everything(agreement.units.size());
  for (size_t i = 0; i < everything.size(); ++i) everything[i] = i;
  const Sides sides = sensitivities(agreement, everything);
  const std::vector<double> run_ranks = ranks_from_the_top(sides.run);
  const std::vector<double> other_ranks = ranks_from_the_top(sides.other);
  for (size_t i = 0; i < agreement.units.size(); ++i) {
    agreement.units[i].run_rank = run_ranks[i];
    agreement.units[i].other_rank = other_ranks[i];
  }
  agreement.all = statistics(sides);
  std::vector<Placed> of_run;
  for (const Unit& unit : agreement.units) of_run.push_back({unit.tower, unit.run_score});
  find_indistinct(of_run, true, agreement.indistinct);
  find_indistinct(of_other, false, agreement.indistinct);
  std::stable_sort(agreement.indistinct.begin(), agreement.indistinct.end(),
                   [](const Indistinct& a, const Indistinct& b) { return a.units > b.units; });
  const std::vector<size_t> distinct = told_apart(agreement);
  if (distinct.size() < agreement.units.size())
    agreement.distinguished = statistics(sensitivities(agreement, distinct));
  find_outliers(agreement);
  agreement.warnings = misfits(agreement);
  return agreement;
}

}  // namespace qsweep::compare
