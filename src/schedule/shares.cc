#include "schedule/shares.h"

#include <algorithm>
#include <numeric>

namespace qsweep::schedule {
namespace {

std::vector<int> every(int first, int step, int end) {
  std::vector<int> numbers;
  for (int i = first; i < end; i += step) numbers.push_back(i);
  return numbers;
}

// The samples of each group.
std::vector<std::vector<int>> dealt(int groups, const std::vector<double>& work) {
  std::vector<int> order = every(0, 1, static_cast<int>(work.size()));
  const auto of = [&](int sample) { return work[static_cast<size_t>(sample)]; };
  std::ranges::stable_sort(order, std::greater(), of);
  std::vector<std::vector<int>> samples(static_cast<size_t>(groups));
  std::vector<double> sums(samples.size());
  for (const int sample : order) {
    const auto least = static_cast<size_t>(std::ranges::min_element(sums) - sums.begin());
    samples[least].push_back(sample);
    sums[least] += of(sample);
  }
  for (std::vector<int>& group : samples) std::ranges::sort(group);
  return samples;
}

std::vector<Share> grid(int groups, int strides, int variants, const std::vector<double>& sample_work) {
  std::vector<Share> shares;
  for (const std::vector<int>& samples : dealt(groups, sample_work))
    for (int stride = 0; stride < strides; ++stride) {
      Share share{samples, every(stride, strides, variants)};
      const bool empty = samples.empty() || (share.variants.empty() && stride > 0);
      shares.push_back(empty ? Share() : std::move(share));
    }
  return shares;
}

}  // namespace

std::vector<Share> shares_of(int devices, int samples, int variants, const Work& work) {
  const std::vector<int> all = every(0, 1, variants);
  if (devices == 1) return {{every(0, 1, samples), all}};
  std::vector<double> sample_work;
  for (int s = 0; s < samples; ++s) sample_work.push_back(work({{s}, all}));
  std::vector<Share> best;
  double least = 0;
  for (int groups = devices; groups >= 1; --groups) {
    if (devices % groups != 0) continue;
    std::vector<Share> shares = grid(groups, devices / groups, variants, sample_work);
    double largest = 0;
    for (const Share& share : shares)
      if (!share.samples.empty()) largest = std::max(largest, work(share));
    if (!best.empty() && largest >= least) continue;
    least = largest;
    best = std::move(shares);
  }
  return best;
}

}  // namespace qsweep::schedule
