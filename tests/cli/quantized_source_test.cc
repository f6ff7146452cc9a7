// A checkpoint that is quantized already scores as the plain checkpoint of its dequantized weights.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <list>

#include <gmock/gmock.h>

#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBlockRows = 24, kBlockColumns = 40;  // the last blocks are smaller
constexpr int64_t kGroup = 32;

// Two checkpoints of one model: with codes, and with the numbers that the codes mean, in f32.
class Twins {
 public:
  Twins(const Workplace& place, const io::Json& quantization)
      : packed_(place.copy_model("packed")), plain_(place.copy_model("plain")) {
    edit_json(packed_ + "/config.json", [&](io::Json& c) { c["quantization_config"] = quantization; });
  }
  const std::string& packed() const { return packed_; }
  const std::string& plain() const { return plain_; }

  // pack(name without ".weight", rows, columns, values) adds the codes' tensors and makes of the values what
  // the codes mean.
  template <class Pack>
  void write(Pack&& pack) {
    const std::string path = plain_ + "/model.safetensors";
    {
      const io::SafetensorsFile file = io::SafetensorsFile::open(path);
      for (const io::TensorEntry& entry : file.entries()) convert(file.view(entry), entry.name, pack);
      io::write_safetensors(packed_ + "/model.safetensors", codes_);
    }
    io::write_safetensors(path, floats_);
  }

  template <class T>
  std::span<T> add(const std::string& name, DType dtype, Shape shape) {
    Tensor& tensor = storage_.emplace_back(dtype, std::move(shape));
    codes_.push_back({name, tensor.view()});
    return {reinterpret_cast<T*>(tensor.bytes()), static_cast<size_t>(tensor.size_bytes()) / sizeof(T)};
  }

 private:
  template <class Pack>
  void convert(const TensorView& from, const std::string& name, Pack& pack) {
    Tensor& wide = storage_.emplace_back(DType::f32, from.shape);
    for (size_t i = 0; i < static_cast<size_t>(from.elements()); ++i)
      wide.as<float>()[i] = to_float(from.as<bf16>()[i]);
    floats_.push_back({name, wide.view()});
    if (name.starts_with("model.layers.") && name.ends_with("_proj.weight")) {
      pack(name.substr(0, name.size() - std::string_view(".weight").size()), from.shape[0], from.shape[1],
           wide.as<float>());
    } else {
      codes_.push_back({name, wide.view()});
    }
  }

  std::string packed_, plain_;
  std::list<Tensor> storage_;
  std::vector<io::NamedTensor> codes_, floats_;
};

void expect_equal_scores(const Workplace& place, const Twins& twins, const std::string& said) {
  const Arguments flags{"--ops", "*layers.1.*", "--method", "exact"};
  const ScoreRun packed = score_run(place, "packed-run", twins.packed(), flags);
  const ScoreRun plain = score_run(place, "plain-run", twins.plain(), flags);
  EXPECT_TRUE(packed.scores() == plain.scores());
  const std::string sentence = "The checkpoint is quantized already (" + said +
                               "): the reference is the model of its dequantized weights";
  EXPECT_THAT(packed.outcome.err, HasSubstr(sentence));
  EXPECT_THAT(read_text(packed.folder + "/report.md"), HasSubstr("quantized already"));
  EXPECT_THAT(packed.json["provenance"]["input_warnings"].dump(), HasSubstr(sentence));
  EXPECT_TRUE(packed.json["provenance"]["unused_tensors"].empty());
  const Outcome inspected = run_qsweep({"inspect", twins.packed()});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.err, HasSubstr(sentence));
}

TEST(QuantizedSource, Fp8InBlocks) {
  const Workplace place;
  Twins twins(place, {{"quant_method", "fp8"},
                      {"activation_scheme", "dynamic"},
                      {"weight_block_size", {kBlockRows, kBlockColumns}}});
  twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
    const int64_t across = (cols + kBlockColumns - 1) / kBlockColumns;
    const auto codes = twins.add<uint8_t>(name + ".weight", DType::f8_e4m3, {rows, cols});
    const auto scales = twins.add<float>(name + ".weight_scale_inv", DType::f32,
                                         {(rows + kBlockRows - 1) / kBlockRows, across});
    for (size_t b = 0; b < scales.size(); ++b) scales[b] = 0.004f * static_cast<float>(1 + b % 7);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        const auto i = static_cast<size_t>(r * cols + c);
        const float scale = scales[static_cast<size_t>(r / kBlockRows * across + c / kBlockColumns)];
        // Whole numbers up to 15: 0, or 2^e (1 + m / 8).
        const float whole = std::clamp(std::round(values[i] / scale), -15.0f, 15.0f);
        const int exponent = whole == 0 ? 0 : std::ilogb(whole);
        const float fraction = std::abs(whole) / std::ldexp(1.0f, exponent) - 1;
        const int size = whole == 0 ? 0 : (exponent + 7) * 8 + static_cast<int>(fraction * 8);
        codes[i] = static_cast<uint8_t>(size | (whole < 0 ? 0x80 : 0));
        values[i] = whole * scale;
      }
  });
  expect_equal_scores(place, twins, "FP8 with a scale for each block");
}

TEST(QuantizedSource, Int4InWords) {
  const Workplace place;
  Twins twins(place,
              {{"quant_method", "compressed-tensors"},
               {"format", "pack-quantized"},
               {"ignore", {"lm_head"}},
               {"config_groups",
                {{"group_0",
                  {{"targets", {"Linear"}},
                   {"weights",
                    {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", kGroup}}}}}}}});
  twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
    const auto codes = twins.add<uint8_t>(name + ".weight_packed", DType::i32, {rows, cols / 8});
    const auto scales = twins.add<float>(name + ".weight_scale", DType::f32, {rows, cols / kGroup});
    for (size_t g = 0; g < scales.size(); ++g) scales[g] = 0.01f * static_cast<float>(1 + g % 5);
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = scales[i / kGroup];
      const float whole = std::clamp(std::round(values[i] / scale), -8.0f, 7.0f);
      const int code = static_cast<int>(whole) + 8;
      codes[i / 2] = static_cast<uint8_t>(i % 2 == 0 ? code : codes[i / 2] | code << 4);
      values[i] = whole * scale;
    }
  });
  expect_equal_scores(place, twins, "integers of compressed-tensors, packed in words");
}

// Words along the inputs, groups of inputs that do not stand together, zero points less 1.
TEST(QuantizedSource, IntegersOfGptq) {
  const Workplace place;
  Twins twins(place, {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", kGroup}, {"desc_act", true}});
  twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
    const int64_t groups = cols / kGroup;
    const auto codes = twins.add<uint32_t>(name + ".qweight", DType::i32, {cols / 8, rows});
    const auto zeros = twins.add<uint32_t>(name + ".qzeros", DType::i32, {groups, rows / 8});
    const auto scales = twins.add<float>(name + ".scales", DType::f32, {groups, rows});
    const auto order = twins.add<int32_t>(name + ".g_idx", DType::i32, {cols});
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.01f * static_cast<float>(1 + i % 5);
    std::ranges::fill(codes, 0u);
    std::ranges::fill(zeros, 0x76543210u);  // of row r: r % 8, which means 1 more
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t group = c % groups;
      order[static_cast<size_t>(c)] = static_cast<int32_t>(group);
      for (int64_t r = 0; r < rows; ++r) {
        float& value = values[static_cast<size_t>(r * cols + c)];
        const float scale = scales[static_cast<size_t>(group * rows + r)];
        const auto zero = static_cast<float>(r % 8 + 1);
        const float code = std::clamp(std::round(value / scale) + zero, 0.0f, 15.0f);
        codes[static_cast<size_t>(c / 8 * rows + r)] |= static_cast<uint32_t>(code) << (c % 8 * 4);
        value = (code - zero) * scale;
      }
    }
  });
  expect_equal_scores(place, twins, "integers of GPTQ");
}

// Words along the outputs, in an order of their own.
TEST(QuantizedSource, IntegersOfAwq) {
  const Workplace place;
  Twins twins(place, {{"quant_method", "awq"}, {"bits", 4}, {"group_size", kGroup}, {"version", "gemm"}});
  twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
    constexpr std::array<int, 8> kShifts{0, 16, 4, 20, 8, 24, 12, 28};
    const auto codes = twins.add<uint32_t>(name + ".qweight", DType::i32, {cols, rows / 8});
    const auto zeros = twins.add<uint32_t>(name + ".qzeros", DType::i32, {cols / kGroup, rows / 8});
    const auto scales = twins.add<float>(name + ".scales", DType::f32, {cols / kGroup, rows});
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.01f * static_cast<float>(1 + i % 5);
    std::ranges::fill(codes, 0u);
    uint32_t of_rows = 0;  // of row r: r % 8
    for (uint32_t r = 0; r < 8; ++r) of_rows |= r << kShifts[r];
    std::ranges::fill(zeros, of_rows);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        float& value = values[static_cast<size_t>(r * cols + c)];
        const float scale = scales[static_cast<size_t>(c / kGroup * rows + r)];
        const auto zero = static_cast<float>(r % 8);
        const float code = std::clamp(std::round(value / scale) + zero, 0.0f, 15.0f);
        codes[static_cast<size_t>(c * (rows / 8) + r / 8)] |= static_cast<uint32_t>(code)
                                                              << kShifts[static_cast<size_t>(r % 8)];
        value = (code - zero) * scale;
      }
  });
  expect_equal_scores(place, twins, "integers of AWQ");
}

// Beside ModelOpt's own file, which says the same as config.json.
TEST(QuantizedSource, Nvfp4OfModelopt) {
  const Workplace place;
  Twins twins(place, {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}});
  std::ofstream(twins.packed() + "/hf_quant_config.json") << R"({"quantization": {"quant_algo": "NVFP4"}})";
  twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
    constexpr std::array<float, 8> kSizes{0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const auto codes = twins.add<uint8_t>(name + ".weight", DType::u8, {rows, cols / 2});
    const auto scales = twins.add<uint8_t>(name + ".weight_scale", DType::f8_e4m3, {rows, cols / 16});
    const auto whole = twins.add<float>(name + ".weight_scale_2", DType::f32, {});
    whole[0] = 0.003f;
    for (size_t i = 0; i < scales.size(); ++i)
      scales[i] = static_cast<uint8_t>(0x40 + 8 * (i % 3));  // 2, 4, 8
    std::ranges::fill(codes, uint8_t{0});
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = static_cast<float>(2 << (i / 16 % 3)) * whole[0];
      const auto nearest = std::ranges::min_element(
          kSizes, {}, [&](float size) { return std::fabs(size - std::fabs(values[i]) / scale); });
      const auto code = static_cast<int>(nearest - kSizes.begin()) | (values[i] < 0 ? 8 : 0);
      codes[i / 2] = static_cast<uint8_t>(codes[i / 2] | code << (i % 2 * 4));
      values[i] = (values[i] < 0 ? -*nearest : *nearest) * scale;
    }
  });
  expect_equal_scores(place, twins, "NVFP4");
}

class Int8Rows : public ::testing::Test {
 protected:
  const Workplace place;
  Twins twins{place,
              {{"quant_method", "compressed-tensors"},
               {"format", "int-quantized"},
               {"config_groups",
                {{"group_0",
                  {{"targets", {"Linear"}},
                   {"weights", {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}}},
                   {"input_activations", {{"num_bits", 8}, {"dynamic", true}}}}}}}}};

  void expect_refused(const std::string& what) const {
    const Outcome outcome = run_qsweep({"score", twins.packed(), "--data", testdata("data/captions.txt"),
                                        "--format", "w8a8", "--samples", "1", "--out", place.at("out")});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(what));
  }
  void write(float scale_of_one_row) {
    twins.write([&](const std::string& name, int64_t rows, int64_t cols, std::span<float> values) {
      const auto codes = twins.add<int8_t>(name + ".weight", DType::i8, {rows, cols});
      const auto scales = twins.add<float>(name + ".weight_scale", DType::f32, {rows, 1});
      for (size_t r = 0; r < scales.size(); ++r) scales[r] = 0.001f * static_cast<float>(1 + r % 5);
      for (size_t i = 0; i < values.size(); ++i) {
        const float scale = scales[i / static_cast<size_t>(cols)];
        codes[i] = static_cast<int8_t>(std::clamp(std::round(values[i] / scale), -128.0f, 127.0f));
        values[i] = static_cast<float>(codes[i]) * scale;
      }
      scales[3] *= scale_of_one_row;
    });
  }
};

TEST_F(Int8Rows, ScoreAsTheDequantizedModel) {
  write(1);
  expect_equal_scores(place, twins, "int8 of compressed-tensors");
}

TEST_F(Int8Rows, ScalesThatAreZeroAreRefused) {
  write(0);
  expect_refused("expected numbers that are not 0, found 0 at [3, 0]");
}

TEST_F(Int8Rows, ScalesThatAreNotFiniteAreRefused) {
  write(INFINITY);
  expect_refused("_proj.weight_scale\": expected finite weights, found an infinity at [3, 0]");
}

}  // namespace
}  // namespace qsweep::cli
