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
  struct Part {
    std::string topic;  // "How much", "Where", "What to do", "Why", "How sure", in this order
    std::string text;   // states the numbers it rests on; names are inline code as in report.md
  };
  std::vector<Part> parts;
};

Verdict verdict(const Ranking& ranking);
// The level in words: "hardly changes the output".
std::string level_text(const Verdict& verdict);
// Which formats change the output least and most, in a sentence; empty where fewer than two were measured.
std::string headline(const scores::Run& run);
// All of it as Markdown, format by format; empty without a group of scores.
std::string verdict_section(const scores::Run& run);

}  // namespace qsweep::report
