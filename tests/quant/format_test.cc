// The formats against tensors quantized by the reference implementation (testdata/quant): subnormal, huge and
// zero rows, ties, negative zeros, single elements. Values must be equal bit for bit, except that -0 equals
// 0.
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quant/quantizers.h"
#include "support/random.h"

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
  Range range(const std::string& name) const {
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
    fake_quantize_weight(kThreads, format, in, nullptr, out);
  } else {
    const Range range = goldens.range(name);
    fake_quantize_input(kThreads, format, in, &range, out);
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
      if (quantizes_activations(format)) expect_golden(goldens, format, Role::input, name);
    }
}

// scale = 1, so that the rounding is seen directly.
TEST(Format, TiesGoToEven) {
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f};
  std::vector<float> y(x.size());
  const auto n = static_cast<int64_t>(x.size());
  fake_quantize_weight(kThreads, find_format("w8a8"), {x.data(), 1, n}, nullptr, {y.data(), 1, n});
  EXPECT_THAT(y, ::testing::ElementsAre(127, 0, 2, 2, 0, -2, -2, 126));
}

// The range is widened to contain 0; inputs beyond it are clamped; 0 stays exactly 0.
TEST(Format, AsymmetricRange) {
  const std::vector<float> x{-60, -51, 0, 100, 204, 300};
  std::vector<float> y(6);
  const Format& format = find_format("w8a8");
  const auto quantized = [&](Range range) {
    fake_quantize_input(kThreads, format, {x.data(), 2, 3}, &range, {y.data(), 2, 3});
    return y;
  };
  EXPECT_THAT(quantized({-51, 204}), ::testing::ElementsAre(-51, -51, 0, 100, 204, 204));
  EXPECT_THAT(quantized({100, 255}), ::testing::ElementsAre(0, 0, 0, 100, 204, 255));
  EXPECT_THAT(quantized({-255, -100}), ::testing::ElementsAre(-60, -51, 0, 0, 0, 0));
  EXPECT_THAT(quantized({0, 0}), ::testing::Each(0));
}

TEST(Format, StaticFormatsNeedARange) {
  std::vector<float> x(4), y(4);
  EXPECT_THROW(
      fake_quantize_input(kThreads, find_format("w8a8"), {x.data(), 2, 2}, nullptr, {y.data(), 2, 2}),
      ContractError);
}

// A token is quantized by its own range alone.
TEST(Format, DynamicInputsArePerRow) {
  const std::vector<float> x{1, 127, 1000, 127000};
  std::vector<float> y(4);
  fake_quantize_input(kThreads, find_format("w8a8_dynamic"), {x.data(), 2, 2}, nullptr, {y.data(), 2, 2});
  EXPECT_EQ(y, x);
}

// Scale 1 in every format, so that the rounding is seen directly.
TEST(Format, TiesOfEveryCodecGoToTheEvenCode) {
  const auto quantized = [](const char* name, std::vector<float> x) {
    const auto n = static_cast<int64_t>(x.size());
    fake_quantize_weight(kThreads, find_format(name), {x.data(), 1, n}, nullptr, {x.data(), 1, n});
    return x;
  };
  EXPECT_EQ(quantized("w4a8", {7, 0.5f, 1.5f, 2.5f, -6.5f, -7.0f}), (std::vector<float>{7, 0, 2, 2, -6, -7}));
  EXPECT_EQ(quantized("mxfp4", {6, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -5, 7}),
            (std::vector<float>{6, 0, 1, 1, 2, 2, 4, 4, -4, 6}));
  EXPECT_EQ(quantized("mxfp6", {16, 26, 22, 30, 0.03125f, 0.09375f, 1.125f}),
            (std::vector<float>{16, 24, 24, 28, 0, 0.125f, 1}));
  EXPECT_EQ(quantized("mxfp8", {448, 1.0625f, 1.1875f, 0x1p-10f, 0x1.8p-9f, 500}),
            (std::vector<float>{448, 1, 1.25f, 0, 0x1p-8f, 448}));
}

// 448 times a power of two keeps its exponent; what is larger takes the next one, and is not clamped.
TEST(Format, ScalesThatAreRoundedUp) {
  const auto largest = [](float x) {
    std::vector<float> both{x, 0x1p-9f};
    fake_quantize_weight(kThreads, find_format("vllm_mxfp8"), {both.data(), 1, 2}, nullptr,
                         {both.data(), 1, 2});
    return both;
  };
  EXPECT_THAT(largest(448), ::testing::ElementsAre(448, 0x1p-9f));
  EXPECT_THAT(largest(std::nextafter(448.0f, 512.0f)), ::testing::ElementsAre(448, 0));
  EXPECT_THAT(largest(500), ::testing::ElementsAre(512, 0));
  EXPECT_THAT(largest(0.875f), ::testing::ElementsAre(0.875f, 0x1p-9f));
}

// A slice of rows, given the range of the whole weight, is quantized as in the whole.
TEST(Format, SlicesOfAWeight) {
  const Goldens goldens;
  const TensorView x = goldens.tensor("mixed_scale_4x64/x");
  const Matrix<const float> w(x.as<float>().data(), x.shape[0], x.shape[1]);
  int with_range = 0;
  for (const Format& format : all_formats()) {
    std::vector<float> whole(static_cast<size_t>(w.rows * w.cols)), slices(whole.size());
    fake_quantize_weight(kThreads, format, w, nullptr, {whole.data(), w.rows, w.cols});
    Range range;
    if (needs_weight_range(format)) find_weight_range(kThreads, x, &range);
    with_range += needs_weight_range(format) ? 1 : 0;
    const Matrix<float> out(slices.data(), w.rows, w.cols);
    for (int64_t r = 0; r < w.rows; ++r)
      fake_quantize_weight(kThreads, format, w.rows_at(r, 1), &range, out.rows_at(r, 1));
    EXPECT_EQ(slices, whole) << format.name;
  }
  EXPECT_EQ(with_range, 4);  // fp8_tensor, nvfp4, nvfp4a16, modelopt_fp8
}

// As stored in bf16, some rows at a time: what the whole widened weight gives, to the bit.
TEST(Format, StoredWeights) {
  constexpr int64_t kOut = 700, kIn = 44;  // more than one block of rows, a short last group
  Rng rng(5);
  std::vector<bf16> stored(kOut * kIn);
  for (bf16& v : stored) v = to_bf16(static_cast<float>(qsweep::testing::normal(rng)));
  std::vector<float> w(stored.size());
  std::ranges::transform(stored, w.begin(), [](bf16 v) { return to_float(v); });
  const TensorView view{DType::bf16, {kOut, kIn}, reinterpret_cast<const std::byte*>(stored.data())};
  for (const Format& format : all_formats()) {
    std::vector<float> expected(w.size()), quantized(w.size()), error(w.size());
    std::vector<bf16> rounded(w.size());
    fake_quantize_weight(kThreads, format, {w.data(), kOut, kIn}, nullptr, {expected.data(), kOut, kIn});
    const auto result = [](auto& values, DType dtype) {
      return MatrixView{values.data(), dtype, kOut, kIn, kIn};
    };
    const auto run = [&](WeightPart part, MatrixView to) {
      quantize_stored_weight(kThreads, format, part, view, nullptr, to);
    };
    run(WeightPart::quantized, result(quantized, DType::f32));
    EXPECT_EQ(quantized, expected) << format.name;
    run(WeightPart::error, result(error, DType::f32));
    run(WeightPart::error, result(rounded, DType::bf16));
    int64_t wrong = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const float exact = expected[i] - w[i];
      wrong += error[i] != exact || to_float(rounded[i]) != to_float(to_bf16(exact)) ? 1 : 0;
    }
    EXPECT_EQ(wrong, 0) << format.name;
  }
}

// Codes times scales are the quantized weight and input, within one rounding.
TEST(Format, CodesOfIntegerFormats) {
  constexpr int64_t kOut = 300, kRows = 9, kIn = 44;
  Rng rng(8);
  std::vector<bf16> stored(kOut * kIn);
  for (bf16& v : stored) v = to_bf16(static_cast<float>(qsweep::testing::normal(rng)));
  std::vector<float> w(stored.size()), x(kRows * kIn), expected(w.size());
  std::ranges::transform(stored, w.begin(), [](bf16 v) { return to_float(v); });
  for (float& v : x) v = static_cast<float>(qsweep::testing::normal(rng) + 1);
  const TensorView view{DType::bf16, {kOut, kIn}, reinterpret_cast<const std::byte*>(stored.data())};
  const Range range{-1.5f, 3.5f};  // of 3.5 + 1.5 = 255 scales, and a zero point of 76.5
  std::vector<std::string_view> names;
  const auto expect_near = [&](float code, float zero, float scale, float want, const Format& format) {
    EXPECT_LE(std::fabs((code - zero) * scale - want), 0x1p-22f * std::fabs(want)) << format.name;
  };
  for (const Format& format : all_formats()) {
    if (!has_integer_products(format, kIn)) continue;
    names.push_back(format.name);
    std::vector<int8_t> codes(w.size());
    std::vector<float> scale(kOut);
    std::vector<int32_t> sums(kOut);
    fake_quantize_weight(kThreads, format, {w.data(), kOut, kIn}, nullptr, {expected.data(), kOut, kIn});
    weight_codes(kThreads, format, view, nullptr, {codes.data(), kOut, kIn}, scale, sums);
    for (size_t i = 0; i < w.size(); ++i) expect_near(codes[i], 0, scale[i / kIn], expected[i], format);
    EXPECT_EQ(sums[kOut - 1], std::accumulate(codes.end() - kIn, codes.end(), 0));

    fake_quantize_input(kThreads, format, {x.data(), kRows, kIn}, &range, {expected.data(), kRows, kIn});
    for (const bool takes_uint8 : {true, false}) {
      std::vector<uint8_t> input(x.size());
      const DType dtype = input_code_dtype(format, takes_uint8);
      EXPECT_TRUE(takes_uint8 || dtype == DType::i8);
      const auto affine = input_codes(kThreads, format, {x.data(), kRows, kIn}, &range,
                                      {input.data(), dtype, kRows, kIn, kIn}, std::span(scale).first(kRows));
      EXPECT_EQ(affine.has_value(), format.activations.codec == Codec::uint8);
      const float zero = dtype == DType::u8 ? 76 : affine ? 76 - 128 : 0;  // ties to even
      for (size_t i = 0; i < x.size(); ++i)
        expect_near(dtype == DType::u8 ? input[i] : static_cast<int8_t>(input[i]), zero,
                    affine ? 5 / 255.0f : scale[i / kIn], expected[i], format);
    }
  }
  EXPECT_THAT(names, ::testing::ElementsAre("w8a8", "w8a8_static", "w8a8_dynamic", "w4a8", "inc_w8a8",
                                            "modelopt_int8"));
  EXPECT_TRUE(has_integer_products(find_format("w8a8"), 66000));
  EXPECT_FALSE(has_integer_products(find_format("w8a8"), 67000));  // 67000 x 127 x 255 > 2^31
}

// ModelOpt's groups end with the rows of a convolution's kernel; ours run along the flattened kernel.
TEST(Format, GroupsOfAConvolution) {
  Rng rng(6);
  std::vector<float> w(2 * 3 * 2 * 14 * 14), got(w.size());
  for (float& v : w) v = static_cast<float>(qsweep::testing::normal(rng));
  const TensorView view{DType::f32, {2, 3, 2, 14, 14}, reinterpret_cast<const std::byte*>(w.data())};
  for (const char* name : {"modelopt_int4", "w4a16_g128"}) {
    const Format& format = find_format(name);
    const int64_t rows = format.weights.in_stored_rows ? 2 * 84 : 2, cols = 2 * 1176 / rows;
    std::vector<float> expected(w.size());
    fake_quantize_weight(kThreads, format, {w.data(), rows, cols}, nullptr, {expected.data(), rows, cols});
    quantize_stored_weight(kThreads, format, WeightPart::quantized, view, nullptr,
                           {got.data(), DType::f32, 2, 1176, 1176});
    EXPECT_EQ(got, expected) << name;
  }
}

TEST(Format, EffectiveWeightBitsCountTheScales) {
  const std::map<std::string_view, std::pair<double, double>> bits{
      // in_features 1280 and 220, where the last group is short
      {"w8a8", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"w8a8_static", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"w8a8_dynamic", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"w8a16", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"w4a16_g32", {4.5, 4 + 7 * 16 / 220.0}},
      {"w4a16_g128", {4.125, 4 + 2 * 16 / 220.0}},
      {"w4a8", {4 + 32 / 1280.0, 4 + 32 / 220.0}},
      {"fp8", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"fp8_tensor", {8, 8}},
      {"fp8_dynamic", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"nvfp4", {4.5, 4 + 14 * 8 / 220.0}},
      {"nvfp4a16", {4.5, 4 + 14 * 8 / 220.0}},
      {"mxfp4", {4.25, 4 + 7 * 8 / 220.0}},
      {"mxfp6", {6.25, 6 + 7 * 8 / 220.0}},
      {"mxfp8", {8.25, 8 + 7 * 8 / 220.0}},
      {"mxfp4a16", {4.25, 4 + 7 * 8 / 220.0}},
      {"inc_w8a8", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"modelopt_int8", {8 + 32 / 1280.0, 8 + 32 / 220.0}},
      {"modelopt_fp8", {8, 8}},
      {"modelopt_int4", {4.125, 4 + 2 * 16 / 220.0}},
      {"vllm_mxfp8", {8.25, 8 + 7 * 8 / 220.0}},
  };
  ASSERT_EQ(bits.size(), all_formats().size());
  for (const Format& format : all_formats()) {
    ASSERT_TRUE(bits.contains(format.name)) << format.name;
    EXPECT_EQ(effective_weight_bits(format, 1280), bits.at(format.name).first) << format.name;
    EXPECT_EQ(effective_weight_bits(format, 220), bits.at(format.name).second) << format.name;
  }
}

TEST(Format, ActivationsStayFloatWhereTheNameSaysA16) {
  for (const Format& format : all_formats()) {
    const bool a16 = format.name.find("a16") != std::string_view::npos || format.name == "modelopt_int4";
    EXPECT_EQ(quantizes_activations(format), !a16) << format.name;
    EXPECT_TRUE(quantizes_weights(format)) << format.name;
    if (!a16) continue;
    const std::vector<float> x{0.1f, -3e38f, 1e-42f};
    std::vector<float> y(3);
    fake_quantize_input(kThreads, format, {x.data(), 1, 3}, nullptr, {y.data(), 1, 3});
    EXPECT_EQ(y, x);
  }
}

TEST(Format, Presets) {
  const auto names = [](std::string_view preset) {
    std::vector<std::string_view> found;
    for (const Format* format : find_formats(preset)) found.push_back(format->name);
    return found;
  };
  EXPECT_THAT(names("int"), ::testing::ElementsAre("w8a8", "w8a8_static", "w8a8_dynamic", "w8a16",
                                                   "w4a16_g32", "w4a16_g128", "w4a8"));
  EXPECT_THAT(names("fp"), ::testing::ElementsAre("fp8", "fp8_tensor", "fp8_dynamic", "nvfp4", "nvfp4a16",
                                                  "mxfp4", "mxfp6", "mxfp8", "mxfp4a16"));
  std::vector<std::string_view> both = names("int");
  for (const std::string_view name : names("fp")) both.push_back(name);
  EXPECT_EQ(names("all"), both);
  EXPECT_THAT(names("modelopt_int8"), ::testing::ElementsAre("modelopt_int8"));
  EXPECT_THROW(find_formats("INT"), Error);
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
