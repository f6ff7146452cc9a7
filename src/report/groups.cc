#include "report/groups.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/stats.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using namespace scores;

constexpr size_t kMostRows = 20;

std::string ratio_lines(const Run& run, const std::vector<const GroupScore*>& groups) {
  std::map<std::string, std::vector<double>> ratios;
  for (const GroupScore* group : groups)
    if (const double r = ratio_to_ops(run, *group); std::isfinite(r)) ratios[group->format].push_back(r);
  std::string text;
  for (const auto& [format, all] : ratios)
    text += fmt::format("- {}: {}, together {} times the sum of their ops (median; {} to {})\n", code(format),
                        counted(std::ssize(all), "group"), number(median(all)),
                        number(*std::ranges::min_element(all)), number(*std::ranges::max_element(all)));
  return text.empty() ? "" : text + "\n";
}

// How many have no number, by status.
std::string unmeasured_line(const Run& run) {
  std::map<Status, int64_t> counts;
  for (const GroupScore& group : run.groups)
    if (!group.total) ++counts[group.status];
  std::string text;
  for (const auto& [status, n] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counted(n, "group"), name(status));
  return text.empty() ? "" : "Without a score: " + text + ".\n\n";
}

}  // namespace

double ops_per_position(const Run& run, const GroupScore& group) {
  const Metric metric = run.ranking_metric;
  return sum_of_ops(run, group, metric) /
         static_cast<double>(count(group.total->of(metric.scope), metric.which));
}

double ratio_to_ops(const Run& run, const GroupScore& group) {
  return group.sum(run.ranking_metric) / sum_of_ops(run, group, run.ranking_metric);
}

std::vector<const GroupScore*> largest_first(const Run& run) {
  std::vector<const GroupScore*> groups;
  for (const GroupScore& group : run.groups)
    if (group.has(run.ranking_metric)) groups.push_back(&group);
  std::ranges::stable_sort(groups, std::greater(),
                           [&](const GroupScore* g) { return g->sum(run.ranking_metric); });
  return groups;
}

std::string group_section(const Run& run) {
  if (run.groups.empty()) return "";
  const Metric metric = run.ranking_metric;
  const std::vector<const GroupScore*> groups = largest_first(run);
  Table table({"Group", "Format", ">Ops", ">" + name(metric) + " per position, measured [95 %]",
               ">Sum of its ops", ">Ratio"});
  for (size_t i = 0; i < std::min(groups.size(), kMostRows); ++i) {
    const GroupScore& group = *groups[i];
    table.row({code(group.name), code(group.format), fmt::format("{}", group.ops.size()),
               with_interval(group, metric), number(ops_per_position(run, group)),
               number(ratio_to_ops(run, group))});
  }
  std::string text = "## Groups\n\nAll ops of a group quantized together, everything else float.";
  if (groups.size() > kMostRows)
    text += fmt::format(" The {} largest of {}; scores.json has all.", kMostRows, groups.size());
  text += "\n\n";
  if (!table.empty()) text += table.text();
  return text + ratio_lines(run, groups) + unmeasured_line(run);
}

}  // namespace qsweep::report
