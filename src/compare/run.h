// A qsweep run as one side of a comparison.
#pragma once

#include <optional>
#include <string>

#include "base/parallel.h"
#include "compare/ranking.h"
#include "scores/run.h"
#include "scores/sketches.h"

namespace qsweep::compare {

// Which scores of a file that may hold several kinds. In a file of another tool, `format` is part of a
// format's name, and `mode` tells Neural Compressor's two maps apart.
struct Choice {
  std::optional<std::string> format;
  std::optional<scores::Mode> mode;
  std::optional<scores::Method> method;
  std::optional<scores::Metric> metric;  // what the run ranks by where not given
};

// scores.json of a folder; another path as it is.
std::string scores_file(const std::string& path);
// Reads that file of a run.
scores::Run read_run(const std::string& path);

// Of the run that was read from `path`, where it has them of the metric.
std::optional<scores::Sketches> sketches_of(const scores::Run& run, const std::string& path,
                                            scores::Which which);
// How the errors of the run that was read from `path` align over all its samples, where it has sketches of
// the metric.
std::optional<scores::Interactions> interactions_of(const scores::Run& run, const std::string& path,
                                                    scores::Metric metric, Threads threads);

// The groups of scores that fit the choice. Error, with what there is, where none does.
std::vector<scores::ScoreGroup> fitting_groups(const scores::Run& run, const std::string& source,
                                               const Choice& choice);
// The one group of scores that fits the choice. Where several fit, those that are like `like` are preferred,
// first in format, then in mode, then in method. Error, with what there is, unless one is left.
scores::ScoreGroup choose_group(const scores::Run& run, const std::string& source, const Choice& choice,
                                const scores::ScoreGroup* like = nullptr);

// Leave-one-out scores become what the op takes off the error of all:FORMAT, where that was measured: those
// may be added over a fused group. Error where nothing has the metric. Where scores have the named estimate,
// it takes the metric's place.
Ranking ranking_of(const scores::Run& run, const scores::ScoreGroup& group, const std::string& source,
                   scores::Metric metric, const std::string& estimate = {});

}  // namespace qsweep::compare
