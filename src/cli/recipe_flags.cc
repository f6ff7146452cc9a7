#include "cli/recipe_flags.h"

#include "base/limits.h"
#include "compare/run.h"

namespace qsweep::cli {
namespace {

double read_number(const std::string& text) {
  const std::optional<double> number = number_of(text);
  if (!number || !(*number > 0) || !(*number < 1e15)) fail("expected a number above 0, found \"{}\"", text);
  return *number;
}
double read_size(const std::string& text) { return static_cast<double>(parse_bytes(text)); }

std::vector<stacks::Kind> kinds_of(const char* flag, const std::vector<std::string>& names) {
  std::vector<stacks::Kind> kinds;
  for (const std::string& name : names)
    kinds.push_back(with_context(flag, [&] { return stacks::parse_kind(name); }));
  return kinds;
}

// What one of the stacks refuses; what is exported is for that stack too.
choose::Refusal refusal_of(const RecipeFlags& flags, const scores::Run& run) {
  std::vector<stacks::Kind> kinds = kinds_of("--stack", flags.stacks);
  for (const stacks::Kind kind : exports_of(flags)) kinds.push_back(kind);
  if (kinds.empty()) return {};
  return [kinds, model = stacks::model_of(run)](const scores::OpRecord& op, const quant::Format* format) {
    std::optional<std::string> why;
    for (size_t i = 0; i < kinds.size() && !why; ++i) why = stacks::refusal(kinds[i], model, op, format);
    return why;
  };
}

}  // namespace

std::vector<choose::Budget> budgets_of(const RecipeFlags& flags) {
  std::vector<choose::Budget> budgets;
  const auto add = [&](choose::Limit limit, const std::vector<std::string>& texts, auto read) {
    for (const std::string& text : texts)
      with_context("--" + std::string(name(limit)), [&] {
        for (choose::Budget& budget : choose::parse_budgets(limit, text, read))
          budgets.push_back(std::move(budget));
      });
  };
  add(choose::Limit::bits, flags.bits, read_number);
  add(choose::Limit::size, flags.size, read_size);
  add(choose::Limit::error, flags.error, read_number);
  if (budgets.empty()) fail("expected one of --bits, --size and --error, found none");
  return budgets;
}

std::vector<stacks::Kind> exports_of(const RecipeFlags& flags) { return kinds_of("--export", flags.exports); }

choose::Wishes wishes_of(const RecipeFlags& flags, const scores::Run& run) {
  choose::Wishes wishes{.metric = run.ranking_metric, .formats = flags.formats};
  if (flags.metric)
    wishes.metric = with_context("--metric", [&] { return scores::parse_metric(*flags.metric); });
  wishes.grouping = with_context("--group", [&] { return choose::parse_grouping(flags.group); });
  for (const std::string& text : flags.fix) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0)
      fail("--fix: expected GLOB=FORMAT, such as '*.down_proj=w8a16', found \"{}\"", text);
    const std::string format = text.substr(equals + 1);
    wishes.fixed.push_back(
        {.pattern = text.substr(0, equals),
         .format =
             format == "float" ? nullptr : with_context("--fix", [&] { return &quant::find_format(format); }),
         .flag = "--fix"});
  }
  for (const std::string& pattern : flags.keep_float)
    wishes.fixed.push_back({.pattern = pattern, .format = nullptr, .flag = "--keep-float"});
  wishes.refusal = refusal_of(flags, run);
  return wishes;
}

ScoredRun::ScoredRun(const RecipeFlags& flags)
    : run(compare::read_run(flags.run)),
      wishes(wishes_of(flags, run)),
      sketches(compare::sketches_of(run, flags.run, wishes.metric.which)) {}

std::optional<scores::Interactions> ScoredRun::interactions() const {
  if (!sketches) return std::nullopt;
  return sketches->interactions(wishes.metric.scope, Threads{usable_processors()});
}

}  // namespace qsweep::cli
