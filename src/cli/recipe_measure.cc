#include "cli/recipe_measure.h"

#include <algorithm>
#include <filesystem>

#include <spdlog/spdlog.h>

#include "cli/recipe_files.h"
#include "cli/run_script.h"
#include "compare/run.h"
#include "io/atomic_file.h"
#include "report/recipes.h"
#include "report/text.h"
#include "report/time.h"
#include "scores/op_names.h"
#include "sweep/recipe_search.h"
#include "sweep/records.h"

namespace qsweep::cli {
namespace {

const JobFiles kRecipeFiles{.journal = kRecipeJournal,
                            .results = "recipes.json",
                            .others = {"recipes.md", "recipes.svg", "report.html"}};

// What the search found out, and what RunScript::measure adds to it.
struct Found {
  std::vector<sweep::SearchResult> budgets;
  scores::ModelInfo model;
  scores::DataInfo data;
  io::Json settings, provenance;
};

std::vector<std::string> scored_files(const RecipeFlags& flags) {
  std::vector<std::string> files{compare::scores_file(flags.run)};
  const std::string sketches =
      (std::filesystem::path(files.front()).parent_path() / scores::kSketchesFile).string();
  if (std::filesystem::exists(sketches)) files.push_back(sketches);
  return files;
}

std::vector<NamedFile> files_read(const RecipeFlags& flags) {
  std::vector<NamedFile> files;
  for (const std::string& file : scored_files(flags)) files.push_back({"a file of RUN", file});
  return files;
}

class Searching : public Question {
 public:
  // All must outlive it.
  Searching(RunScript& script, const RecipeFlags& flags, const ScoredRun& scored);

  void keep(io::Journal& journal) override { search_->keep({.journal = &journal}); }
  void prepare() override { search_->prepare(); }
  std::vector<schedule::ProductShape> main_products() const override {
    return search_->first_round().main_products();
  }
  const sweep::RunReport& report() const override { return search_->report(); }
  int64_t planned_bytes() const override { return search_->report().planned_bytes(); }

  void announce(std::span<const sweep::MeasuredProduct> rates) override;
  io::Json announcement() const override;
  void answer() override;
  void conclude() override;
  void conclude_earlier() override {
    script_.output().result(
        recipe_summary(flags_.job.out, io::read_json_file(flags_.job.out + "/recipes.json")));
  }

 private:
  const Engine& engine() const { return script_.engine(); }
  scores::Metric metric() const { return scored_.wishes.metric; }
  const choose::Problem& problem() const { return spectrum_->question.problem; }
  void pose();
  choose::Chosen chosen(size_t budget, const sweep::SearchResult& found) const;

  RunScript& script_;
  const RecipeFlags& flags_;
  const ScoredRun& scored_;
  std::vector<choose::Budget> budgets_;
  choose::MeasuredOn measured_on_;
  std::optional<choose::Spectrum> spectrum_;
  std::optional<sweep::RecipeSearch> search_;
  double seconds_ = 0;  // of the first round
  io::Json recipes_;    // recipes.json
};

void check_model(const RunScript& script, const RecipeFlags& flags, const scores::Run& scored) {
  expect_scores_of(scored, script.model(), "--measure", flags.run);
  const std::vector<std::string> names = scores::names_of(sweep::op_records(script.engine().model));
  if (names != scores::names_of(scored.ops))
    fail("{}: expected scores of the {} ops of {}, found {} others: score again", flags.run, names.size(),
         flags.engine.model, scored.ops.size());
}

std::vector<size_t> held_out_of(const RecipeFlags& flags, size_t samples) {
  const size_t held_out =
      flags.holdout ? static_cast<size_t>(*flags.holdout) : choose::usually_held_out(samples);
  if (held_out >= samples)
    fail("--holdout: expected fewer than the {} samples of --data, found {}", samples, held_out);
  return choose::held_out_samples(samples, held_out);
}

Searching::Searching(RunScript& script, const RecipeFlags& flags, const ScoredRun& scored)
    : script_(script), flags_(flags), scored_(scored), budgets_(budgets_of(flags)) {
  check_model(script, flags, scored.run);
  measured_on_ = {.data = script.data(), .held_out = held_out_of(flags, engine().data.size())};
  with_context(flags.run, [&] { pose(); });
  const std::vector<int64_t> bits = with_context(
      flags.run, [&] { return choose::bits_within(scored.run, problem(), budgets_, flags.seed); });
  search_.emplace(sweep::Setting{.model = engine().model,
                                 .devices = *engine().devices,
                                 .data = engine().data,
                                 .calibration = engine().calibration_data(),
                                 .strict = flags.engine.precision == "strict",
                                 .memory_bytes = parse_bytes(flags.engine.memory)},
                  problem(), bits,
                  sweep::SearchOptions{.metric = metric(),
                                       .candidates = static_cast<size_t>(flags.candidates),
                                       .rounds = static_cast<int>(flags.rounds),
                                       .held_out = measured_on_.held_out,
                                       .seed = flags.seed});
}

// The question to the scores, without the samples that judge the choice, where they are of the same data and
// known by sample.
void Searching::pose() {
  const bool same = scored_.run.data.sha256 == measured_on_.data.sha256 && !measured_on_.held_out.empty();
  if (same && scored_.sketches) {
    const auto samples = static_cast<size_t>(scored_.sketches->samples());
    const std::vector<size_t> chosen_by = choose::other_samples(samples, measured_on_.held_out);
    const std::vector<int64_t> seen(chosen_by.begin(), chosen_by.end());
    spectrum_ =
        choose::open_spectrum(scores::on_samples(scored_.run, *scored_.sketches, seen), scored_.wishes,
                              scored_.sketches->interactions(metric().scope, seen, {flags_.engine.threads}));
    return;
  }
  measured_on_.scored_by_held_out = same;
  spectrum_ = choose::open_spectrum(scored_.run, scored_.wishes, scored_.interactions());
}

void Searching::announce(std::span<const sweep::MeasuredProduct> rates) {
  seconds_ = search_->first_round().forecast_s(rates);
  script_.output().say(
      "{}: {} to measure at first, and at most as many in each of {} rounds; {} a round on this machine\n"
      "memory plan: {}\n",
      engine().model.family, report::counted(static_cast<int64_t>(search_->first_recipes()), "recipe"),
      flags_.rounds, about(seconds_), describe(search_->first_round().plan()));
}

io::Json Searching::announcement() const {
  return {{"schema", "qsweep.summary/1"},
          {"command", "recipe"},
          {"dry_run", true},
          {"recipes_of_a_round", search_->first_recipes()},
          {"rounds", flags_.rounds},
          {"seconds_of_a_round", seconds_},
          {"plan", plan_json(search_->first_round().plan())}};
}

choose::Chosen Searching::chosen(size_t budget, const sweep::SearchResult& found) const {
  const auto& verdict = found.verdict;
  const choose::Candidate best =
      verdict ? candidate_of(problem(), found.measured.recipes[verdict->chosen].selection)
              : best_unmeasured(problem(), found.first);
  choose::Chosen chosen =
      choose::describe(scored_.run, metric(), problem(), budgets_[budget], found.first, best);
  chosen.measured = found.measured.recipes.size();
  chosen.verdict = verdict;
  if (verdict) {
    chosen.predicted = verdict->predicted;
    chosen.predictor = choose::Predictor::refit;
  }
  return chosen;
}

void Searching::answer() {
  const Found found = script_.measure(*this, [&](const auto& progress) {
    return Found{.budgets = search_->run(progress),
                 .model = {},
                 .data = measured_on_.data,
                 .settings = io::Json::object(),
                 .provenance = {}};
  });
  for (size_t b = 0; b < budgets_.size(); ++b) spectrum_->recipes.push_back(chosen(b, found.budgets[b]));
  measured_on_.uncalibrated = {search_->uncalibrated().begin(), search_->uncalibrated().end()};
  spectrum_->measured_on = measured_on_;
  recipes_ = report::recipes_json(scored_.run, *spectrum_, metric(), found.settings);
  recipes_["provenance"] = found.provenance;
  const std::string& out = flags_.job.out;
  with_context("--out", [&] {
    io::AtomicFolder folder(out + "/recipes");
    write_recipes(flags_, scored_.run, *spectrum_, metric(), recipes_, folder.path());
    folder.commit_into(out, "recipes.json");
  });
}

void Searching::conclude() {
  script_.output().say("{}\n", report::time_line(recipes_["provenance"]));
  tell_recipes(script_.output(), flags_.job.out, scored_.run, *spectrum_, metric(), recipes_);
}

}  // namespace

void add_measuring_flags(Flags& flags, RecipeFlags& values) {
  add_data_flags(flags, values.engine);
  flags.add("candidates", values.candidates, "How many recipes of a budget are measured in a round")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  flags
      .add("rounds", values.rounds,
           "Most rounds of measuring; the search ends after one that finds no better recipe")
      ->check(whole_number(1, 16))
      ->capture_default_str();
  flags
      .add("holdout", values.holdout,
           "How many samples of --data judge the choice and have no part in it; a third of 12 or more where "
           "not given, else none")
      ->check(whole_number(0, INT64_MAX));
  add_resuming_flags(flags, values.engine, values.job,
                     "Only show what would be measured, and the memory plan");
}

void search_recipes(RecipeFlags& flags, const std::function<io::Json()>& settings) {
  RunScript script(flags.engine, flags.job, kRecipeFiles, settings);
  const ScoredRun scored(flags);
  flags.engine.caches =
      std::ranges::any_of(scored.run.ops, [](const scores::OpRecord& op) { return op.cache.has_value(); });
  script.open(scored.wishes.metric, files_read(flags));
  Searching searching(script, flags, scored);
  script.run(searching, scored_files(flags));
}

}  // namespace qsweep::cli
