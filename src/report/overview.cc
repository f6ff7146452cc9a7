#include "report/overview.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "report/perplexity.h"
#include "report/scopes.h"
#include "report/text.h"
#include "report/warnings.h"
#include "scores/joint.h"

namespace qsweep::report {
namespace {

using io::Json;
using namespace scores;

// The value at `key`, or null: provenance differs between versions and engines.
const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string value_text(const Json& value) {
  if (value.is_number_float()) return number(value.get<double>());
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void add_value(Table& table, const Json& object, const char* key, const char* label) {
  if (const Json* value = find(object, key)) table.row({label, plain(value_text(*value))});
}

void add_number(Table& table, const Json& object, const char* key, const char* label,
                std::string (*format)(double)) {
  const Json* value = find(object, key);
  if (value && value->is_number()) table.row({label, format(value->get<double>())});
}

// "key value, key value" of the members that are not objects or arrays themselves.
std::string members(const Json& object) {
  std::vector<std::string> parts;
  if (object.is_object())
    for (const auto& [key, value] : object.items())
      if (!value.is_structured() && !value.is_null()) parts.push_back(key + " " + value_text(value));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void add_members(Table& table, const Json& object, const char* key, const char* label) {
  const Json* value = find(object, key);
  const std::string text = value ? members(*value) : "";
  if (!text.empty()) table.row({label, plain(text)});
}

std::string settings_text(const Json& settings) {
  std::string text;
  for (const auto& [key, value] : settings.items())
    text += (text.empty() ? "" : ", ") + code(key + "=" + value_text(value));
  return text;
}

std::vector<std::string> in_code(const std::vector<std::string>& names) {
  std::vector<std::string> coded;
  for (const std::string& name : names) coded.push_back(code(name));
  return coded;
}

// How the errors of single ops add up to that of everything, and what stayed float in it.
std::string joint_text(const Run& run) {
  const Metric metric = run.ranking_metric;
  Table table({"Variant", ">" + name(metric) + " per position, measured",
               run.groups.empty() ? ">Sum of single ops" : ">Sum of groups and single ops", ">kappa"});
  const JointModel model = JointModel::from_run(run, metric);
  for (const auto& [format, joint] : model.formats()) {
    if (!joint.measured_all) continue;
    const Baseline& all = *find_baseline(run.baselines, format);
    const auto positions = static_cast<double>(count(all.total->of(metric.scope), metric.which));
    table.row({code("all:" + format), number(all.per_position(metric)), number(joint.sum_all / positions),
               joint.kappa ? number(*joint.kappa) : "–"});
  }
  std::string text;
  if (!table.empty())
    text = table.text() +
           "kappa is the measured error over the sum of the errors of single ops: how much faster than their "
           "sum the errors grow together. It is unknown (–) where ops without a score are quantized too." +
           (run.groups.empty() ? "" : " Measured groups stand in that sum for their ops.") + "\n\n";
  for (const Baseline& baseline : run.baselines)
    if (!baseline.float_ops.empty())
      text += fmt::format("{} leaves {} float, for want of a calibration row: {}.\n\n", code(baseline.name),
                          counted(static_cast<int64_t>(baseline.float_ops.size()), "op"),
                          shortened_list(in_code(baseline.float_ops)));
  return text;
}

// Scores of the method local are ranked by what no metric says.
bool only_local(const Run& run) {
  return !run.scores.empty() &&
         std::all_of(run.scores.begin(), run.scores.end(),
                     [](const ScoreRecord& score) { return score.method == Method::local; });
}

template <class AnyRun>
std::string what_was_run(const AnyRun& run, size_t ops, const std::string& ranked_by) {
  Table table({"What was run", ""});
  table.row({"Model", fmt::format("{} ({}), {} parameters, {}", code(run.model.path_name),
                                  plain(run.model.family), number(static_cast<double>(run.model.parameters)),
                                  counted(static_cast<int64_t>(ops), "op"))});
  table.row(
      {"Data", fmt::format("{}: {}, {}; {}", code(run.data.file_name), counted(run.data.samples, "sample"),
                           counted(run.data.images, "image"), token_text(run.data))});
  if (!ranked_by.empty()) table.row({"Ranked by", ranked_by});
  const std::string settings = settings_text(run.settings);
  if (!settings.empty()) table.row({"Settings", settings});
  add_value(table, run.provenance, "version", "qsweep version");
  add_value(table, run.provenance, "isa", "Instruction set");
  add_value(table, run.provenance, "threads", "Threads");
  add_members(table, run.provenance, "libraries", "Libraries");
  add_number(table, run.provenance, "wall_s", "Wall time", seconds);
  add_number(table, run.provenance, "peak_rss_bytes", "Peak memory", bytes);
  return table.text();
}

}  // namespace

std::string run_section(const Run& run) {
  return what_was_run(run, run.ops.size(),
                      only_local(run) ? "relative error at the op" : code(name(run.ranking_metric)));
}

std::string run_section(const EvalRun& run) {
  if (run.recipes.empty()) return what_was_run(run, 0, "");
  const EvalRecipe& any = run.recipes.front();
  return what_was_run(run, any.ops.size() + static_cast<size_t>(any.float_ops), "");
}

std::string baseline_section(const Run& run) {
  Table table({"Variant", "Scope", ">Positions", ">KL per position, nats [95 %]", ">Perplexity ratio [95 %]",
               ">Top-1 flips", ">Logits MSE"});
  std::vector<std::pair<std::string, const Measurement*>> measured;
  for (const Baseline& baseline : run.baselines) {
    if (!baseline.total) {
      table.row({code(baseline.name), "not finite", "–", "–", "–", "–", "–"});
      continue;
    }
    measured.emplace_back(baseline.name, &baseline);
    for (Scope scope : kAllScopes) {
      if (baseline.total->of(scope).positions == 0) continue;
      const auto& interval = baseline.intervals.of({Which::kl, scope});
      std::string kl = number(baseline.per_position({Which::kl, scope}));
      if (interval) kl += fmt::format(" [{}, {}]", number(interval->low), number(interval->high));
      table.row({code(baseline.name), std::string(name(scope)),
                 fmt::format("{}", baseline.total->of(scope).positions), kl, perplexity_cell(baseline, scope),
                 percent(baseline.per_position({Which::top1_flips, scope})),
                 number(baseline.logits_mse(scope))});
    }
  }
  return table.empty()
             ? ""
             : "## Everything quantized\n\n" + table.text() + perplexity_note(measured) + joint_text(run);
}

std::string reliability_section(const Run& run) {
  Table table({"Format", "Mode", "Method", ">Spearman between halves", "Usable as a ranking"});
  for (const Reliability& r : run.reliability)
    table.row({code(r.format), std::string(name(r.mode)), std::string(name(r.method)), number(r.spearman),
               r.spearman >= kReliableRanking ? "yes" : "**no**"});
  return table.empty() ? "" : "## Reliability\n\n" + table.text();
}

std::string unscored_section(const Run& run) {
  // By format and status; an op counts once however many modes and methods it was tried in.
  std::map<std::pair<std::string, Status>, std::set<int>> unscored;
  for (const ScoreRecord& score : run.scores)
    if (!carries_metrics(score.status)) unscored[{score.format, score.status}].insert(score.op);
  Table table({"Format", "Status", ">Ops", "Names"});
  for (const auto& [key, ops] : unscored) {
    std::vector<std::string> names;
    for (int op : ops) names.push_back(code(run.ops[op].name));
    table.row({code(key.first), std::string(name(key.second)), fmt::format("{}", ops.size()),
               shortened_list(names)});
  }
  return table.empty() ? "" : "## Without a score\n\n" + table.text();
}

}  // namespace qsweep::report
