// The formats against tensors quantized by the reference implementation (testdata/quant): subnormal, huge and
// zero rows, ties, negative zeros, single elements. Values must be equal bit for bit, except that -0 equals
// 0.
#include "quant/format.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace qsweep::quant {
namespace {

const std::string kFolder = std::string(QSWEEP_TESTDATA) + "/quant";
constexpr Threads kThreads{2};
constexpr float kUntouched = -12288;

class Goldens {
 public:
  Goldens()
      : file_(io::SafetensorsFile::open(kFolder + "/goldens.safetensors")),
        ranges_(io::read_json_file(kFolder + "/ranges.json")) {}

  std::vector<std::string> cases() const {
    std::vector<std::string> names;
    for (const auto& [name, range] : ranges_.items()) names.push_back(name);
    return names;
  }
  TensorView tensor(const std::string& name) const {
    const io::TensorEntry* entry = file_.find(name);
    QSWEEP_CHECK(entry != nullptr, "no tensor {}", name);
    return file_.view(*entry);
  }
  InputRange range(const std::string& name) const {
    const io::ObjectReader reader(ranges_.at(name), name);
    return {static_cast<float>(reader.number("min")), static_cast<float>(reader.number("max"))};
  }

 private:
  io::SafetensorsFile file_;
  io::Json ranges_;
};

enum class Role { weight, input };

// Quantizes a golden's x, spread out with unused columns, and compares with what it should be.
void expect_golden(const Goldens& goldens, const Format& format, Role role, const std::string& name) {
  const TensorView x = goldens.tensor(name + "/x");
  const int64_t rows = x.shape[0], cols = x.shape[1], stride = cols + 3;
  std::vector<float> wide(static_cast<size_t>(rows * stride), NAN), y(wide.size(), kUntouched);
  const Matrix<const float> values(x.as<float>().data(), rows, cols);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(values.row(r), cols, wide.data() + r * stride);
  const Matrix<const float> in(wide.data(), rows, cols, stride);
  const Matrix<float> out(y.data(), rows, cols, stride);
  if (role == Role::weight) {
    fake_quantize_weight(kThreads, format, in, out);
  } else {
    fake_quantize_input(kThreads, format, in, goldens.range(name), out);
  }
  const char* suffix = role == Role::weight ? "/w" : "/a";
  const TensorView golden = goldens.tensor(name + "/" + std::string(format.name) + suffix);
  const Matrix<const float> want(golden.as<float>().data(), rows, cols);
  int64_t different = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) different += !(out.row(r)[c] == want.row(r)[c]);
    for (int64_t c = cols; c < stride; ++c) EXPECT_EQ(out.row(r)[c], kUntouched);
  }
  EXPECT_EQ(different, 0) << name << suffix << " in " << format.name;
}

TEST(Format, GoldenTensorsAreExact) {
  const Goldens goldens;
  ASSERT_EQ(goldens.cases().size(), 23u);
  for (const Format& format : all_formats())
    for (const std::string& name : goldens.cases()) {
      expect_golden(goldens, format, Role::weight, name);
      expect_golden(goldens, format, Role::input, name);
    }
}

// scale = 1, so that the rounding is seen directly.
TEST(Format, TiesGoToEven) {
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f};
  std::vector<float> y(x.size());
  const auto n = static_cast<int64_t>(x.size());
  fake_quantize_weight(kThreads, find_format("w8a8"), {x.data(), 1, n}, {y.data(), 1, n});
  EXPECT_THAT(y, ::testing::ElementsAre(127, 0, 2, 2, 0, -2, -2, 126));
}

// The range is widened to contain 0; inputs beyond it are clamped; 0 stays exactly 0.
TEST(Format, AsymmetricRange) {
  const std::vector<float> x{-60, -51, 0, 100, 204, 300};
  std::vector<float> y(6);
  const Format& format = find_format("w8a8");
  fake_quantize_input(kThreads, format, {x.data(), 2, 3}, InputRange{-51, 204}, {y.data(), 2, 3});
  EXPECT_THAT(y, ::testing::ElementsAre(-51, -51, 0, 100, 204, 204));
  fake_quantize_input(kThreads, format, {x.data(), 2, 3}, InputRange{100, 255}, {y.data(), 2, 3});
  EXPECT_THAT(y, ::testing::ElementsAre(0, 0, 0, 100, 204, 255));
  fake_quantize_input(kThreads, format, {x.data(), 2, 3}, InputRange{-255, -100}, {y.data(), 2, 3});
  EXPECT_THAT(y, ::testing::ElementsAre(-60, -51, 0, 0, 0, 0));
  fake_quantize_input(kThreads, format, {x.data(), 2, 3}, InputRange{0, 0}, {y.data(), 2, 3});
  EXPECT_THAT(y, ::testing::Each(0));
}

TEST(Format, StaticFormatsNeedARange) {
  std::vector<float> x(4), y(4);
  EXPECT_THROW(
      fake_quantize_input(kThreads, find_format("w8a8"), {x.data(), 2, 2}, std::nullopt, {y.data(), 2, 2}),
      ContractError);
}

// A token is quantized by its own range alone.
TEST(Format, DynamicInputsArePerRow) {
  const std::vector<float> x{1, 127, 1000, 127000};
  std::vector<float> y(4);
  fake_quantize_input(kThreads, find_format("w8a8_dynamic"), {x.data(), 2, 2}, std::nullopt,
                      {y.data(), 2, 2});
  EXPECT_EQ(y, x);
}

TEST(Format, EffectiveWeightBitsCountTheScales) {
  for (const Format& format : all_formats()) {
    EXPECT_EQ(effective_weight_bits(format, 32), 9.0) << format.name;
    EXPECT_EQ(effective_weight_bits(format, 1280), 8.025) << format.name;
  }
}

TEST(Format, NamesAreUniqueAndFound) {
  std::set<std::string_view> names;
  for (const Format& format : all_formats()) {
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
    EXPECT_EQ(&find_format(format.name), &format);
    EXPECT_FALSE(format.summary.empty());
  }
}

TEST(Format, UnknownNamesAreAnsweredWithTheKnownOnes) {
  for (const char* name : {"w4a4", "", "W8A8", "w8a8 "}) {
    try {
      find_format(name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("unknown format \"" + std::string(name) + "\""));
      for (const Format& format : all_formats())
        EXPECT_THAT(error.what(), ::testing::HasSubstr(std::string(format.name)));
    }
  }
}

}  // namespace
}  // namespace qsweep::quant
