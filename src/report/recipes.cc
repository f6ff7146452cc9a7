#include "report/recipes.h"

#include <algorithm>
#include <functional>
#include <map>

#include <fmt/ranges.h>

#include "report/plot.h"
#include "report/text.h"
#include "scores/schema_parts.h"

namespace qsweep::report {
namespace {

using choose::Chosen;
using choose::Predictor;
using choose::Spectrum;

constexpr const char* kHowToReadRecipes =
    "## How to read this\n\n"
    "- Bits are the mean over the weights of all ops, scales included, float ops at 16. The checkpoint is "
    "all that the "
    "model stores: the ops at these bits, everything else as it is.\n"
    "- Errors are per position, compared with the float model on the data of the scores.\n"
    "- What is predicted is not measured: `--measure` and `qsweep eval --recipe` measure. Scores assume "
    "rounding to nearest.\n";

constexpr const char* kHowToReadMeasured =
    "- Measured errors come with their 95 % interval over the samples. An error over that of another recipe "
    "is "
    "paired: both on the same samples, and below 1 where the one chosen is better. The runner-up is what "
    "would be "
    "chosen without it, the sum's choice is the one of the least plain sum; \"–\": it is the one chosen.\n"
    "- Samples that the choice has seen flatter it; held-out samples do not.\n";

std::map<std::string, size_t> ops_by_format(const Chosen& chosen, size_t ops) {
  std::map<std::string, size_t> counts;
  for (const auto& [op, format] : chosen.formats) ++counts[format];
  if (ops > chosen.formats.size()) counts["float"] = ops - chosen.formats.size();
  return counts;
}

size_t ops_of(const Spectrum& spectrum) {
  size_t ops = 0;
  for (const choose::Decision& decision : spectrum.question.problem.decisions()) ops += decision.ops.size();
  return ops;
}

std::string formats_text(const Chosen& chosen, size_t ops,
                         const std::function<std::string(const std::string&)>& quoted) {
  std::vector<std::string> parts;
  for (const auto& [format, n] : ops_by_format(chosen, ops))
    parts.push_back(fmt::format("{} {}", n, format == "float" ? format : quoted(format)));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string size_text(const Chosen& chosen) {
  return chosen.checkpoint_bytes ? bytes(static_cast<double>(*chosen.checkpoint_bytes)) : number(kUndefined);
}

// Ops that nothing decides about, for the reason.
std::string staying_float(const std::vector<std::string>& ops, const char* why) {
  return fmt::format("{} {} float: {}.", shortened_list(ops), ops.size() == 1 ? "stays" : "stay", why);
}

bool has_quantized_head(const Chosen& chosen) { return chosen.formats.contains("lm_head"); }

// What a reader must know of the samples that candidates were measured on.
std::vector<std::string> measured_notes(const choose::MeasuredOn& on) {
  const auto samples = static_cast<size_t>(on.data.samples), held_out = on.held_out.size();
  std::vector<std::string> notes{
      held_out > 0
          ? fmt::format("Candidates were measured on {} samples of {}: {} chose, {} only judge.", samples,
                        on.data.file_name, samples - held_out, held_out)
          : fmt::format("Candidates were measured on {} of {}, and chosen by the same: their errors flatter "
                        "them (--holdout, or 12 samples).",
                        counted(static_cast<int64_t>(samples), "sample"), on.data.file_name)};
  if (on.scored_by_held_out)
    notes.push_back(
        "The scores are of the same data and not known by sample (score --sketch): the samples that judge "
        "have "
        "had a part in the choice.");
  if (!on.uncalibrated.empty())
    notes.push_back(fmt::format("Measured in float, as no calibration sample reaches {}: {}.",
                                on.uncalibrated.size() == 1 ? "it" : "them",
                                shortened_list(on.uncalibrated)));
  return notes;
}

std::string predictor_note(const Spectrum& spectrum) {
  if (spectrum.question.without_pairs.empty())
    return fmt::format("Predicted errors are the sum of the scores and what pairs of them add to it{}.",
                       spectrum.measured_on ? ", corrected by the candidates measured" : "");
  const bool corrected =
      std::ranges::all_of(spectrum.recipes, [](const Chosen& c) { return c.predictor == Predictor::kappa; });
  if (spectrum.measured_on)
    return fmt::format(
        "Nothing is known of pairs ({}): predicted errors are sums of scores, corrected by the "
        "candidates measured.",
        spectrum.question.without_pairs);
  return fmt::format(
      "Nothing is known of pairs ({}): recipes have the least sum of scores; predicted errors are {}.",
      spectrum.question.without_pairs,
      corrected ? "that sum, corrected by the error of everything quantized" : "that sum");
}

io::Json ratio_json(const std::optional<choose::Ratio>& ratio) {
  if (!ratio) return {};
  return {{"value", ratio->value}, {"ci95", scores::interval_json(ratio->interval)}};
}

io::Json judged_json(const choose::Judged& judged) {
  return {{"error", judged.error},
          {"ci95", scores::interval_json(judged.interval)},
          {"over_runner_up", ratio_json(judged.over_runner_up)},
          {"over_additive", ratio_json(judged.over_additive)}};
}

io::Json measured_json(const Spectrum& spectrum, const Chosen& chosen) {
  if (!spectrum.measured_on) return {};
  io::Json measured{{"candidates", chosen.measured}, {"seen", {}}, {"held_out", {}}};
  if (!chosen.verdict) return measured;
  measured["seen"] = judged_json(chosen.verdict->seen);
  if (chosen.verdict->held_out) measured["held_out"] = judged_json(*chosen.verdict->held_out);
  return measured;
}

io::Json measured_on_json(const std::optional<choose::MeasuredOn>& measured_on) {
  if (!measured_on) return {};
  return {{"data", scores::data_json(measured_on->data)},
          {"held_out", measured_on->held_out},
          {"scored_by_held_out", measured_on->scored_by_held_out},
          {"uncalibrated", measured_on->uncalibrated}};
}

io::Json recipe_json(const Spectrum& spectrum, const Chosen& chosen, size_t ops) {
  const auto positions = static_cast<double>(spectrum.question.problem.positions());
  const auto weights = static_cast<double>(spectrum.question.problem.weights());
  io::Json formats = io::Json::object(), by_op = io::Json::object();
  for (const auto& [format, n] : ops_by_format(chosen, ops)) formats[format] = n;
  for (const auto& [op, format] : chosen.formats) by_op[op] = format;
  return {{"name", chosen.name},
          {"rules_file", recipe_file(spectrum, chosen)},
          {"limit", name(chosen.budget.limit)},
          {"asked", chosen.budget.value},
          {"effective_bits", chosen.effective_bits},
          {"stored_bits", chosen.candidate.bits},
          {"checkpoint_bytes", scores::or_null(chosen.checkpoint_bytes)},
          {"predicted", chosen.predicted},
          {"predicted_by", name(chosen.predictor)},
          {"plain_sum", chosen.plain_sum},
          {"gap", chosen.gap},
          {"additive",
           {{"effective_bits", static_cast<double>(chosen.additive.bits) / weights},
            {"predicted", chosen.additive.predicted / positions},
            {"plain_sum", chosen.additive.sum / positions},
            {"chosen", chosen.additive.selection == chosen.candidate.selection}}},
          {"measured", measured_json(spectrum, chosen)},
          {"formats", formats},
          {"ops", by_op}};
}

// A row for the samples that chose, and one for those that judge.
std::string measured_table(const Spectrum& spectrum, scores::Metric metric) {
  Table table({"Recipe", ">Candidates", "Samples", ">" + name(metric) + " measured [95 %]",
               ">Over the runner-up's", ">Over the sum's choice"});
  const auto row = [&](const Chosen& chosen, const char* samples, const choose::Judged& judged) {
    const auto over = [](const std::optional<choose::Ratio>& ratio) {
      return ratio ? with_interval(ratio->value, ratio->interval) : number(kUndefined);
    };
    table.row({code(chosen.name), std::to_string(chosen.measured), samples,
               with_interval(judged.error, judged.interval), over(judged.over_runner_up),
               over(judged.over_additive)});
  };
  for (const Chosen& chosen : spectrum.recipes) {
    if (!chosen.verdict) continue;
    row(chosen, "chose", chosen.verdict->seen);
    if (chosen.verdict->held_out) row(chosen, "held out", *chosen.verdict->held_out);
  }
  return "## Measured\n\n" + table.text();
}

}  // namespace

std::string recipe_file(const Spectrum& spectrum, const Chosen& chosen) {
  return spectrum.recipes.size() == 1 ? "recipe.json" : fmt::format("recipe_{}.json", chosen.name);
}

std::vector<std::string> recipe_notes(const scores::Run& run, const Spectrum& spectrum) {
  const choose::Question& question = spectrum.question;
  size_t free = 0;
  for (const choose::Decision& decision : question.problem.decisions())
    if (decision.choices.size() > 1) free += decision.ops.size();
  std::vector<std::string> notes{
      fmt::format("Bits cover all {} ops; {} of them are chosen for, in {} or float.", run.ops.size(), free,
                  fmt::join(question.formats, ", "))};
  if (!question.unscored.empty())
    notes.push_back(staying_float(question.unscored, "without a score in a format in question"));
  if (!question.followers.empty())
    notes.push_back(fmt::format(
        "No row of the data reached {}: they have the format of those that they are stored as one "
        "with, and count with no error. {}",
        counted(std::ssize(question.followers), "op"), shortened_list(question.followers)));
  if (!question.with_unscored.empty())
    notes.push_back(staying_float(question.with_unscored, "stored as one with an op that has no score"));
  if (!question.refused.empty())
    notes.push_back(
        staying_float(question.refused, "the stacks asked for take no format that they have a score in"));
  if (!question.estimated.empty())
    notes.push_back(fmt::format("Scores are estimates, not exact: {}.", fmt::join(question.estimated, ", ")));
  notes.push_back(predictor_note(spectrum));
  if (question.measured_groups > 0)
    notes.push_back(fmt::format("Measured groups count in place of their ops, in {}.",
                                counted(static_cast<int64_t>(question.measured_groups), "choice")));
  if (spectrum.measured_on)
    for (std::string& note : measured_notes(*spectrum.measured_on)) notes.push_back(std::move(note));
  if (run.model.tied_embeddings.value_or(false) && std::ranges::any_of(spectrum.recipes, has_quantized_head))
    notes.push_back(
        "lm_head is the token embedding, which stays as it is beside a quantized head: sizes leave it out "
        "there, and "
        "most stacks refuse such a head (--keep-float lm_head).");
  const auto widest = std::ranges::max_element(spectrum.recipes, {}, &Chosen::gap);
  notes.push_back(widest == spectrum.recipes.end() || widest->gap == 0
                      ? "The least sum of scores is proved for every budget."
                      : fmt::format("The least sum of scores is proved to within {} at {}.",
                                    percent(widest->gap), widest->name));
  return notes;
}

std::string recipe_lines(const Spectrum& spectrum, scores::Metric metric) {
  const bool measured = spectrum.measured_on.has_value();
  const auto line = [&](const std::string& name, const std::string& bits, const std::string& size,
                        const std::string& error, const std::string& predicted, const std::string& sum,
                        const std::string& ops) {
    return fmt::format("{:<20} {:>8} {:>12} {}{:>24} {:>10}  {}\n", name, bits, size,
                       measured ? fmt::format("{:>24} ", error) : "", predicted, sum, ops);
  };
  std::string text = line("recipe", "bits", "checkpoint", name(metric) + " measured",
                          measured ? "predicted" : name(metric) + " predicted", "plain sum", "ops by format");
  for (const Chosen& chosen : spectrum.recipes)
    text += line(chosen.name, fmt::format("{:.3f}", chosen.effective_bits),
                 chosen.checkpoint_bytes ? size_text(chosen) : "-",
                 chosen.verdict ? number(*chosen.measured_error()) : "-", number(chosen.predicted),
                 number(chosen.plain_sum),
                 formats_text(chosen, ops_of(spectrum), [](const std::string& f) { return f; }));
  return text;
}

io::Json recipes_json(const scores::Run& run, const Spectrum& spectrum, scores::Metric metric,
                      const io::Json& settings) {
  const choose::Question& question = spectrum.question;
  const size_t ops = ops_of(spectrum);
  return {{"schema", kRecipesSchema},
          {"model", scores::model_json(run.model)},
          {"data", scores::data_json(run.data)},
          {"settings", settings},
          {"metric", name(metric)},
          {"positions", question.problem.positions()},
          {"choices",
           {{"decisions", question.problem.size()},
            {"ops", ops},
            {"formats", question.formats},
            {"estimated", question.estimated},
            {"measured_groups", question.measured_groups},
            {"unscored", question.unscored},
            {"with_unscored", question.with_unscored},
            {"followers", question.followers},
            {"refused", question.refused},
            {"without_pairs", question.without_pairs.empty() ? io::Json() : io::Json(question.without_pairs)},
            {"cheapest_bits", spectrum.cheapest_bits},
            {"dearest_bits", spectrum.dearest_bits}}},
          {"measured_on", measured_on_json(spectrum.measured_on)},
          {"recipes", scores::array_of(spectrum.recipes, [&](const Chosen& chosen) {
             return recipe_json(spectrum, chosen, ops);
           })}};
}

std::string recipes_markdown(const scores::Run& run, const Spectrum& spectrum, scores::Metric metric) {
  std::string text = "# Recipes chosen for " + code(run.model.path_name) + "\n\n";
  for (const std::string& note : recipe_notes(run, spectrum)) text += "- " + plain(note) + "\n";
  text += "\n";
  Table table(
      {"Recipe", ">Bits", ">Checkpoint", ">" + name(metric) + " predicted", ">Plain sum", "Ops by format"});
  for (const Chosen& chosen : spectrum.recipes)
    table.row({code(chosen.name), fmt::format("{:.3f}", chosen.effective_bits), size_text(chosen),
               number(chosen.predicted), number(chosen.plain_sum),
               formats_text(chosen, ops_of(spectrum), code)});
  text += table.text();
  if (spectrum.measured_on) text += measured_table(spectrum, metric);
  if (!pareto_svg(spectrum, metric).empty()) text += "![Bits and error](recipes.svg)\n\n";
  return text + kHowToReadRecipes + (spectrum.measured_on ? kHowToReadMeasured : "");
}

std::string pareto_svg(const Spectrum& spectrum, scores::Metric metric) {
  const bool measured = spectrum.measured_on.has_value();
  Plot plot{.x = "bits per weight",
            .y = fmt::format("{} per position, {}", name(metric), measured ? "measured" : "predicted")};
  for (const Chosen& chosen : spectrum.recipes)
    plot.points.emplace_back(chosen.effective_bits,
                             measured ? chosen.measured_error().value_or(kUndefined) : chosen.predicted);
  return svg(plot);
}

}  // namespace qsweep::report
