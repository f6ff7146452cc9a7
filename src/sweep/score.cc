#include "sweep/score.h"

#include "scores/finalize.h"

namespace qsweep::sweep {

Sweep::Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
             const std::vector<models::Sample>& calibration, ScoreOptions options)
    : setting_{model, ops, data, calibration, options.strict, options.memory_bytes},
      options_(std::move(options)),
      outlook_(make_outlook(model, data, calibration, options_)),
      measurement_(setting_, outlook_.variants) {}

void Sweep::prepare() { measurement_.prepare(); }

scores::Run Sweep::run(const ProgressObserver& progress) {
  scores::Run run;
  run.ops = op_records(setting_.model);
  run.data = data_counts(setting_.data);
  run.scores = outlook_.records;
  run.baselines = outlook_.baselines;
  const auto per_sample = [&](Target target) -> std::vector<scores::ScopedSums>& {
    return target.kind == Target::Kind::score ? run.scores[target.index].per_sample
                                              : run.baselines[target.index].per_sample;
  };
  for (const auto& targets : outlook_.targets)
    for (const Target target : targets) per_sample(target) = unchanged(setting_.model, setting_.data);

  measurement_.run({.metrics =
                        [&](int variant, int sample, const scores::ScopedSums& sums) {
                          for (const Target target : outlook_.targets[static_cast<size_t>(variant)])
                            per_sample(target)[static_cast<size_t>(sample)] = sums;
                        },
                    .local =
                        [&](int variant, const scores::LocalStats& stats) {
                          // Of a variant with several ops no single op's statistics can be told.
                          if (outlook_.variants[static_cast<size_t>(variant)].overrides.size() != 1) return;
                          for (const Target target : outlook_.targets[static_cast<size_t>(variant)]) {
                            auto& local = run.scores[target.index].local;
                            local ? local->add(stats) : void(local = stats);
                          }
                        }},
                   progress);
  measurement_.timed("statistics", [&] { scores::finalize(run, options_.metric, options_.seed); });
  return run;
}

}  // namespace qsweep::sweep
