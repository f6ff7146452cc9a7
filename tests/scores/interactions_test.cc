#include "scores/interactions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/finalize.h"
#include "synthetic.h"

namespace qsweep::scores {
namespace {

// Changes of an output of three elements, one per score of the run.
constexpr double kChanges[4][3] = {{1, 2, 0}, {-1, 1, 2}, {0, 0, 3}, {2, -2, 1}};

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

TEST(Interactions, PredictTheNormOfTheSum) {
  scores::Run run;
  std::vector<double> products;
  for (int i = 0; i < 4; ++i) {
    run.ops.push_back({.name = std::to_string(i)});
    run.scores.push_back(make_score(i, {dot(kChanges[i], kChanges[i])}));
    for (const auto& other : kChanges) products.push_back(dot(kChanges[i], other));
  }
  run.data.samples = 1;
  finalize(run, kKl, 1);
  const Interactions interactions({0, 1, 2, 3}, products);
  for (unsigned set = 0; set < 16; ++set) {
    std::vector<size_t> chosen;
    double total[3] = {};
    for (size_t i = 0; i < 4; ++i) {
      if ((set >> i & 1u) == 0) continue;
      chosen.push_back(i);
      for (int k = 0; k < 3; ++k) total[k] += kChanges[i][k];
    }
    EXPECT_DOUBLE_EQ(interactions.predicted(run, chosen, kKl), dot(total, total)) << set;
  }
}

TEST(Interactions, AreFoundByTheIndexOfTheScore) {
  const Interactions interactions({2, 5, 9}, {1, 2, 3, 2, 4, 5, 3, 5, 6});
  EXPECT_EQ(interactions.between(9, 5), 5);
  EXPECT_EQ(interactions.between(2, 9), 3);
  EXPECT_EQ(interactions.pairs(std::vector<size_t>{9, 2, 5}), 2 * (2 + 3 + 5))
      << "the diagonal does not count";
  EXPECT_TRUE(interactions.has(5));
  EXPECT_FALSE(interactions.has(3));
  EXPECT_FALSE(interactions.has(10));
}

TEST(Interactions, BrokenPromises) {
  const auto broken = [](std::vector<size_t> scores, std::vector<double> products) {
    EXPECT_THROW(Interactions(std::move(scores), std::move(products)), ContractError);
  };
  broken({0, 1}, {1, 2, 2});
  broken({0, 1}, {1, 2, 3, 1});
  broken({0, 1}, {1, kUndefined, kUndefined, 1});
  broken({1, 1}, {1, 2, 2, 1});
  broken({1, 0}, {1, 2, 2, 1});
  EXPECT_THROW(Interactions({0}, {1}).between(0, 1), ContractError);
}

}  // namespace
}  // namespace qsweep::scores
