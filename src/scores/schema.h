// The schema of scores.json, "qsweep.scores/2".
//
//   model, data, settings, provenance    as in Run
//   ops[]        name, tower, block, role, in_features, out_features, parameters, fusion_group
//   baselines[]  name, format (null unless the name is all:FORMAT), float_ops, flipped_rows,
//                metrics
//   reliability[] format, mode, method ("auto" for a joint ranking), spearman, splits, by_scope
//   verification[] op (its name), format, mode, method, chosen ("top" or "random"), metric, score, strict,
//                deviation (null where a sum is not finite or strict is 0)
//   groups[]     group (its name), ops (names, in their order), format, status, ranked_by, value, ci95_low,
//                ci95_high, sum_of_ops, effective_bits, metrics; of several ops quantized together. Value to
//                sum_of_ops are means by the ranking metric, which are not read. Not there in older files
//   scores[]     op (its name), tower, block, role, format, mode, method, status, flags, rank, ranked_by,
//   value,
//                ci95_low, ci95_high, effective_bits, spread_from, metrics, local, estimates. What can be
//                told from elsewhere (tower to role, ranked_by to ci95_high) makes a table of `scores`
//                readable by itself; it is not read.
//   metrics      {"all": {...}, "answer": {...}} with raw sums and counts and ci95: per metric the [low,
//                high] of its mean per position (per target for nll_delta), or null; a metric that was not
//                measured is null, counts are always there; null as a whole where nothing was scored
//   local        raw sums at the op, or null
//   estimates    {name: number} of what was found beside the metrics, or null
//
// settings.method "auto" makes the ranking joint over methods.
// What is unknown is null, never 0; numbers are finite and read back to the same double; keys have a fixed
// order, so equal runs give equal bytes. Samples are not in the file: a run that was read back cannot be
// finalized again.
//
// "qsweep.scores/1" is read too. There `op` is an index in ops, and there is neither by_scope nor metric in
// verification[] nor image_tokens in data. tied_embeddings of the model may be missing in either.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::scores {

inline constexpr std::string_view kSchema = "qsweep.scores/2", kOldSchema = "qsweep.scores/1";

io::Json to_json(const Run& run);
// `where` names the source in errors. Unknown keys are ignored; what contradicts itself is an Error.
Run from_json(const io::Json& json, const std::string& where);

// The file's text: one line per record.
std::string to_text(const io::Json& root);

}  // namespace qsweep::scores
