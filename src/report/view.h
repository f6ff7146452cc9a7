// What the page of report.html and its pictures show, as one JSON: made of what stands in the files of runs.
//
// The schema is between this module and src/report/web, built together, and no promise to anybody else.
// Numbers are rounded to six digits; what is not known is null. Lists of scores are columns of equal length,
// `op` indexes `ops`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "scores/eval.h"
#include "scores/run.h"

namespace qsweep::report {

// What there is to show, null where there is none; recipes.json, compare.json and compare_recipes.json as
// they are.
struct Findings {
  const scores::Run* run = nullptr;
  const scores::EvalRun* eval = nullptr;
  const io::Json* recipes = nullptr;
  const io::Json* comparison = nullptr;
  const io::Json* difference = nullptr;  // of two recipes
};

// The files of folders.
struct FoundFiles {
  std::optional<scores::Run> run;
  std::optional<scores::EvalRun> eval;
  std::optional<io::Json> recipes, comparison, difference;

  Findings findings() const;
};
// scores.json, eval.json, recipes.json, compare.json and compare_recipes.json, each from the first of the
// folders that has it.
// Error where none has any, and where a file is not what its name says.
FoundFiles read_files(const std::vector<std::string>& folders);

// {title, run, recipes, difference, comparisons, time, commands}; null or empty what is not there.
io::Json view(const Findings& findings);

}  // namespace qsweep::report
