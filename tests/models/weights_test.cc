// Where the tensors of experts stand, in all layouts that are published.
#include "models/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/safetensors_writer.h"
#include "support/temporary_folder.h"

namespace qsweep::models {
namespace {

constexpr int64_t kExperts = 3, kWidth = 5, kInner = 4;  // gate and up: 2 * kInner outputs of kWidth inputs

class ExpertLayouts : public ::testing::Test {
 protected:
  ExpertLayouts() {
    std::vector<io::NamedTensor> tensors;
    const auto add = [&](const std::string& name, Shape shape) {
      std::vector<float>& v = values_.emplace_back(static_cast<size_t>(element_count(shape)));
      for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i);
      tensors.push_back({name, {DType::f32, std::move(shape), reinterpret_cast<const std::byte*>(v.data())}});
    };
    values_.reserve(3);
    add("fused", {kExperts, 2 * kInner, kWidth});
    add("transposed", {kExperts, kWidth, 2 * kInner});
    add("bias", {kExperts, 2 * kInner});
    io::write_safetensors(folder_.path() + "/model.safetensors", tensors);
    checkpoint_.emplace(io::Checkpoint::open(folder_.path()));
    weights_.emplace(*checkpoint_, std::span<const NameRow>());
  }

  static std::vector<float> numbers(const graph::StoredWeight& w) {
    std::vector<float> y(static_cast<size_t>(w.elements()));
    if (w.is_plain()) return {w.as<float>().begin(), w.as<float>().end()};
    const int64_t rows = w.shape.size() == 1 ? 1 : w.shape[0], cols = w.elements() / rows;
    graph::unpack(Threads{1}, w, w.parts(), {y.data(), DType::f32, rows, cols, cols});
    return y;
  }
  // at(output, input) of the outputs first, first + every, ...
  template <class At>
  static void expect(const graph::StoredWeight& w, const ExpertPart& part, At&& at) {
    EXPECT_EQ(w.shape, (Shape{part.count, kWidth}));
    std::vector<float> want;
    for (int64_t r = 0; r < part.count; ++r)
      for (int64_t c = 0; c < kWidth; ++c)
        want.push_back(static_cast<float>(at(part.first + part.every * r, c)));
    EXPECT_EQ(numbers(w), want);
  }

  testing::TemporaryFolder folder_;
  std::vector<std::vector<float>> values_;
  std::optional<io::Checkpoint> checkpoint_;
  std::optional<Weights> weights_;
};

TEST_F(ExpertLayouts, GateAndUpBehindOneAnotherOrInTurns) {
  const Stacked fused{.experts = kExperts, .outputs = 2 * kInner, .inputs = kWidth};
  Stacked transposed = fused;
  transposed.transposed = true;
  for (int64_t e = 0; e < kExperts; ++e)
    for (const ExpertPart& part : {ExpertPart{.expert = e, .first = 0, .count = kInner},
                                   {.expert = e, .first = kInner, .count = kInner},
                                   {.expert = e, .first = 0, .count = kInner, .every = 2},
                                   {.expert = e, .first = 1, .count = kInner, .every = 2}}) {
      expect(weights_->expert("fused", fused, part), part,
             [&](int64_t o, int64_t i) { return (e * 2 * kInner + o) * kWidth + i; });
      expect(weights_->expert("transposed", transposed, part), part,
             [&](int64_t o, int64_t i) { return (e * kWidth + i) * 2 * kInner + o; });
      const auto bias = numbers(weights_->expert_bias("bias", fused, part));
      for (int64_t r = 0; r < kInner; ++r)
        EXPECT_EQ(bias[static_cast<size_t>(r)],
                  static_cast<float>(e * 2 * kInner + part.first + part.every * r));
    }
}

TEST_F(ExpertLayouts, AnExpertsPartsAreItsOwnAndWithoutNeedNothingIsCopied) {
  const Stacked fused{.experts = kExperts, .outputs = 2 * kInner, .inputs = kWidth};
  const auto up = weights_->expert("fused", fused, {.expert = 1, .first = kInner, .count = kInner});
  EXPECT_TRUE(up.is_plain());
  const auto down = weights_->expert(
      "transposed", {.experts = kExperts, .outputs = 2 * kInner, .inputs = kWidth, .transposed = true},
      {.expert = 1, .first = 1, .count = kInner, .every = 2});
  EXPECT_EQ(down.parts().front().elements(), 2 * kInner * kWidth);
  EXPECT_EQ(down.parts().front().data, checkpoint_->find("transposed")->data + 2 * kInner * kWidth * 4);
}

TEST_F(ExpertLayouts, MisshapenTensorsAreRefused) {
  EXPECT_THAT(
      [&] { weights_->expert("fused", {.experts = 2, .outputs = 8, .inputs = 5}, {.count = 8}); },
      ::testing::ThrowsMessage<Error>(::testing::HasSubstr("expected shape [2, 8, 5], found [3, 8, 5]")));
}

}  // namespace
}  // namespace qsweep::models
