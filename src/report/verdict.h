// What a run found, in words: how much a format changes the model, where, and how sure that is.
#pragma once

#include <string>
#include <vector>

#include "report/ranked.h"

namespace qsweep::report {

struct Verdict {
  // How much everything in the format changes the output: "little", "some", "much", "breaks"; "unknown" where
  // that was not measured.
  std::string level;
  // Each states the numbers it rests on; names are inline code as in report.md.
  std::vector<std::string> sentences;
};

Verdict verdict(const Ranking& ranking);
// Which formats change the output least and most, in a sentence; empty where fewer than two were measured.
std::string headline(const scores::Run& run);

}  // namespace qsweep::report
