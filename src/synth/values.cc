#include "synth/values.h"

#include <cmath>
#include <string_view>

#include "base/rng.h"

namespace qsweep::synth {
namespace {

constexpr int64_t kQuantiles = 65536;
constexpr int64_t kDrawsPerWord = 4;  // of 16 bits

// Where names end so, the standard deviation; the first row that fits counts.
struct Spread {
  std::string_view suffix;
  double deviation;
  bool per_fan_in;  // divided by the square root of the number of inputs: outputs are as large as inputs
};
constexpr Spread kSpreads[] = {
    {"k_proj.bias", 1, false},
    {"q_proj.bias", 0.5, false},
    {".bias", 0.1, false},
    {"_bias", 0.1, false},
    {".sinks", 1, false},  // as large as other logits
    {"embed_tokens.weight", 0.03, false},
    {"lm_head.weight", 0.03, false},
    {"q_proj.weight", 0.8, true},  // of both: attention logits vary by about 1.5 and do not saturate
    {"k_proj.weight", 0.8, true},
    {"", 1, true},
};
constexpr double kNormDeviation = 0.1;

// One channel of so many is an outlier: of norms, the same in all layers, as massive activations are in
// trained models; of the biases of keys, as Qwen2 has them.
constexpr int64_t kChannelsPerOutlier = 512, kKeysPerOutlier = 64;
constexpr double kSmallestOutlier = 10, kLargestOutlier = 40;

uint64_t stream_of(std::string_view name) {
  uint64_t stream = 0;
  for (const char c : name) stream = mix64(stream ^ static_cast<unsigned char>(c));
  return stream;
}

// The standard normal distribution's value with probability `tail` < 0.5 above it.
double normal_quantile(double tail) {
  double low = 0, high = 10;
  for (double middle = 5; low < middle && middle < high; middle = (low + high) / 2)
    (std::erfc(middle / std::sqrt(2.0)) / 2 > tail ? low : high) = middle;
  return low;
}

const std::vector<double>& normal_quantiles() {
  static const std::vector<double> quantiles = [] {
    std::vector<double> q(kQuantiles);
    for (size_t i = 0; i < q.size() / 2; ++i) {
      const double value = normal_quantile((static_cast<double>(i) + 0.5) / kQuantiles);
      q[i] = -value;
      q[q.size() - 1 - i] = value;
    }
    return q;
  }();
  return quantiles;
}

double deviation_of(std::string_view name, const Shape& shape) {
  for (const Spread& spread : kSpreads) {
    if (!name.ends_with(spread.suffix)) continue;
    // Stacked experts are [experts, inputs, outputs].
    const int64_t fan_in = shape.size() == 3 ? shape[1] : element_count(shape) / shape[0];
    return spread.deviation / (spread.per_fan_in ? std::sqrt(static_cast<double>(fan_in)) : 1);
  }
  return 0;
}

std::map<int64_t, bf16> outliers_of(uint64_t seed, std::string_view name, int64_t width, bool norm) {
  std::map<int64_t, bf16> outliers;
  if (!norm && !name.ends_with("k_proj.bias")) return outliers;
  Rng channels(seed, norm ? static_cast<uint64_t>(width) : stream_of(name));
  Rng sizes(seed, ~stream_of(name));
  const int64_t count = width / (norm ? kChannelsPerOutlier : kKeysPerOutlier);
  for (int64_t i = 0; i < count; ++i) {
    const double size = kSmallestOutlier + (kLargestOutlier - kSmallestOutlier) * sizes.uniform();
    const bool negative = !norm && sizes.below(2) == 1;
    outliers[static_cast<int64_t>(channels.below(static_cast<uint64_t>(width)))] =
        to_bf16(static_cast<float>(negative ? -size : size));
  }
  return outliers;
}

}  // namespace

Values::Values(uint64_t seed, const std::string& name, const Shape& shape, double norm_mean)
    : key_(Rng(seed, stream_of(name)).next()) {
  const bool norm = shape.size() == 1 && !name.ends_with(".bias") && !name.ends_with(".sinks");
  const double mean = norm ? norm_mean : 0, deviation = norm ? kNormDeviation : deviation_of(name, shape);
  table_.reserve(kQuantiles);
  for (const double q : normal_quantiles())
    table_.push_back(to_bf16(static_cast<float>(mean + deviation * q)));
  if (shape.size() == 1) outliers_ = outliers_of(seed, name, shape[0], norm);
}

void Values::draw(Threads threads, int64_t first, std::span<bf16> out) const {
  QSWEEP_CHECK(first % kDrawsPerWord == 0, "first is {}", first);
  const auto n = static_cast<int64_t>(out.size());
  parallel_for(threads, (n + kDrawsPerWord - 1) / kDrawsPerWord, [&](int64_t begin, int64_t end) {
    for (int64_t word = begin; word < end; ++word) {
      uint64_t bits = Rng(key_, static_cast<uint64_t>(first / kDrawsPerWord + word)).next();
      for (int64_t i = word * kDrawsPerWord; i < std::min(n, (word + 1) * kDrawsPerWord); ++i, bits >>= 16)
        out[static_cast<size_t>(i)] = table_[bits & (kQuantiles - 1)];
    }
  });
  for (auto it = outliers_.lower_bound(first); it != outliers_.end() && it->first < first + n; ++it)
    out[static_cast<size_t>(it->first - first)] = it->second;
}

}  // namespace qsweep::synth
