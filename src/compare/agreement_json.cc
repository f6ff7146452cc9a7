#include <cmath>

#include "base/readable.h"
#include "compare/agreement.h"
#include "io/json.h"
#include "scores/schema_parts.h"

namespace qsweep::compare {
namespace {

using io::Json;
using scores::array_of;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json side_json(const Ranking& side) {
  return {{"source", valid_utf8(side.source)},
          {"what", side.what},
          {"most_sensitive", side.smallest_first ? "smallest" : "largest"},
          {"notes", side.notes}};
}

Json statistics_json(const Statistics& s) {
  return {{"matched", s.units},
          {"spearman", number(s.spearman)},
          {"kendall", number(s.kendall)},
          {"top", array_of(s.top, [](const TopK& top) {
             return Json{{"k", top.k}, {"percent", scores::or_null(top.percent)}, {"overlap", top.overlap}};
           })}};
}

Json unit_json(const Unit& unit) {
  return {{"name", unit.name},
          {"members", unit.members},
          {"tower", unit.tower},
          {"run_score", unit.run_score},
          {"other_score", unit.other_score},
          {"run_rank", unit.run_rank},
          {"other_rank", unit.other_rank}};
}

Json unscored_json(const Unscored& op) { return {{"name", op.name}, {"why", op.why}}; }

}  // namespace

Json to_json(const Agreement& a) {
  return {{"schema", kSchema},
          {"run", side_json(a.run)},
          {"other", side_json(a.other)},
          {"all", statistics_json(a.all)},
          {"distinguished", a.distinguished ? statistics_json(*a.distinguished) : Json()},
          {"warnings", a.warnings},
          {"indistinct", array_of(a.indistinct,
                                  [](const Indistinct& i) {
                                    return Json{{"side", i.of_run ? "run" : "other"},
                                                {"tower", i.tower},
                                                {"score", i.score},
                                                {"ops", i.units},
                                                {"of", i.of}};
                                  })},
          {"outliers", array_of(a.outliers, [&](size_t i) { return Json(a.units[i].name); })},
          {"only_in_run", a.only_in_run},
          {"only_in_other", a.only_in_other},
          {"without_score_in_run", array_of(a.unscored_in_run, unscored_json)},
          {"without_score_in_other", array_of(a.unscored_in_other, unscored_json)},
          {"ops", array_of(a.units, unit_json)}};
}

Json to_json(const std::vector<Agreement>& agreements) {
  if (agreements.size() == 1) return to_json(agreements.front());
  return {{"schema", kSchema},
          {"comparisons", array_of(agreements, [](const Agreement& a) { return to_json(a); })}};
}

}  // namespace qsweep::compare
