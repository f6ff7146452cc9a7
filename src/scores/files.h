// The score files of a run folder.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::scores {

// Replaces scores.json and scores.csv in the folder, each atomically.
void write_scores(const Run& run, const std::string& folder);
void write_csv(const Run& run, const std::string& folder);
// Reads scores.json of the folder.
Run read_scores(const std::string& folder);

}  // namespace qsweep::scores
