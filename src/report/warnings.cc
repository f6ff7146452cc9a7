#include "report/warnings.h"

#include <algorithm>
#include <map>
#include <set>

#include "io/json.h"
#include "report/scopes.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using scores::Run;
using scores::Status;

constexpr int64_t kEnoughSamples = 8;
constexpr std::string_view kLastOfExpert = "experts.down_proj";  // a role

// Ops, not scores: an op counts once however many formats it was scored in.
std::set<int> ops_with(const Run& run, Status status) {
  std::set<int> ops;
  for (const auto& score : run.scores)
    if (score.status == status) ops.insert(score.op);
  return ops;
}

bool any_score(const Run& run) {
  return std::any_of(run.scores.begin(), run.scores.end(),
                     [](const auto& score) { return scores::carries_metrics(score.status); });
}

void warn_of_samples(const Run& run, std::vector<std::string>& out) {
  if (!any_score(run)) out.push_back("No op has a score; the table of ops without a score below says why.");
  if (run.data.samples == 1)
    out.push_back(
        fmt::format("The data is a single sample: no confidence interval and no reliability can be "
                    "given. Use {} samples or more before acting on the order.",
                    kEnoughSamples));
  if (run.data.samples > 1 && run.data.samples < kEnoughSamples)
    out.push_back(
        fmt::format("The data has only {} samples: confidence intervals are very wide and the "
                    "reliability is a rough guess. Use {} samples or more before acting on the order.",
                    run.data.samples, kEnoughSamples));
  if (run.data.answer_tokens > 0) return;
  out.push_back(
      run.ranking_metric.scope == scores::Scope::answer
          ? "Ranked by " + code(name(run.ranking_metric)) +
                ", but the data has no answer token: every score is zero and the order means nothing."
          : kNoAnswers);
}

void warn_of_reliability(const Run& run, std::vector<std::string>& out) {
  for (const auto& r : run.reliability) {
    if (r.spearman >= kReliableRanking) continue;
    out.push_back(
        fmt::format("The {} order ({}, {}) must not be taken for a ranking: between random halves of the "
                    "data its Spearman correlation is {}, below {}. Use more samples{}.",
                    code(r.format), name(r.mode), name(r.method), number(r.spearman), kReliableRanking,
                    r.mode == scores::Mode::isolated ? "" : ", or the isolated mode"));
  }
}

// How many experts the data reached, and how many more as much data again would reach: those that had one
// row, less those that had two, and so on (Good and Toulmin 1956).
std::string more_experts(const Run& run) {
  std::map<int, int64_t> rows;  // by the op that ends an expert
  int64_t experts = 0;
  for (const scores::OpRecord& op : run.ops) experts += op.role == kLastOfExpert ? 1 : 0;
  for (const scores::ScoreRecord& score : run.scores)
    if (score.local && run.ops[static_cast<size_t>(score.op)].role == kLastOfExpert)
      rows[score.op] = score.local->rows;
  if (rows.empty()) return "";
  int64_t more = 0;
  for (const auto& [op, count] : rows) more += count % 2 == 1 ? 1 : -1;
  const auto reached = static_cast<int64_t>(rows.size());
  return fmt::format(" Its tokens reached {} of {} experts; as much data again would reach about {} more.",
                     reached, experts, std::clamp(more, int64_t{0}, experts - reached));
}

std::string unexercised_advice(const Run& run, const std::set<int>& ops) {
  const bool seeing =
      std::all_of(ops.begin(), ops.end(), [&](int op) { return run.ops[op].tower != "language"; });
  if (seeing && run.data.images == 0)
    return "The data has no image; add samples with images to score the vision tower and the projector.";
  return "Add data that passes through them." + more_experts(run);
}

void warn_of_statuses(const Run& run, std::vector<std::string>& out) {
  const auto unexercised = ops_with(run, Status::unexercised);
  if (!unexercised.empty())
    out.push_back(fmt::format("No row of the data reached {}: unexercised, without any score. {}",
                              counted(static_cast<int64_t>(unexercised.size()), "op"),
                              unexercised_advice(run, unexercised)));
  const std::pair<Status, const char*> others[] = {
      {Status::uncalibrated,
       "had no calibration row for a format with static ranges and stayed float. Give `--calib` data that "
       "reaches it."},
      {Status::non_finite,
       any_score(run)
           ? "overflowed or became NaN in at least one format: treat as unusable in that format."
           : "overflowed or became NaN, and no other has a score: the float model itself is likely "
             "to do so on this data, for which damaged weights are the usual cause."}};
  for (const auto& [status, text] : others) {
    const auto ops = ops_with(run, status);
    if (!ops.empty())
      out.push_back(fmt::format("{} {}", counted(static_cast<int64_t>(ops.size()), "op"), text));
  }
}

void warn_of_spread_scores(const Run& run, std::vector<std::string>& out) {
  int64_t measured = 0, spread = 0;
  for (const auto& score : run.scores) {
    measured += score.status == Status::ok;
    spread += score.status == Status::spread;
  }
  if (spread > 0)
    out.push_back(
        fmt::format("{} of {} not measured: each is the score of the op of the same role in another block "
                    "(spread), and ranks beside it. How blocks differ is not in them.",
                    spread, counted(measured + spread, "score") + (spread == 1 ? " is" : " are")));
}

double most_flipped_rows(const Run& run) {
  double most = 0;
  for (const scores::Baseline& baseline : run.baselines)
    most = std::max(most, baseline.flipped_rows.value_or(0));
  return most;
}

void warn_of_estimates(const Run& run, std::vector<std::string>& out) {
  int64_t approximate = 0, local = 0, nonlinear = 0, flips = 0, unranked = 0;
  for (const auto& score : run.scores) {
    if (!scores::carries_metrics(score.status)) continue;
    if (score.method == scores::Method::local)
      ++local;
    else if (!score.has(run.ranking_metric))
      ++unranked;
    else
      approximate += score.has_flag("approximate");
    nonlinear += score.has_flag("nonlinear");
    flips += score.has_flag(scores::kFlipsFlag);
  }
  if (approximate > 0)
    out.push_back(counted(approximate, "score") +
                  " and the intervals that go with them are estimates, not measured.");
  if (flips > 0)
    out.push_back(
        fmt::format("{} flagged `{}`: with everything quantized, so many rows go to other experts than in "
                    "the float model "
                    "(`flipped_rows` of the baselines: up to {}) that estimates, which keep every row's "
                    "experts, miss what "
                    "counts. Measure the first of the ranking exactly (`--method auto`, `--verify`).",
                    counted(flips, "estimate"), scores::kFlipsFlag, percent(most_flipped_rows(run))));
  if (nonlinear > 0)
    out.push_back(counted(nonlinear, "estimate") +
                  " flagged `nonlinear`: the effect is too large for the estimate to be trusted in size.");
  if (local > 0)
    out.push_back(counted(local, "score") +
                  " by the method local: the error at the op itself, which says little about the output.");
  if (unranked > 0)
    out.push_back(counted(unranked, "score") + " without a rank, because " + code(name(run.ranking_metric)) +
                  " was not among the metrics computed.");
}

void warn_of_baselines(const Run& run, std::vector<std::string>& out) {
  for (const auto& baseline : run.baselines) {
    if (!baseline.total)
      out.push_back(code(baseline.name) + " overflowed or became NaN: everything quantized is unusable.");
    if (!baseline.float_ops.empty())
      out.push_back(
          fmt::format("{} is not everything: {} had no calibration row and stayed float in it. Give "
                      "`--calib` data that reaches them.",
                      code(baseline.name), counted(static_cast<int64_t>(baseline.float_ops.size()), "op")));
  }
}

void warn_of_unused_tensors(const Run& run, std::vector<std::string>& out) {
  const auto unused = run.provenance.find("unused_tensors");
  if (unused == run.provenance.end() || !unused->is_array() || unused->empty()) return;
  out.push_back(fmt::format(
      "{} of the checkpoint {} not used by the model, the first {}: another program may compute with "
      "them. `provenance.unused_tensors` in scores.json lists them.",
      counted(static_cast<int64_t>(unused->size()), "tensor"), unused->size() == 1 ? "is" : "are",
      io::shortened(unused->front())));
}

void warn_of_inputs(const Run& run, std::vector<std::string>& out) {
  const auto told = run.provenance.find("input_warnings");
  if (told == run.provenance.end() || !told->is_array()) return;
  constexpr size_t kShown = 5;
  for (size_t i = 0; i < std::min(told->size(), kShown); ++i)
    if ((*told)[i].is_string()) out.push_back(plain((*told)[i].get<std::string>()) + ".");
  if (told->size() > kShown)
    out.push_back(
        fmt::format("{} more about the checkpoint and the data: `provenance.input_warnings` in scores.json.",
                    counted(static_cast<int64_t>(told->size() - kShown), "warning")));
}

}  // namespace

std::vector<std::string> warnings(const Run& run) {
  std::vector<std::string> out;
  warn_of_inputs(run, out);
  warn_of_unused_tensors(run, out);
  warn_of_samples(run, out);
  warn_of_reliability(run, out);
  warn_of_scopes(run, out);
  warn_of_statuses(run, out);
  warn_of_baselines(run, out);
  warn_of_spread_scores(run, out);
  warn_of_estimates(run, out);
  return out;
}

}  // namespace qsweep::report
