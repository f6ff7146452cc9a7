// What the user asks of `recipe`.
#pragma once

#include "choose/spectrum.h"
#include "cli/job.h"
#include "scores/sketches.h"
#include "stacks/stacks.h"

namespace qsweep::cli {

struct RecipeFlags {
  std::string run, group = "fused";
  std::vector<std::string> bits, size, error, formats, fix, keep_float;
  std::optional<std::string> metric;
  std::vector<std::string> stacks, exports;
  uint64_t seed = 1;
  // Of the measurement; its model is empty where nothing is measured.
  EngineFlags engine;
  JobFlags job;
  int64_t candidates = 8, rounds = 2;
  std::optional<int64_t> holdout;
};

std::vector<choose::Budget> budgets_of(const RecipeFlags& flags);
choose::Wishes wishes_of(const RecipeFlags& flags, const scores::Run& run);
// Of --export.
std::vector<stacks::Kind> exports_of(const RecipeFlags& flags);

// What the choice is made by.
struct ScoredRun {
  explicit ScoredRun(const RecipeFlags& flags);

  scores::Run run;
  choose::Wishes wishes;
  std::optional<scores::Sketches> sketches;  // of the wishes' metric

  // Of all its samples, where there are sketches.
  std::optional<scores::Interactions> interactions() const;
};

}  // namespace qsweep::cli
