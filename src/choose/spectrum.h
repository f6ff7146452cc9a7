// One recipe for every budget.
#pragma once

#include "choose/question.h"
#include "choose/solve.h"
#include "choose/verdict.h"

namespace qsweep::choose {

enum class Limit {
  bits,   // mean effective bits per weight of all ops, float ones at 16
  size,   // bytes of the whole checkpoint: the ops' stored bits, and all else as it is stored
  error,  // predicted error per position, for the fewest bits
};
std::string_view name(Limit limit);

struct Budget {
  Limit limit = Limit::bits;
  double value = 0;
  std::string text;  // as it was asked for: "4.5", "2.1G"
};

// "4.5", or "4.5..8:0.25" for every value from 4.5 to 8 in steps of 0.25. read_one: of a value's text. Values
// of a range have no text of their own: it is the shortest that reads back as they are. Error for anything
// else, and for ranges of more than 1000 values.
std::vector<Budget> parse_budgets(Limit limit, const std::string& text,
                                  double (*read_one)(const std::string&));

// Of the whole checkpoint with so many stored bits of ops, for a run that says what else it holds.
double checkpoint_bytes(const scores::Run& run, int64_t bits);

// What predicts the error of the recipes.
enum class Predictor { pairs, kappa, sum, refit };
std::string_view name(Predictor predictor);

struct Chosen {
  std::string name;  // of the recipe: "bits_4.5"
  Budget budget;
  Candidate candidate, additive;
  double gap = 0;  // of the additive one's sum, ExactSum::gap
  double effective_bits = 0;
  std::optional<int64_t> checkpoint_bytes;     // where the run knows what else the checkpoint holds
  std::map<std::string, std::string> formats;  // by op name, of the ops that are quantized
  // Per position. Where no pairs are known, `predicted` is the sum corrected as joint.h has it, or the plain
  // sum; refit: by pairs, as the recipes measured have corrected them.
  double predicted = 0, plain_sum = 0;
  Predictor predictor = Predictor::sum;
  size_t measured = 0;             // how many candidates
  std::optional<Verdict> verdict;  // what came of it; none where all of them overflowed

  // Per position, on the samples that judge the choice where there are some, else on those that made it.
  std::optional<double> measured_error() const;
};

// On what candidates were measured.
struct MeasuredOn {
  scores::DataInfo data;
  std::vector<size_t> held_out;  // samples that judge the choice, ascending
  // Whether the scores are of the held-out samples too: the choice has seen them.
  bool scored_by_held_out = false;
  std::vector<std::string> uncalibrated = {};  // ops that had to stay float
};

struct Spectrum {
  Question question;
  double cheapest_bits = 0, dearest_bits = 0;  // effective, of all recipes there are
  std::vector<Chosen> recipes;
  std::optional<MeasuredOn> measured_on = {};  // where candidates were measured
};

// The most stored bits of the problem that keep within each budget. Error, with what is possible, for a
// budget below the cheapest recipe or above everything in float, for an error that no recipe keeps to, for a
// size where the run does not say what else the checkpoint holds, and for one that is there twice.
std::vector<int64_t> bits_within(const scores::Run& run, const Problem& problem,
                                 const std::vector<Budget>& budgets, uint64_t seed = 1);

// The one to take where nothing is measured: by the sum alone, the exact choice; what else there is has a
// larger one.
const Candidate& best_unmeasured(const Problem& problem, const Candidates& found);

// What is to be said of one of the candidates found within the budget; `problem` and `metric` those of its
// question.
Chosen describe(const scores::Run& run, scores::Metric metric, const Problem& problem, const Budget& budget,
                const Candidates& found, const Candidate& candidate);

// The question, without any recipe yet.
Spectrum open_spectrum(const scores::Run& run, const Wishes& wishes,
                       const std::optional<scores::Interactions>& interactions);

// The best candidate of every budget by prediction: without pairs, the one of least sum.
Spectrum choose(const scores::Run& run, const Wishes& wishes, const std::vector<Budget>& budgets,
                const std::optional<scores::Interactions>& interactions, uint64_t seed = 1);

}  // namespace qsweep::choose
