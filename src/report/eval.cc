#include "report/eval.h"

#include <algorithm>
#include <set>

#include "io/atomic_file.h"
#include "report/overview.h"
#include "report/perplexity.h"
#include "report/text.h"
#include "report/time.h"
#include "report/warnings.h"

namespace qsweep::report {
namespace {

using namespace scores;

constexpr Metric kKl{Which::kl, Scope::all}, kFlips{Which::top1_flips, Scope::all};

constexpr const char* kHowToReadEval =
    "## How to read this\n\n"
    "- Every number compares the model quantized by the recipe with the float model on the same data; zero "
    "is "
    "no change.\n"
    "- [a, b] is a 95 % confidence interval of the mean per position over samples of this kind of data.\n"
    "- Effective bits are the mean over the parameters of all ops, scales included, float ops at 16.\n"
    "- The plain sum adds up the scores of the quantized ops. The prediction adds how their errors align, "
    "where "
    "the scores were measured with `--sketch`; else it corrects the sum by how much faster than their sum "
    "the "
    "errors of everything quantized grow.\n";

double per_position(const Prediction& prediction, double sum) {
  return prediction.positions > 0 ? sum / static_cast<double>(prediction.positions) : kUndefined;
}
double foretold(const Prediction& prediction) {
  return per_position(prediction, prediction.best().value_or(kUndefined));
}

std::string ratio(double measured, double predicted) {
  return number(predicted > 0 ? measured / predicted : kUndefined);
}

std::string formats_cell(const EvalRecipe& recipe) {
  std::vector<std::string> parts;
  for (const auto& [format, n] : recipe.ops_by_format())
    parts.push_back(fmt::format("{} {}", n, code(format)));
  parts.push_back(fmt::format("{} float", recipe.float_ops));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<std::string> prediction_cells(const EvalRecipe& recipe, Metric metric) {
  const Prediction* prediction = recipe.prediction(metric);
  if (!prediction) return {number(kUndefined), number(kUndefined), number(kUndefined)};
  return {number(foretold(*prediction)), number(per_position(*prediction, prediction->plain_sum)),
          ratio(recipe.per_position(metric), foretold(*prediction))};
}

bool any_prediction(const EvalRun& run, Metric metric) {
  return std::any_of(run.recipes.begin(), run.recipes.end(),
                     [&](const EvalRecipe& recipe) { return recipe.prediction(metric) != nullptr; });
}

std::string recipe_table(const EvalRun& run) {
  const bool predicted = any_prediction(run, kKl);
  std::vector<std::string> header{"Recipe",        ">Effective bits",         ">Quantized ops",
                                  "Ops by format", ">KL per position [95 %]", ">Logits MSE",
                                  ">Top-1 flips",  ">Perplexity ratio [95 %]"};
  if (predicted) header.insert(header.end(), {">KL predicted", ">KL, plain sum", ">Measured / predicted"});
  Table table(header);
  for (const EvalRecipe& recipe : run.recipes) {
    std::vector<std::string> cells{code(recipe.name),
                                   number(recipe.effective_bits),
                                   fmt::format("{}", recipe.ops.size()),
                                   formats_cell(recipe),
                                   with_interval(recipe, kKl),
                                   number(recipe.logits_mse(Scope::all)),
                                   percent(recipe.per_position(kFlips)),
                                   perplexity_cell(recipe, Scope::all)};
    if (predicted) {
      const auto more = prediction_cells(recipe, kKl);
      cells.insert(cells.end(), more.begin(), more.end());
    }
    table.row(cells);
  }
  std::vector<std::pair<std::string, const Measurement*>> measured;
  for (const EvalRecipe& recipe : run.recipes)
    if (recipe.total) measured.emplace_back(recipe.name, &recipe);
  return table.empty() ? "" : "## Recipes\n\n" + table.text() + perplexity_note(measured);
}

// The other metrics; KL stands in the table above.
std::string prediction_section(const EvalRun& run) {
  Table table({"Recipe", "Metric", ">Measured per position [95 %]", ">Predicted", ">Plain sum",
               ">Measured / predicted"});
  for (const Metric metric : kRankingMetrics) {
    if (metric == kKl || !any_prediction(run, metric)) continue;
    for (const EvalRecipe& recipe : run.recipes) {
      std::vector<std::string> cells{code(recipe.name), code(name(metric)), with_interval(recipe, metric)};
      const auto more = prediction_cells(recipe, metric);
      cells.insert(cells.end(), more.begin(), more.end());
      table.row(cells);
    }
  }
  return table.empty() ? "" : "## Predicted and measured\n\n" + table.text();
}

// Positions of the scored and of the evaluated data differ: the prediction is then a mean carried over.
bool other_data(const EvalRecipe& recipe) {
  return std::any_of(recipe.predicted.begin(), recipe.predicted.end(), [&](const Prediction& p) {
    return recipe.total && p.positions != count(recipe.total->of(p.metric.scope), p.metric.which);
  });
}

void warn_of_predictions(const EvalRun& run, std::vector<std::string>& out) {
  for (const EvalRecipe& recipe : run.recipes) {
    std::set<std::string> missing;
    for (const Prediction& p : recipe.predicted)
      for (const auto& [op, format] : p.missing) missing.insert(code(op) + " in " + code(format));
    if (!missing.empty())
      out.push_back(fmt::format("The prediction of {} leaves out {} without a score: {}.", code(recipe.name),
                                counted(static_cast<int64_t>(missing.size()), "op"),
                                shortened_list({missing.begin(), missing.end()})));
  }
  if (std::any_of(run.recipes.begin(), run.recipes.end(), other_data))
    out.push_back(
        "The scores are from data with another number of positions: the predictions are their means "
        "per position carried over.");
}

void warn_of_mixed_groups(const EvalRun& run, std::vector<std::string>& out) {
  for (const EvalRecipe& recipe : run.recipes) {
    std::vector<std::string> groups;
    for (const auto& [group, members] : recipe.mixed_groups) {
      std::vector<std::string> parts;
      for (const auto& [op, format] : members) parts.push_back(code(op) + " in " + code(format));
      groups.push_back(fmt::format("{} ({})", code(group), fmt::join(parts, ", ")));
    }
    if (groups.empty()) continue;
    out.push_back(
        fmt::format("{} gives several formats to ops that serving stacks such as vLLM and TensorRT-LLM "
                    "store as one, and that so need one format; they refuse such a model: {}.",
                    code(recipe.name), shortened_list(groups)));
  }
}

std::vector<std::string> eval_warnings(const EvalRun& run) {
  std::vector<std::string> out;
  if (run.data.samples == 1) out.push_back("The data is a single sample: there is no confidence interval.");
  if (run.data.answer_tokens == 0) out.emplace_back(kNoAnswers);
  for (const EvalRecipe& recipe : run.recipes) {
    if (!recipe.total) out.push_back(code(recipe.name) + " overflowed or became NaN: it is unusable.");
    const auto warn = [&](const std::vector<std::string>& ops, const char* what) {
      std::vector<std::string> names;
      for (const std::string& op : ops) names.push_back(code(op));
      if (!names.empty())
        out.push_back(fmt::format("{} of {} had {}: {}.", counted(static_cast<int64_t>(names.size()), "op"),
                                  code(recipe.name), what, shortened_list(names)));
    };
    warn(recipe.uncalibrated, "no calibration row and stayed float");
    warn(recipe.unexercised, "no row of the data, so what quantizing does there is not measured");
  }
  warn_of_mixed_groups(run, out);
  warn_of_predictions(run, out);
  return out;
}

}  // namespace

std::string eval_markdown(const EvalRun& run) {
  std::string text = "# Recipes evaluated on " + code(run.model.path_name) + "\n\n";
  std::string warnings;
  for (const std::string& warning : eval_warnings(run)) warnings += "- " + warning + "\n";
  if (!warnings.empty()) text += "## Warnings\n\n" + warnings + "\n";
  return text + run_section(run) + recipe_table(run) + prediction_section(run) +
         time_section(run.provenance) + kHowToReadEval;
}

void write_eval_report(const EvalRun& run, const std::string& folder) {
  io::write_file_atomically(folder + "/eval.md", eval_markdown(run));
}

}  // namespace qsweep::report
