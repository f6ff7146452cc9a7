#include "report/perplexity.h"

#include <cmath>

#include "base/error.h"
#include "report/text.h"

namespace qsweep::report {

using namespace scores;

std::string perplexity_cell(const Measurement& m, Scope scope) {
  const std::string ratio = number(m.perplexity_ratio(scope));
  const auto& nll = m.intervals.of({Which::nll_delta, scope});
  return nll ? fmt::format("{} [{}, {}]", ratio, number(std::exp(nll->low)), number(std::exp(nll->high)))
             : ratio;
}

std::string perplexity_note(const std::vector<std::pair<std::string, const Measurement*>>& measured) {
  std::vector<std::string> below;
  for (const auto& [label, m] : measured)
    for (const Scope scope : kAllScopes)
      if (m->perplexity_ratio(scope) < 1)
        below.push_back(fmt::format("{} ({}, {})", code(label), name(scope),
                                    counted(m->total->of(scope).targets, "target")));
  if (below.empty()) return "";
  return fmt::format(
      "A perplexity ratio below 1 is no gain: {}. The log-likelihood of the data's own tokens goes up at "
      "some "
      "and down at others, and a mean of that is near 0 before it means anything. KL cannot cancel: judge by "
      "it.\n\n",
      shortened_list(below));
}

}  // namespace qsweep::report
