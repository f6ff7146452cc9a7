#include "compare/transfer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/stats.h"
#include "scores/finalize.h"

namespace qsweep::compare {
namespace {

using scores::MetricSums;
using scores::OpRecord;
using scores::Run;
using scores::ScopedSums;
using scores::ScoreRecord;

// What ops do whose names differ from family to family.
constexpr struct {
  std::string_view role, purpose;
} kPurposes[] = {
    {"qkv", "queries, keys, values"},
    {"q_proj", "queries, keys, values"},
    {"k_proj", "queries, keys, values"},
    {"v_proj", "queries, keys, values"},
    {"proj", "attention's output"},
    {"o_proj", "attention's output"},
    {"out_proj", "attention's output"},
    {"fc1", "into the feed-forward layer"},
    {"linear_fc1", "into the feed-forward layer"},
    {"gate_proj", "into the feed-forward layer"},
    {"up_proj", "into the feed-forward layer"},
    {"mlp.0", "into the feed-forward layer"},
    {"linear_1", "into the feed-forward layer"},
    {"fc2", "out of the feed-forward layer"},
    {"linear_fc2", "out of the feed-forward layer"},
    {"down_proj", "out of the feed-forward layer"},
    {"mlp.2", "out of the feed-forward layer"},
    {"linear_2", "out of the feed-forward layer"},
};

// Patch embeddings are the only "proj" outside of a block.
std::string purpose_of(const OpRecord& op) {
  const auto* row = std::ranges::find(kPurposes, op.role, [](const auto& r) { return r.role; });
  return row == std::end(kPurposes) || (op.role == "proj" && !op.block) ? op.role : std::string(row->purpose);
}

MetricSums weighted(const MetricSums& a, const MetricSums& b, double of_b) {
  const auto mean = [&](auto x, auto y) {
    const double between = (1 - of_b) * static_cast<double>(x) + of_b * static_cast<double>(y);
    if constexpr (std::is_integral_v<decltype(x)>)
      return static_cast<int64_t>(std::llround(between));
    else
      return between;
  };
  MetricSums sums = a;  // the counts are the data's
  sums.hidden_sse = mean(a.hidden_sse, b.hidden_sse);
  sums.logits_sse = mean(a.logits_sse, b.logits_sse);
  sums.kl = mean(a.kl, b.kl);
  sums.nll_delta = mean(a.nll_delta, b.nll_delta);
  sums.top1_flips = mean(a.top1_flips, b.top1_flips);
  return sums;
}

ScopedSums weighted(const ScopedSums& a, const ScopedSums& b, double of_b) {
  return {weighted(a.all, b.all, of_b), weighted(a.answer, b.answer, of_b)};
}

// Of some ops of a block: their number and their mean.
struct Mean {
  int64_t n = 0;
  ScopedSums sums;

  void add(const ScopedSums& more) {
    ++n;
    sums = n == 1 ? more : weighted(sums, more, 1 / static_cast<double>(n));
  }
};

// One ranking of the proxy, as a function of tower, role and depth.
class Proxy {
 public:
  Proxy(const Run& run, const scores::ScoreGroup& group) {
    for (const size_t i : group.members) {
      const ScoreRecord& score = run.scores[i];
      const OpRecord& op = run.ops[static_cast<size_t>(score.op)];
      if (op.block) blocks_[op.tower] = std::max(blocks_[op.tower], *op.block + 1);
      if (!score.total) continue;
      measured_ = score.measured;
      for (const std::string& what : {op.role, purpose_of(op)})
        means_[{op.tower, what, op.block.has_value()}][op.block.value_or(0)].add(*score.total);
    }
  }

  // blocks: of the tower of the other model.
  std::optional<ScopedSums> at(const OpRecord& op, int64_t blocks) const {
    for (const std::string& what : {op.role, purpose_of(op)})
      if (const auto found = means_.find({op.tower, what, op.block.has_value()}); found != means_.end())
        return at_block(found->second, op.block ? block_here(op, blocks) : 0);
    return {};
  }

  scores::Measured measured() const { return measured_; }

 private:
  using ByBlock = std::map<int64_t, Mean>;

  // The block of this tower that lies as deep: (block + 1/2) / blocks is the same.
  double block_here(const OpRecord& op, int64_t blocks) const {
    return static_cast<double>((2 * *op.block + 1) * blocks_.at(op.tower) - blocks) /
           static_cast<double>(2 * blocks);
  }

  static ScopedSums at_block(const ByBlock& means, double at) {
    const auto above =
        std::ranges::find_if(means, [&](const auto& mean) { return static_cast<double>(mean.first) >= at; });
    if (above == means.begin()) return above->second.sums;
    const auto below = std::prev(above);
    if (above == means.end()) return below->second.sums;
    const double between =
        (at - static_cast<double>(below->first)) / static_cast<double>(above->first - below->first);
    return weighted(below->second.sums, above->second.sums, between);
  }

  using Place = std::tuple<std::string, std::string, bool>;  // tower, role or purpose, whether in a block
  std::map<Place, ByBlock> means_;
  std::map<std::string, int64_t> blocks_;  // of each tower
  scores::Measured measured_ = scores::Measured::none();
};

std::map<std::string, int64_t> count_blocks(const std::vector<OpRecord>& ops) {
  std::map<std::string, int64_t> blocks;
  for (const OpRecord& op : ops)
    if (op.block) blocks[op.tower] = std::max(blocks[op.tower], *op.block + 1);
  return blocks;
}

// Both sides' scores of one op.
struct Pair {
  const OpRecord* op;
  double foretold, own;
};

std::vector<double> column(const std::vector<Pair>& pairs, double Pair::*value) {
  std::vector<double> all;
  for (const Pair& pair : pairs) all.push_back(pair.*value);
  return all;
}

double sum_of(const std::vector<Pair>& pairs, double Pair::*value) {
  return std::accumulate(pairs.begin(), pairs.end(), 0.0,
                         [&](double sum, const Pair& pair) { return sum + pair.*value; });
}

// The k largest, as indices.
std::vector<size_t> first_by(const std::vector<Pair>& pairs, double Pair::*value, size_t k) {
  std::vector<size_t> order(pairs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t i) { return pairs[i].*value; });
  order.resize(k);
  return order;
}

// Two ops are in the same order by half a chance.
constexpr size_t kFewestRanked = 3;

double rank_correlation(const std::vector<Pair>& pairs) {
  return pairs.size() < kFewestRanked ? std::numeric_limits<double>::quiet_NaN()
                                      : spearman(column(pairs, &Pair::foretold), column(pairs, &Pair::own));
}

// An empty tower or role: of every one.
Foretold foretold(const std::vector<Pair>& all, const std::string& tower, const std::string& role) {
  std::vector<Pair> some;
  std::ranges::copy_if(all, std::back_inserter(some), [&](const Pair& pair) {
    return (tower.empty() || pair.op->tower == tower) && (role.empty() || pair.op->role == role);
  });
  return {.tower = tower,
          .role = role,
          .ops = std::ssize(some),
          .spearman = rank_correlation(some),
          .share = sum_of(some, &Pair::own) / sum_of(all, &Pair::own),
          .foretold_share = sum_of(some, &Pair::foretold) / sum_of(all, &Pair::foretold)};
}

void push_unique(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

Check check_group(const std::vector<Pair>& pairs, const scores::ScoreGroup& group) {
  Check check{.format = group.format, .mode = group.mode, .groups = {foretold(pairs, "", "")}};
  std::vector<std::string> towers;
  for (const Pair& pair : pairs) push_unique(towers, pair.op->tower);
  for (const std::string& tower : towers) {
    check.groups.push_back(foretold(pairs, tower, ""));
    std::vector<std::string> roles;
    for (const Pair& pair : pairs)
      if (pair.op->tower == tower) push_unique(roles, pair.op->role);
    for (const std::string& role : roles) check.groups.push_back(foretold(pairs, tower, role));
  }
  const size_t k = std::max<size_t>(1, pairs.size() / 10);
  const std::vector<size_t> guessed = first_by(pairs, &Pair::foretold, k),
                            best = first_by(pairs, &Pair::own, k);
  check.k = static_cast<int64_t>(k);
  const double error = sum_of(pairs, &Pair::own);
  for (const size_t i : guessed) {
    check.overlap += std::ranges::count(best, i);
    check.protected_error += pairs[i].own / error;
  }
  for (const size_t i : best) check.own_protected_error += pairs[i].own / error;
  return check;
}

bool is_cache(const Run& run, const ScoreRecord& score) {
  return run.ops[static_cast<size_t>(score.op)].cache.has_value();
}

}  // namespace

Run transfer(const Run& proxy, std::vector<OpRecord> ops, scores::Metric metric) {
  Run run;
  run.data = proxy.data;
  run.ops = std::move(ops);
  const std::map<std::string, int64_t> blocks = count_blocks(run.ops);
  for (const scores::ScoreGroup& group : group_scores(proxy)) {
    if (group.method == scores::Method::local) continue;  // of no output
    const Proxy from(proxy, group);
    const bool caches = is_cache(proxy, proxy.scores[group.members.front()]);
    for (size_t op = 0; op < run.ops.size(); ++op) {
      if (run.ops[op].cache.has_value() != caches) continue;
      ScoreRecord score;
      score.op = static_cast<int>(op);
      score.format = group.format;
      score.mode = group.mode;
      score.method = scores::Method::transfer;
      score.measured = from.measured();
      const auto tower = blocks.find(run.ops[op].tower);
      const auto sums = from.at(run.ops[op], tower == blocks.end() ? 1 : tower->second);
      score.status = sums ? scores::Status::ok : scores::Status::skipped;
      if (sums) score.per_sample = {*sums};
      run.scores.push_back(std::move(score));
    }
  }
  if (run.scores.empty()) fail("the run has no scores at the model's output, which could be transferred");
  finalize(run, metric, /*seed=*/0);
  return run;
}

std::vector<Check> check_transfer(const Run& transferred, const Run& own) {
  std::map<std::string, size_t> own_ops;
  for (size_t i = 0; i < own.ops.size(); ++i) own_ops[own.ops[i].name] = i;
  std::vector<Check> checks;
  for (const scores::ScoreGroup& guessed : group_scores(transferred)) {
    for (const scores::ScoreGroup& group : group_scores(own)) {
      if (group.format != guessed.format || group.mode != guessed.mode) continue;
      std::map<std::string, double> values;
      for (const size_t i : group.members)
        values[own.ops[static_cast<size_t>(own.scores[i].op)].name] =
            ranking_value(own.scores[i], transferred.ranking_metric);
      std::vector<Pair> pairs;
      for (const size_t i : guessed.members) {
        const OpRecord& op = transferred.ops[static_cast<size_t>(transferred.scores[i].op)];
        const double value = ranking_value(transferred, transferred.scores[i]);
        const auto found = values.find(op.name);
        if (found == values.end() || !std::isfinite(found->second) || !std::isfinite(value)) continue;
        pairs.push_back({&op, value, found->second});
      }
      if (!pairs.empty()) checks.push_back(check_group(pairs, guessed));
    }
  }
  if (checks.empty())
    fail("expected scores of the same ops and of a format and mode that both runs have, found none");
  return checks;
}

}  // namespace qsweep::compare
