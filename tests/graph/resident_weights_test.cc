// Weights on their way to a GPU: what is found there, and that nothing is overwritten that is still computed
// with.
#include "graph/resident_weights.h"

#include <numeric>

#include <gtest/gtest.h>

#include "support/gpu.h"

namespace qsweep::graph {
namespace {

TEST(ResidentWeights, AreInPlaceOnTheCpu) {
  const std::vector<float> values{1, 2, 3};
  const TensorView weight{DType::f32, {3}, reinterpret_cast<const std::byte*>(values.data())};
  ResidentWeights weights(Threads{1});
  weights.prefetch({&weight, 1});
  EXPECT_EQ(weights.at(weight).data, weight.data);
  weights.release({&weight, 1});
}

class CudaResidentWeights : public testing::GpuTest {
 protected:
  // Numbers from `first` on.
  TensorView weight(float first, int64_t elements) {
    std::vector<float>& values = values_.emplace_back(static_cast<size_t>(elements));
    std::iota(values.begin(), values.end(), first);
    return {DType::f32, {elements}, reinterpret_cast<const std::byte*>(values.data())};
  }
  // The first and the last element there.
  std::pair<float, float> ends(const TensorView& there) const {
    std::pair<float, float> ends;
    copy_to_host(device(), &ends.first, there.data, sizeof(float));
    copy_to_host(device(), &ends.second, there.data + there.size_bytes() - sizeof(float), sizeof(float));
    return ends;
  }

  std::vector<std::vector<float>> values_;
};

TEST_F(CudaResidentWeights, ArriveWhetherTheyWerePrefetchedOrNot) {
  std::vector<std::array<TensorView, 2>> stages;
  for (int i = 0; i < 5; ++i) {
    const auto first = static_cast<float>(100 * i);
    stages.push_back({weight(first, 50 + 300 * i), weight(first + 7, 3)});
  }
  ResidentWeights weights(device());
  for (const int i : {0, 1, 2, 4, 3, 2}) {  // not always what was announced
    const auto& stage = stages[static_cast<size_t>(i)];
    if (i != 0) weights.prefetch(stage);
    if (i + 1 < 5) weights.prefetch(stages[static_cast<size_t>(i) + 1]);
    const auto first = static_cast<float>(100 * i);
    EXPECT_EQ(ends(weights.at(stage[0])), std::pair(first, first + static_cast<float>(49 + 300 * i))) << i;
    EXPECT_EQ(ends(weights.at(stage[1])), std::pair(first + 7, first + 9)) << i;
    weights.release(stage);
  }
}

TEST_F(CudaResidentWeights, AreKeptUntilWhatWasAskedForIsDone) {
  constexpr int64_t kMany = int64_t{1} << 24;  // more than fits the pinned memory on the way
  const TensorView old = weight(1, kMany), other = weight(2, 1), next = weight(3, kMany);
  ResidentWeights weights(device());
  weights.prefetch({&old, 1});
  const kernels::Buffer copy(device(), DType::f32, 1, kMany);
  kernels::to_f32(device(), weights.at(old), copy.matrix<float>());
  weights.release({&old, 1});
  weights.prefetch({&other, 1});
  weights.prefetch({&next, 1});  // where `old` was
  EXPECT_EQ(ends(weights.at(next)).first, 3.0f);
  float first = 0;
  copy_to_host(device(), &first, copy.data(), sizeof(first));
  EXPECT_EQ(first, 1.0f);
}

}  // namespace
}  // namespace qsweep::graph
