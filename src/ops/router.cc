#include "ops/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace qsweep::ops::router {
namespace {

std::vector<Share> softmax(std::span<const float> logits, std::vector<Share> shares) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const Share& s : shares)
    largest = std::max(largest, static_cast<double>(logits[static_cast<size_t>(s.expert)]));
  for (Share& s : shares) {
    s.weight = std::exp(static_cast<double>(logits[static_cast<size_t>(s.expert)]) - largest);
    sum += s.weight;
  }
  for (Share& s : shares) s.weight /= sum;
  return shares;
}

// All experts, the k largest logits first.
std::vector<Share> sorted(const Rule& rule, std::span<const float> logits) {
  QSWEEP_CHECK(rule.chosen <= std::ssize(logits), "{} of {} experts", rule.chosen, logits.size());
  std::vector<Share> all(logits.size());
  for (size_t i = 0; i < all.size(); ++i) all[i].expert = static_cast<int32_t>(i);
  const auto larger = [&](const Share& a, const Share& b) {
    const float x = logits[static_cast<size_t>(a.expert)], y = logits[static_cast<size_t>(b.expert)];
    return x > y || (x == y && a.expert < b.expert);
  };
  std::partial_sort(all.begin(), all.begin() + rule.chosen, all.end(), larger);
  return all;
}

// The experts of the softmax with their weights, the chosen first.
std::vector<Share> softmax_of(const Rule& rule, std::span<const float> logits) {
  std::vector<Share> all = sorted(rule, logits);
  if (rule.softmax == Softmax::over_chosen) all.resize(static_cast<size_t>(rule.chosen));
  return softmax(logits, std::move(all));
}

const Share* find(std::span<const Share> shares, int32_t expert) {
  const auto it = std::ranges::find(shares, expert, &Share::expert);
  return it == shares.end() ? nullptr : &*it;
}

// log(sum w exp(dl)), of weights that add up to 1.
double log_mean_exp(std::span<const Share> weights, std::span<const float> dlogits) {
  const auto dl = [&](const Share& s) { return static_cast<double>(dlogits[static_cast<size_t>(s.expert)]); };
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const Share& s : weights) largest = std::max(largest, dl(s));
  for (const Share& s : weights) sum += s.weight * std::expm1(dl(s) - largest);
  return largest + std::log1p(sum);
}

}  // namespace

std::vector<Share> choose(const Rule& rule, std::span<const float> logits) {
  std::vector<Share> shares = softmax_of(rule, logits);
  shares.resize(static_cast<size_t>(rule.chosen));
  return shares;
}

bool flipped(std::span<const Share> before, std::span<const Share> after) {
  return std::ranges::any_of(after, [&](const Share& s) { return find(before, s.expert) == nullptr; });
}

Change change(const Rule& rule, std::span<const float> logits, std::span<const Share> before,
              std::span<const float> dlogits) {
  std::vector<float> changed(logits.begin(), logits.end());
  for (size_t i = 0; i < changed.size(); ++i) changed[i] += dlogits[i];
  Change result{.shares = choose(rule, changed), .moved = {}};
  result.flipped = flipped(before, result.shares);
  const bool same_softmax = !result.flipped || rule.softmax == Softmax::over_all;
  double c = 0;
  if (same_softmax)
    c = log_mean_exp(rule.softmax == Softmax::over_all ? softmax_of(rule, logits)
                                                       : std::vector<Share>(before.begin(), before.end()),
                     dlogits);
  for (const Share& was : before) {
    const Share* const is = find(result.shares, was.expert);
    double moved = (is == nullptr ? 0 : is->weight) - was.weight;
    if (is != nullptr && same_softmax)
      moved = was.weight * std::expm1(static_cast<double>(dlogits[static_cast<size_t>(was.expert)]) - c);
    result.moved.push_back({was.expert, moved});
  }
  for (const Share& is : result.shares)
    if (find(before, is.expert) == nullptr) result.moved.push_back(is);
  return result;
}

void vjp(const Rule& rule, std::span<const float> logits, std::span<const Share> shares,
         std::span<const double> gradients, std::span<float> dlogits) {
  double mean = 0;
  for (size_t i = 0; i < shares.size(); ++i) mean += shares[i].weight * gradients[i];
  for (const Share& s : softmax_of(rule, logits)) {
    const Share* const chosen = find(shares, s.expert);
    const double gradient = chosen == nullptr ? 0 : gradients[static_cast<size_t>(chosen - shares.data())];
    dlogits[static_cast<size_t>(s.expert)] += static_cast<float>(s.weight * (gradient - mean));
  }
}

}  // namespace qsweep::ops::router
