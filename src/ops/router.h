// Which experts work on a row, and how much each counts (Shazeer et al. 2017; Fedus et al. 2021): the k
// largest of its logits, with weights w = softmax(logits), over all experts or over the chosen alone. The
// latter is also the former, divided by its sum over the chosen.
//
// Of equal logits the first expert's counts as the larger.
//
// change: with logits l + dl, the choice may be another one. Of an expert that was chosen and still is,
//   w' - w = w expm1(dl_e - c),  c = log(sum_j w_j exp(dl_j)),
// over the experts of the softmax; where that is over the chosen and they are others, w' - w is a difference.
// vjp: with g_e = dL/dw_e of the chosen, which stay the chosen, dL/dl_j = w_j (g_j - sum_e w_e g_e), g_j = 0
// of others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace qsweep::ops::router {

enum class Softmax { over_all, over_chosen };

struct Rule {
  int64_t chosen = 1;  // k
  Softmax softmax = Softmax::over_chosen;
};

// An expert's weight in a row's sum.
struct Share {
  int32_t expert = 0;
  double weight = 0;
};

// Those of the k chosen, in descending order of their logits.
std::vector<Share> choose(const Rule& rule, std::span<const float> logits);

// Whether other experts were chosen.
bool flipped(std::span<const Share> before, std::span<const Share> after);

struct Change {
  std::vector<Share> shares;  // after it
  std::vector<Share> moved;   // what it adds to the weight of every expert that is or was chosen
  bool flipped = false;
};
// before: choose() of the logits.
Change change(const Rule& rule, std::span<const float> logits, std::span<const Share> before,
              std::span<const float> dlogits);

// dlogits[j] is added to. gradients: with respect to the weights of `shares`.
void vjp(const Rule& rule, std::span<const float> logits, std::span<const Share> shares,
         std::span<const double> gradients, std::span<float> dlogits);

}  // namespace qsweep::ops::router
