#include "choose/spectrum.h"

#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "scores/joint.h"

namespace qsweep::choose {
namespace {

constexpr std::array<std::string_view, 3> kLimits{"bits", "size", "error"};
constexpr std::array<std::string_view, 4> kPredictors{"pairs", "kappa", "sum", "refit"};
constexpr int64_t kBitsPerByte = 8, kFloatBits = 16, kMostBudgets = 1000;

double per_weight(const Problem& problem, int64_t bits) {
  return static_cast<double>(bits) / static_cast<double>(problem.weights());
}

int64_t bits_within_error(const Problem& problem, const Budget& budget, const SolveOptions& options) {
  const auto positions = static_cast<double>(problem.positions());
  if (const auto fewest = fewest_bits(problem, budget.value * positions, options)) return *fewest;
  const double least = solve(problem, problem.dearest_bits(), options).best.front().predicted / positions;
  fail("{}: expected at least {:.3g}, the least error of a recipe within what is fixed, found {}",
       budget.text, least, budget.value);
}

// Corrected as joint.h has it, where that is known.
void predict_without_pairs(const scores::Run& run, scores::Metric metric, double positions, Chosen& chosen) {
  const scores::Prediction prediction = scores::JointModel::from_run(run, metric).predict(chosen.formats);
  if (!prediction.corrected) return;
  chosen.predicted = *prediction.corrected / positions;
  chosen.predictor = Predictor::kappa;
}

std::vector<Budget> range_of(Limit limit, const std::string& text, const std::vector<double>& ends,
                             double step) {
  const double count = std::floor((ends[1] - ends[0]) / step + 1e-9) + 1;
  if (!(step > 0) || !(count >= 1) || count > kMostBudgets)
    fail("expected LOW..HIGH:STEP with LOW up to HIGH, a positive STEP and at most {} values, found \"{}\"",
         kMostBudgets, text);
  std::vector<Budget> budgets;
  for (int i = 0; i < static_cast<int>(count); ++i) {
    const double value = ends[0] + i * step;
    budgets.push_back({.limit = limit, .value = value, .text = fmt::format("{:.10g}", value)});
  }
  return budgets;
}

int64_t bits_within(const scores::Run& run, const Problem& problem, const Budget& budget, uint64_t seed) {
  if (budget.limit == Limit::error) return bits_within_error(problem, budget, {.seed = seed});
  const bool by_size = budget.limit == Limit::size;
  if (by_size && !run.model.other_bytes)
    fail(
        "{}: expected a run that says what the checkpoint holds beside the ops' weights, found one of an "
        "earlier "
        "version: score again",
        budget.text);
  const auto limited = [&](int64_t bits) {
    return by_size ? checkpoint_bytes(run, bits) : per_weight(problem, bits);
  };
  const int64_t cheapest = problem.cheapest_bits();
  const double low = limited(cheapest), high = limited(kFloatBits * problem.weights());
  // As a text of six digits says it: rounding must refuse no end.
  const double slack = 1e-6 * high;
  if (budget.value < low - slack || budget.value > high + slack)
    fail("{}: expected {} from {:.7g}, the cheapest recipe, to {:.7g}, everything in float, found {:.7g}",
         budget.text, name(budget.limit), low, high, budget.value);
  const double bits = by_size ? (budget.value - static_cast<double>(*run.model.other_bytes)) * kBitsPerByte
                              : budget.value * static_cast<double>(problem.weights());
  // Bits are whole, so what the product's rounding takes away may be given back.
  return std::max(cheapest, static_cast<int64_t>(std::floor(bits * (1 + 1e-15) + 1e-6)));
}

std::string name_of(const Budget& budget) { return fmt::format("{}_{}", name(budget.limit), budget.text); }

}  // namespace

std::string_view name(Limit limit) { return kLimits[static_cast<size_t>(limit)]; }
std::string_view name(Predictor predictor) { return kPredictors[static_cast<size_t>(predictor)]; }

double checkpoint_bytes(const scores::Run& run, int64_t bits) {
  return std::ceil(static_cast<double>(bits) / kBitsPerByte) + static_cast<double>(*run.model.other_bytes);
}

std::vector<Budget> parse_budgets(Limit limit, const std::string& text,
                                  double (*read_one)(const std::string&)) {
  const size_t dots = text.find(".."), colon = text.find(':');
  if (dots == std::string::npos) return {{.limit = limit, .value = read_one(text), .text = text}};
  if (colon == std::string::npos || colon < dots)
    fail("expected a value, or LOW..HIGH:STEP, found \"{}\"", text);
  return range_of(limit, text,
                  {read_one(text.substr(0, dots)), read_one(text.substr(dots + 2, colon - dots - 2))},
                  read_one(text.substr(colon + 1)));
}

std::vector<int64_t> bits_within(const scores::Run& run, const Problem& problem,
                                 const std::vector<Budget>& budgets, uint64_t seed) {
  std::vector<int64_t> bits;
  std::set<std::string> names;
  for (const Budget& budget : budgets)
    with_context("--" + std::string(name(budget.limit)), [&] {
      if (!names.insert(name_of(budget)).second) fail("{} is there twice", budget.text);
      bits.push_back(bits_within(run, problem, budget, seed));
    });
  return bits;
}

std::optional<double> Chosen::measured_error() const {
  if (!verdict) return std::nullopt;
  return verdict->held_out ? verdict->held_out->error : verdict->seen.error;
}

const Candidate& best_unmeasured(const Problem& problem, const Candidates& found) {
  return found.best[problem.has_pairs() ? 0 : *found.additive];
}

Chosen describe(const scores::Run& run, scores::Metric metric, const Problem& problem, const Budget& budget,
                const Candidates& found, const Candidate& candidate) {
  const auto positions = static_cast<double>(problem.positions());
  Chosen chosen{.name = name_of(budget),
                .budget = budget,
                .candidate = candidate,
                .additive = found.best[*found.additive],
                .gap = found.gap,
                .effective_bits = per_weight(problem, candidate.bits),
                .checkpoint_bytes = {},
                .formats = formats_of(run, problem, candidate.selection),
                .predicted = candidate.predicted / positions,
                .plain_sum = candidate.sum / positions,
                .predictor = problem.has_pairs() ? Predictor::pairs : Predictor::sum};
  if (run.model.other_bytes)
    chosen.checkpoint_bytes = static_cast<int64_t>(checkpoint_bytes(run, candidate.bits));
  if (!problem.has_pairs()) predict_without_pairs(run, metric, positions, chosen);
  return chosen;
}

Spectrum open_spectrum(const scores::Run& run, const Wishes& wishes,
                       const std::optional<scores::Interactions>& interactions) {
  Spectrum spectrum{.question = ask(run, wishes, interactions)};
  const Problem& problem = spectrum.question.problem;
  const auto weights = static_cast<double>(problem.weights());
  spectrum.cheapest_bits = static_cast<double>(problem.cheapest_bits()) / weights;
  spectrum.dearest_bits = static_cast<double>(problem.dearest_bits()) / weights;
  return spectrum;
}

Spectrum choose(const scores::Run& run, const Wishes& wishes, const std::vector<Budget>& budgets,
                const std::optional<scores::Interactions>& interactions, uint64_t seed) {
  Spectrum spectrum = open_spectrum(run, wishes, interactions);
  const Problem& problem = spectrum.question.problem;
  const std::vector<int64_t> bits = bits_within(run, problem, budgets, seed);
  for (size_t b = 0; b < budgets.size(); ++b) {
    const Candidates found = solve(problem, bits[b], {.seed = seed});
    spectrum.recipes.push_back(
        describe(run, wishes.metric, problem, budgets[b], found, best_unmeasured(problem, found)));
  }
  return spectrum;
}

}  // namespace qsweep::choose
