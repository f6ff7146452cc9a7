#include "report/verification.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/stats.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using namespace scores;

bool any_estimate(const Run& run) {
  return std::ranges::any_of(run.verification,
                             [](const VerifiedScore& v) { return v.method != Method::exact; });
}

// Median and worst of those that are known.
std::string deviations(const Run& run) {
  std::vector<double> sizes;
  const VerifiedScore* worst = nullptr;
  for (const VerifiedScore& v : run.verification) {
    if (std::isnan(v.deviation())) continue;
    sizes.push_back(std::fabs(v.deviation()));
    if (worst == nullptr || sizes.back() > std::fabs(worst->deviation())) worst = &v;
  }
  if (worst == nullptr) return "no deviation is known";
  return fmt::format("median deviation {}, worst {} ({}, {})", percent(median(sizes)),
                     percent(worst->deviation()), run.ops[static_cast<size_t>(worst->op)].name,
                     worst->format);
}

}  // namespace

std::string verification_line(const Run& run) {
  return fmt::format("{} measured again, exactly and with f32 deltas: {}",
                     counted(static_cast<int64_t>(run.verification.size()), "score"), deviations(run));
}

std::string verification_section(const Run& run) {
  if (run.verification.empty()) return "";
  const Metric metric = run.verification.front().metric;
  // The sums of all scores of a run are over the same positions.
  double positions = kUndefined;
  for (const ScoreRecord& score : run.scores)
    if (score.total) positions = static_cast<double>(count(score.total->of(metric.scope), metric.which));
  Table table({"Op", "Format", "Chosen", "Method", ">" + name(metric) + " per position", ">Measured again",
               ">Deviation"});
  for (const VerifiedScore& v : run.verification)
    table.row({code(run.ops[static_cast<size_t>(v.op)].name), code(v.format), v.top ? "top" : "random",
               std::string(name(v.method)), number(v.score / positions), number(v.strict / positions),
               percent(v.deviation())});
  std::string text = "## Verification\n\n" + plain(verification_line(run)) + ".";
  text += any_estimate(run) ? " Deviations of estimates are their errors on this data.\n\n"
                            : " They are from rounding deltas to bf16.\n\n";
  return text + table.text();
}

}  // namespace qsweep::report
