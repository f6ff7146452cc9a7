// Weights that are quantized already: against what the tools that packed them make of them, and refusals.
#include "models/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"
#include "io/safetensors_writer.h"
#include "models/weights.h"
#include "support/changed_model.h"
#include "support/testdata.h"
#include "tensor/floats.h"

namespace qsweep::models {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A folder of testdata/packed.
struct Packed {
  std::string folder;
  io::Json config;
  io::Checkpoint checkpoint;

  explicit Packed(const std::string& name)
      : folder(testing::testdata_folder() + "/packed/" + name),
        config(io::read_json_file(folder + "/config.json")),
        checkpoint(io::Checkpoint::open(folder)) {}
  Weights weights() const { return {checkpoint, {}, read_packing(config, "config.json")}; }
  TensorView want() const { return *checkpoint.find("want"); }
};

std::vector<float> numbers(const graph::StoredWeight& weight) {
  const int64_t rows = weight.shape[0], cols = weight.shape[1];
  Tensor y(weight.dtype, {rows, cols});
  graph::unpack(Threads{2}, weight, weight.parts(), {y.bytes(), weight.dtype, rows, cols, cols});
  std::vector<float> values;
  visit_floats(y.view(), [&](auto v) {
    for (const auto x : v) values.push_back(to_float(x));
  });
  return values;
}

class PackedBy : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(, PackedBy,
                         ::testing::Values("block_fp8", "int4", "int4_zeros", "int8_packed", "int8", "fp8",
                                           "fp8_tensor", "gptq", "gptq_v2", "gptq_8_bits", "gptq_in_order",
                                           "awq", "nvfp4", "nvfp4_packed", "modelopt_fp8"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(PackedBy, ATool) {
  const Packed packed(GetParam());
  const TensorView want = packed.want();
  const Weights weights = packed.weights();
  const graph::StoredWeight weight = weights.linear("op", want.shape[0], want.shape[1]);
  const auto w = want.as<float>();
  EXPECT_EQ(numbers(weight), std::vector<float>(w.begin(), w.end()));
  // Some rows, which begin within a block and within a word of zero points.
  const auto part = want.as<float>().subspan(static_cast<size_t>(13 * want.shape[1]),
                                             static_cast<size_t>(6 * want.shape[1]));
  EXPECT_EQ(numbers(weight.rows(13, 6)), std::vector<float>(part.begin(), part.end()));
  EXPECT_THAT(weights.unused(), ::testing::ElementsAre("want"));
  EXPECT_THAT(read_packing(packed.config, "").sentence(), HasSubstr("model of its dequantized weights"));
}

TEST(PackedExperts, AreTransformersOwn) {
  const Packed packed("mxfp4");
  const TensorView want = packed.want();  // [experts, inputs, outputs]
  const int64_t experts = want.shape[0], inputs = want.shape[1], outputs = want.shape[2];
  const Stacked stacked{.experts = experts, .outputs = outputs, .inputs = inputs, .transposed = true};
  const Weights weights = packed.weights();
  for (int64_t e = 0; e < experts; ++e)
    for (const ExpertPart& part : {ExpertPart{.expert = e, .first = 0, .count = outputs},
                                   {.expert = e, .first = 0, .count = outputs / 2, .every = 2},
                                   {.expert = e, .first = 1, .count = outputs / 2, .every = 2}}) {
      const graph::StoredWeight weight = weights.expert("op", stacked, part);
      EXPECT_EQ(weight.dtype, DType::bf16);
      const std::vector<float> found = numbers(weight);
      for (int64_t r = 0; r < part.count; ++r)
        for (int64_t c = 0; c < inputs; ++c)
          ASSERT_EQ(found[static_cast<size_t>(r * inputs + c)],
                    to_float(want.as<bf16>()[static_cast<size_t>((e * inputs + c) * outputs + part.first +
                                                                 part.every * r)]))
              << e << ' ' << r << ' ' << c;
    }
}

void expect_refused(const std::string& name, const io::Json& patch, const std::string& what) {
  Packed packed(name);
  packed.config.merge_patch({{"quantization_config", patch}});
  const int64_t outputs = packed.want().shape[0];
  EXPECT_THAT([&] { packed.weights().linear("op", outputs, 64); }, ThrowsMessage<Error>(HasSubstr(what)))
      << name;
}

TEST(Packing, WhatIsNotReadIsRefusedByItsName) {
  for (const char* method : {"bitsandbytes", "quark"})
    expect_refused("int4", {{"quant_method", method}}, method);
  expect_refused("int4", {{"format", "mxfp4-pack-quantized"}}, "format mxfp4-pack-quantized");
  expect_refused("nvfp4", {{"quant_algo", "W4A8_AWQ"}}, "ModelOpt, W4A8_AWQ");
  expect_refused("block_fp8", {{"weight_block_size", nullptr}}, "fp8 without weight_block_size");
  expect_refused("gptq", {{"bits", 3}}, "integers of 3 bits");
  expect_refused("gptq", {{"checkpoint_format", "marlin"}}, "GPTQ, format marlin");
  expect_refused("gptq", {{"dynamic", {{"-:lm_head", io::Json::object()}}}}, "settings by modules, dynamic");
  expect_refused("awq", {{"bits", 8}}, "integers of 8 bits");
  expect_refused("awq", {{"version", "gemv"}}, "AWQ, version gemv");
  expect_refused("awq", {{"zero_point", false}}, "AWQ without zero points");
  for (const char* format : {"auto_round", "auto_round:auto_gptq:marlin"})
    expect_refused("gptq", {{"quant_method", "auto-round"}, {"packing_format", format}}, format);
  const auto weights = [](const io::Json& keys) {
    return io::Json{{"config_groups", {{"group_0", {{"weights", keys}}}}}};
  };
  expect_refused("int4", weights({{"actorder", "group"}}), "actorder group");
  expect_refused("int4", weights({{"num_bits", 3}}), "integers of 3 bits");
  expect_refused("int4", weights({{"strategy", "token"}}), "strategy token");
  expect_refused("int8", weights({{"symmetric", false}}), "zero points");
}

TEST(Packing, TensorsThatDoNotFitAreRefused) {
  expect_refused("block_fp8", {{"weight_block_size", {8, 24}}}, "expected shape [3, 3], found [2, 3]");
  expect_refused("block_fp8", {{"modules_to_not_convert", {"op"}}},
                 "config.json says that it is not quantized");
  expect_refused("int4", {{"config_groups", {{"group_0", {{"weights", {{"num_bits", 8}}}}}}}},
                 "expected I32 of shape [20, 16]");
  expect_refused("int4", {{"config_groups", {{"group_0", {{"weights", {{"symmetric", false}}}}}}}},
                 "\"op.weight_zero_point\" is missing");
  expect_refused("int8", {{"quant_method", "fp8"}, {"weight_block_size", {16, 16}}}, "expected F8_E4M3");
  expect_refused("fp8", {{"quant_method", "fp8"}, {"weight_block_size", {16, 16}}},
                 "\"op.weight_scale_inv\" is missing");
  expect_refused("gptq", {{"bits", 8}}, "\"op.qweight\": expected shape");
  expect_refused("gptq", {{"group_size", 32}}, "\"op.scales\": expected shape");
  expect_refused("gptq", {{"quant_method", "awq"}}, "\"op.qweight\": expected shape");
}

TEST(Packing, GroupsOfInputsMustBeThere) {
  const Packed packed("gptq_in_order");
  const testing::ChangedModel changed(packed.folder, [&](const std::string& copy) {
    std::vector<io::NamedTensor> tensors;
    Tensor groups = Tensor::zeros<int32_t>({64});
    groups.as<int32_t>()[5] = 4;
    for (const std::string& name : packed.checkpoint.names())
      tensors.push_back({name, name == "op.g_idx" ? groups.view() : packed.checkpoint.as_stored(name)});
    io::write_safetensors(copy + "/model.safetensors", tensors);
  });
  const io::Checkpoint checkpoint = io::Checkpoint::open(changed.path());
  EXPECT_THAT([&] { Weights(checkpoint, {}, read_packing(packed.config, "")).linear("op", 32, 64); },
              ThrowsMessage<Error>(HasSubstr("expected groups from 0 to 3, found 4 for input 5")));
}

}  // namespace
}  // namespace qsweep::models
