// The schema of scores.json, "qsweep.scores/1".
//
//   model, data, settings, provenance    as in Run
//   ops[]        name, tower, block, role, in_features, out_features, parameters, fusion_group
//   baselines[]  name, metrics
//   reliability[] format, mode, method, spearman, splits
//   scores[]     op (index in ops), format, mode, method, status, flags, metrics, local, effective_bits,
//   rank, and
//                spread_from for status spread
//   metrics      {"all": {...}, "answer": {...}} with raw sums and counts and ci95: per metric the [low,
//   high] of its
//                mean per position (per target for nll_delta), or null; null as a whole where nothing was
//                measured
//   local        raw sums at the op, or null
//
// What is unknown is null, never 0; numbers are finite and read back to the same double; keys have a fixed
// order, so equal runs give equal bytes. Samples are not in the file: a run that was read back cannot be
// finalized again.
#pragma once

#include <string>

#include "scores/record.h"

namespace qsweep::scores {

inline constexpr std::string_view kSchema = "qsweep.scores/1";

io::Json to_json(const Run& run);
// `where` names the source in errors. Unknown keys are ignored.
Run from_json(const io::Json& json, const std::string& where);

// The file's text: one line per record.
std::string to_text(const io::Json& root);

}  // namespace qsweep::scores
