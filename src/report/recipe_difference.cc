#include "report/recipe_difference.h"

#include <algorithm>
#include <cmath>

#include "io/atomic_file.h"
#include "report/text.h"
#include "scores/schema.h"
#include "scores/schema_parts.h"

namespace qsweep::report {
namespace {

using choose::Change;
using choose::Difference;
using choose::Predictor;
using choose::Side;

constexpr size_t kShownLines = 10;
constexpr const char* kHowToReadDifference =
    "## How to read this\n\n"
    "- Changes are what B has more than A. Bits are the mean over the weights of all ops, scales included, "
    "float ops at 16.\n"
    "- Errors are per position, compared with the float model on the data of the scores.\n"
    "- How much an op's change costs depends on what else changes: a row has the mean of its cost as the "
    "first change and as the last one, so that all rows add up to the difference.\n"
    "- What is predicted is not measured: `qsweep eval --recipe A --recipe B` measures both.\n";

std::string format_name(const quant::Format* format) {
  return format == nullptr ? "float" : std::string(format->name);
}

double or_undefined(const std::optional<double>& value) { return value.value_or(kUndefined); }

// "+0.25"; "0" has no sign.
std::string with_sign(double value) { return (value > 0 ? "+" : "") + number(value); }

// The largest change of the error first; where that is not known, of the bits.
std::vector<Change> by_weight(std::vector<Change> changes) {
  const auto weight = [](const Change& change) {
    return std::pair(std::abs(change.error.value_or(0)), std::abs(change.stored_bits));
  };
  std::ranges::stable_sort(changes, std::greater(), weight);
  return changes;
}

std::string change_label(const Change& change) {
  return change.ops.size() == 1 ? code(change.name)
                                : fmt::format("{} ({} ops)", code(change.name), change.ops.size());
}

std::string of_recipes(const RecipeComparison& comparison) {
  const size_t ops = comparison.run.ops.size();
  return fmt::format("{} of {} differ", ops - comparison.difference.same,
                     counted(static_cast<int64_t>(ops), "op"));
}

std::string predictor_sentence(const RecipeComparison& comparison) {
  const Difference& difference = comparison.difference;
  if (!difference.predictor)
    return fmt::format("The run has no isolated scores of {}, so no error is predicted.",
                       name(difference.metric));
  switch (*difference.predictor) {
    case Predictor::pairs:
      return "Predicted errors are the sum of the scores and what pairs of them add to it.";
    case Predictor::kappa:
      return "Predicted errors are the sum of the scores, corrected by the error of everything quantized.";
    case Predictor::sum:
    case Predictor::refit:  // of measured recipes, of which nothing is known here
      break;
  }
  return "Predicted errors are the plain sum of the scores.";
}

std::string unscored_note(const char* which, const Side& side) {
  if (side.unscored.empty()) return "";
  return fmt::format("Without a score in {}, and left out of its predicted error: {}.", which,
                     shortened_list(side.unscored));
}

std::vector<std::string> notes_of(const RecipeComparison& comparison) {
  std::vector<std::string> notes{of_recipes(comparison) + ".", predictor_sentence(comparison)};
  if (comparison.difference.predictor)
    for (const auto& [which, side] :
         {std::pair("A", &comparison.difference.a), std::pair("B", &comparison.difference.b)})
      if (const std::string note = unscored_note(which, *side); !note.empty()) notes.push_back(note);
  return notes;
}

std::string size_text(const std::optional<int64_t>& size) {
  return size ? bytes(static_cast<double>(*size)) : number(kUndefined);
}

std::string totals_table(const RecipeComparison& comparison) {
  const Difference& difference = comparison.difference;
  Table table({"", "Recipe", "File", ">Bits", ">Checkpoint", ">" + name(difference.metric) + " predicted",
               ">Plain sum"});
  const auto row = [&](const char* which, const RecipeTitle& title, const Side& side) {
    table.row({which, code(title.name), code(title.file_name), fmt::format("{:.3f}", side.effective_bits),
               size_text(side.checkpoint_bytes), number(or_undefined(side.predicted)),
               number(or_undefined(side.plain_sum))});
  };
  row("A", comparison.a, difference.a);
  row("B", comparison.b, difference.b);
  table.row({"B less A", "", "",
             fmt::format("{:+.3f}", difference.b.effective_bits - difference.a.effective_bits), "",
             with_sign(or_undefined(difference.error)), ""});
  return table.text();
}

std::string changes_table(const RecipeComparison& comparison) {
  const Difference& difference = comparison.difference;
  const auto weights = static_cast<double>(choose::weights_of(comparison.run));
  Table table({"Op", "In A", "In B", ">Bits", ">" + name(difference.metric) + " predicted"});
  for (const Change& change : by_weight(difference.changes))
    table.row({change_label(change), code(format_name(change.from)), code(format_name(change.to)),
               with_sign(static_cast<double>(change.stored_bits) / weights),
               with_sign(or_undefined(change.error))});
  if (table.empty()) return "";
  return "## Where they differ\n\nThe largest change of the predicted error first.\n\n" + table.text();
}

io::Json side_json(const RecipeTitle& title, const Side& side) {
  return {{"name", title.name},
          {"rules_file", title.file_name},
          {"effective_bits", side.effective_bits},
          {"stored_bits", side.stored_bits},
          {"checkpoint_bytes", scores::or_null(side.checkpoint_bytes)},
          {"predicted", scores::or_null(side.predicted)},
          {"plain_sum", scores::or_null(side.plain_sum)},
          {"unscored", side.unscored}};
}

io::Json change_json(const scores::Run& run, double weights, const Change& change) {
  return {{"name", change.name},
          {"ops", scores::array_of(change.ops, [&](size_t op) { return io::Json(run.ops[op].name); })},
          {"a", format_name(change.from)},
          {"b", format_name(change.to)},
          {"stored_bits", change.stored_bits},
          {"effective_bits", static_cast<double>(change.stored_bits) / weights},
          {"predicted", scores::or_null(change.error)}};
}

}  // namespace

std::string recipe_difference_lines(const RecipeComparison& comparison) {
  const Difference& difference = comparison.difference;
  const std::string metric = name(difference.metric);
  std::string text;
  for (const std::string& note : notes_of(comparison)) text += note + "\n";
  const auto line = [&](const char* which, const std::string& bits, double error, const std::string& what) {
    text += fmt::format("{:<8} {:>8} bits {:>12} {} predicted  {}\n", which, bits,
                        which[1] == '\0' ? number(error) : with_sign(error), metric, what);
  };
  const Side &a = difference.a, &b = difference.b;
  line("A", fmt::format("{:.3f}", a.effective_bits), or_undefined(a.predicted), comparison.a.name);
  line("B", fmt::format("{:.3f}", b.effective_bits), or_undefined(b.predicted), comparison.b.name);
  line("B less A", fmt::format("{:+.3f}", b.effective_bits - a.effective_bits),
       or_undefined(difference.error), "");
  const std::vector<Change> changes = by_weight(difference.changes);
  const auto weights = static_cast<double>(choose::weights_of(comparison.run));
  for (size_t i = 0; i < std::min(changes.size(), kShownLines); ++i)
    text += fmt::format("{:>10} bits {:>10}  {}: {} -> {}\n",
                        with_sign(static_cast<double>(changes[i].stored_bits) / weights),
                        with_sign(or_undefined(changes[i].error)), changes[i].name,
                        format_name(changes[i].from), format_name(changes[i].to));
  if (changes.size() > kShownLines) text += fmt::format("and {} more\n", changes.size() - kShownLines);
  return text;
}

io::Json recipe_difference_json(const RecipeComparison& comparison) {
  const Difference& difference = comparison.difference;
  const scores::Run& run = comparison.run;
  const auto weights = static_cast<double>(choose::weights_of(run));
  return {{"schema", kRecipeDifferenceSchema},
          {"model", scores::model_json(run.model)},
          {"data", scores::data_json(run.data)},
          {"metric", name(difference.metric)},
          {"positions", difference.positions},
          {"predicted_by", difference.predictor ? io::Json(name(*difference.predictor)) : io::Json()},
          {"a", side_json(comparison.a, difference.a)},
          {"b", side_json(comparison.b, difference.b)},
          {"change",
           {{"effective_bits", difference.b.effective_bits - difference.a.effective_bits},
            {"stored_bits", difference.b.stored_bits - difference.a.stored_bits},
            {"predicted", scores::or_null(difference.error)}}},
          {"same_ops", difference.same},
          {"differing", scores::array_of(difference.changes, [&](const Change& change) {
             return change_json(run, weights, change);
           })}};
}

std::string recipe_difference_markdown(const RecipeComparison& comparison) {
  std::string text = "# Two recipes for " + code(comparison.run.model.path_name) + "\n\n";
  for (const std::string& note : notes_of(comparison)) text += "- " + plain(note) + "\n";
  return text + "\n" + totals_table(comparison) + changes_table(comparison) + kHowToReadDifference;
}

void write_recipe_difference(const RecipeComparison& comparison, const std::string& folder) {
  io::write_file_atomically(folder + "/compare_recipes.json",
                            scores::to_text(recipe_difference_json(comparison)));
  io::write_file_atomically(folder + "/compare_recipes.md", recipe_difference_markdown(comparison));
}

}  // namespace qsweep::report
