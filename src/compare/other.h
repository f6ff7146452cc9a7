// The other side of a comparison: a run, or scores by another tool.
//
// Understood are
//   - a qsweep run: its folder or its scores.json;
//   - NVIDIA ModelOpt: {"groups": {name: {"formats": [...], "scores": [...], "modules": [...]}}}, one score
//   per
//     format, of all modules together; and the list that its users publish, {"layer_sensitivity": [{"layer",
//     "sensitivity"}]}, whose rows bear the name of a group's first module;
//   - Intel Neural Compressor mse_v2: {"fallback": {op: score}, "requant": {op: score}}, each map plain or
//   under
//     "scores", or {"fp32_fallback_sensitivity": [{"op_name", "mse"}], "int8_requant_sensitivity": [...]}. In
//     the fallback map the smallest score is the most sensitive op;
//   - a plain map {op: score}, the largest score first unless the choice says leave-one-out.
#pragma once

#include <string>
#include <vector>

#include "compare/run.h"

namespace qsweep::compare {

// `like`: the scores on our side; the other's are chosen like them where `choice` leaves it open.
Ranking read_other(const std::string& path, const Choice& choice, const scores::ScoreGroup& like);
// The same for a parsed file.
Ranking other_from_json(const io::Json& json, const std::string& source, const Choice& choice,
                        const scores::ScoreGroup& like);

// The formats of another run's scores; empty for a file of another tool.
std::vector<std::string> formats_of_run(const std::string& path);

}  // namespace qsweep::compare
