// Numbers that kernels leave for the host: all are told, in their order, however many there are.
#include "kernels/deferred.h"

#include <numeric>

#include <gtest/gtest.h>

#include "support/gpu.h"

namespace qsweep::kernels {
namespace {

void expect_all_are_told(Device device) {
  Deferred deferred(device);
  std::vector<double> told;
  std::vector<double> expected;
  const auto ask = [&](std::vector<double> numbers) {
    const std::span<double> there = deferred.ask<double>(numbers.size(), [&](std::span<const double> found) {
      told.insert(told.end(), found.begin(), found.end());
    });
    const auto bytes = static_cast<int64_t>(numbers.size() * sizeof(double));
    if (bytes > 0) copy_to_device(device, there.data(), numbers.data(), bytes);
    expected.insert(expected.end(), numbers.begin(), numbers.end());
  };
  for (int i = 0; i < 3; ++i) {
    ask({1.0 * i, 2.0 * i});
    ask({});
    ask(std::vector<double>(20000, 3.0 * i));  // a few of these fill the room there is
    deferred.then([&told] { told.push_back(-1); });
    expected.push_back(-1);
    std::vector<double> many(100000);  // more than the room at first
    std::iota(many.begin(), many.end(), i);
    ask(many);
  }
  float* const one = deferred.ask<float>([&](float found) { told.push_back(double{found}); });
  const float half = 0.5f;
  copy_to_device(device, one, &half, sizeof(half));
  expected.push_back(0.5);
  deferred.settle();
  EXPECT_EQ(told, expected);
  deferred.settle();  // nothing more
  EXPECT_EQ(told.size(), expected.size());
}

TEST(Deferred, AllNumbersAreTold) { expect_all_are_told(Threads{2}); }

class CudaDeferred : public testing::GpuTest {};
TEST_F(CudaDeferred, AllNumbersAreTold) { expect_all_are_told(device()); }

}  // namespace
}  // namespace qsweep::kernels
