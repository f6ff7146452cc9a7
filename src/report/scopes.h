// Which positions the scores are over, and whether it matters.
#pragma once

#include <string>
#include <vector>

#include "scores/run.h"

namespace qsweep::report {

// A ranking beside the one by the same metric over the other scope.
struct ScopeAgreement {
  scores::ScoreGroup group;
  scores::Metric metric, other;  // of the run, and by the other scope
  int64_t ops = 0;               // with both
  double spearman = 0;
  int64_t k = 0, overlap = 0;  // so many of the first k are the same ops
  // Of the summed error by the other scope: what the first k of the run's ranking carry, and what its own
  // first k do. NaN but for isolated scores, which may be added.
  double carried = 0, own = 0;

  // Whether the scope decides the order: less agreement than two halves of the data must have for an order to
  // be a ranking, or fewer ops in common at the top than rankings from few and from many samples have.
  bool disagrees() const;
};
// None where the scopes hold the same positions or one has none.
std::vector<ScopeAgreement> scope_agreements(const scores::Run& run);

// "520 tokens: 120 (23.1 %) answer, ..."; without the split where it is not known.
std::string token_text(const scores::DataInfo& data);
// What the ranks are by, over how much data, in a sentence.
std::string summary_line(const scores::Run& run);
std::string scope_section(const scores::Run& run);
// Warnings of rankings that disagree, and of data that is images for the most part.
void warn_of_scopes(const scores::Run& run, std::vector<std::string>& out);

}  // namespace qsweep::report
