// scores.csv: one row per score, for spreadsheets and data frames.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::scores {

// RFC 4180 with "\n" line ends: op, tower, block, role, format, mode, method, status, rank, flags (joined by
// ";"), effective_bits, spread_from, the sums and counts of both scopes (all_kl, answer_kl, ...),
// ranking_metric with the ends of its 95 % interval per position, the local statistics, and estimates
// (name=value, joined by ";"). What is unknown is an empty field.
std::string to_csv(const Run& run);

// One field, quoted where it must be.
std::string csv_field(const std::string& text);

}  // namespace qsweep::scores
