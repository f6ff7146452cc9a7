#include "stacks/table.h"

#include <algorithm>
#include <array>

namespace qsweep::stacks {
namespace {

constexpr std::string_view kUnpackable =
    "ModelOpt simulates it, but its checkpoint export has no such format";
constexpr std::string_view kSmoothed =
    "ModelOpt simulates it, but its checkpoint export takes it for static int8 with smoothing";
constexpr std::string_view kPerToken =
    "ModelOpt simulates it, but its checkpoint export takes it for FP8 with an input scale per token";
constexpr std::string_view kAwq = "ModelOpt simulates it, but its checkpoint export takes it for AWQ";
constexpr std::string_view kNeedsGpu = "ModelOpt computes its blocks on a GPU only";
constexpr Expression kModelOpt[] = {
    {"w8a8_static", ""},
    {"w8a8_dynamic", "", 1, 1, kSmoothed},
    {"w8a16", ""},
    {"w4a16_g32", "", 32, 1, kAwq},
    {"w4a16_g128", "", 128, 1, kAwq},
    {"w4a8", "", 1, 1, kUnpackable},
    {"fp8", "", 1, 1, kPerToken},
    {"fp8_tensor", ""},
    {"fp8_dynamic", ""},
    {"nvfp4", "", 16, 1, kNeedsGpu},
    {"nvfp4a16", "", 16, 1, kNeedsGpu},
    {"mxfp4", "", 32, 1, kNeedsGpu},
    {"mxfp6", "", 32, 1, kUnpackable},
    {"mxfp8", "", 32, 1, kNeedsGpu},
    {"mxfp4a16", "", 32, 1, kNeedsGpu},
    {"modelopt_int8", ""},
    {"modelopt_fp8", ""},
    {"modelopt_int4", "", 128, 1, kAwq},
};
constexpr Absence kNotModelOpt[] = {{"w8a8", "its int8 inputs are symmetric"}};

constexpr std::string_view kRoundsUp =
    "vLLM rounds the exponents of its scales up, where the format rounds them down; vllm_mxfp8 is what it "
    "computes";
// Algorithms of vLLM's modelopt_mixed.
constexpr Expression kHfQuantConfig[] = {
    {"fp8_tensor", "FP8"},           {"fp8_dynamic", "FP8_PER_CHANNEL_PER_TOKEN"}, {"nvfp4", "NVFP4", 16},
    {"nvfp4a16", "W4A16_NVFP4", 16}, {"mxfp8", "MXFP8", 32, 1, kRoundsUp},         {"modelopt_fp8", "FP8"},
    {"vllm_mxfp8", "MXFP8", 32},
};
constexpr std::string_view kSilentlyFloat =
    "vLLM knows no algorithm for it and leaves such a layer unquantized without a word";
constexpr Absence kNotHfQuantConfig[] = {
    {"fp8", "its FP8 has one scale for the whole weight"},
    {"w8a16", kSilentlyFloat},
    {"w4a16_g32", kSilentlyFloat},
    {"w4a16_g128", kSilentlyFloat},
    {"modelopt_int4", kSilentlyFloat},
};

constexpr std::string_view kMarlin =
    "vLLM's kernels for 4 bits need columns per GPU in multiples of 128 and rows in multiples of 64, and "
    "raise "
    "where tensor parallelism cuts them smaller";
constexpr std::string_view kByGpu =
    "vLLM has one scheme for mxfp4 and mxfp4a16 and quantizes inputs or not by the GPU";
// The word is how the weights of a group are packed.
constexpr Expression kCompressedTensors[] = {
    {"w8a8", "int-quantized"},
    {"w8a8_static", "int-quantized"},
    {"w8a8_dynamic", "int-quantized"},
    {"w8a16", "pack-quantized"},
    {"w4a16_g32", "pack-quantized", 32, 1, kMarlin},
    {"w4a16_g128", "pack-quantized", 128, 1, kMarlin},
    {"w4a8", "int-quantized"},
    {"fp8", "float-quantized"},
    {"fp8_tensor", "float-quantized"},
    {"fp8_dynamic", "float-quantized"},
    {"nvfp4", "nvfp4-pack-quantized", 16},
    {"nvfp4a16", "nvfp4-pack-quantized", 16, 1, "vLLM needs a GPU's kernel for it"},
    {"mxfp4", "mxfp4-pack-quantized", 32, 1, kByGpu},
    {"mxfp8", "mxfp8-quantized", 32, 1, kRoundsUp},
    {"mxfp4a16", "mxfp4-pack-quantized", 32, 1, kByGpu},
    {"vllm_mxfp8", "mxfp8-quantized", 32},
};
constexpr Absence kNoE3M2[] = {{"mxfp6", "it has no E3M2"}};

constexpr Expression kAutoRound[] = {
    {"w8a8_static", ""},     {"w8a8_dynamic", ""}, {"w8a16", ""},        {"w4a16_g32", "", 32},
    {"w4a16_g128", "", 128}, {"w4a8", ""},         {"fp8", ""},          {"fp8_tensor", ""},
    {"fp8_dynamic", ""},     {"nvfp4", "", 16},    {"nvfp4a16", "", 16}, {"mxfp4", "", 32},
    {"mxfp8", "", 32},       {"mxfp4a16", "", 32},
};
constexpr Absence kNotAutoRound[] = {{"w8a8", "it has no uint8 inputs"}, {"mxfp6", "it has no E3M2"}};

constexpr Expression kInc[] = {{"w8a8", ""}, {"inc_w8a8", ""}};

constexpr Expression kLlamaCpp[] = {
    {"w8a16", "q8_0", 32, 1,
     "q8_0 has a scale per 32 weights where the score had one per row, so it is at least as fine, at 8.5 "
     "bits"},
    {"w4a16_g32", "q4_0", 32, 1, "the sign of q4_0's scales follows the largest weight, so numbers differ"},
    {"nvfp4a16", "nvfp4", 64, 1, "the type nvfp4 has no scale for the tensor, so numbers differ"},
    {"mxfp4a16", "mxfp4", 32},
};
constexpr Absence kNotLlamaCpp[] = {{"w4a16_g128", "it has no type with groups of 128"},
                                    {"modelopt_int4", "it has no type with groups of 128"}};

constexpr Expression kTorchAo[] = {
    {"w8a8_dynamic", "Int8DynamicActivationInt8WeightConfig"},
    {"w4a16_g32", "IntxWeightOnlyConfig", 32},
    {"w4a16_g128", "IntxWeightOnlyConfig", 128},
    {"fp8_dynamic", "Float8DynamicActivationFloat8WeightConfig", 16, 16},
};

constexpr std::string_view kTied = "the head is the token embedding";
constexpr std::string_view kHeadFloat = "vLLM leaves lm_head float, whatever the file says";

constexpr Expression kModelOptCaches[] = {{"kv_fp8", ""}, {"kv_int8", ""}, {"kv_nvfp4", "", 1, 1, kNeedsGpu}};
constexpr Expression kHfQuantConfigCaches[] = {{"kv_fp8", "FP8"}, {"kv_nvfp4", "NVFP4"}};
constexpr Expression kCompressedTensorsCaches[] = {{"kv_fp8", ""}};
constexpr std::string_view kCacheOfVllm =
    "vLLM reads FP8 per tensor from such a file; scales per token and head are its flag --kv-cache-dtype, "
    "such as "
    "fp8_per_token_head";

constexpr Stack kStacks[] = {
    {.name = "modelopt",
     .tool = "NVIDIA ModelOpt",
     .versions = "ModelOpt 0.47.0",
     .head = Head::any,
     .convolutions = true,
     .splits_groups = true,
     .simulates_any_shape = true,
     .expressions = kModelOpt,
     .absences = kNotModelOpt,
     .otherwise_absent = "it has no such quantizer",
     .caches = kModelOptCaches,
     .caches_apart = true,
     .other_cache_absent = "its quantizers of caches have one scale per tensor, or blocks",
     .write = write_modelopt},
    {.name = "hf-quant-config",
     .tool = "a ModelOpt checkpoint",
     .versions = "ModelOpt 0.47.0's format as vLLM 0.32.0 reads it",
     .head_reason = kHeadFloat,
     .expressions = kHfQuantConfig,
     .absences = kNotHfQuantConfig,
     .otherwise_absent = "vLLM has no algorithm for it",
     .caches = kHfQuantConfigCaches,
     .other_cache_absent =
         "vLLM reads FP8 per tensor and NVFP4 from such a file; scales per token and head are its "
         "flag --kv-cache-dtype, such as fp8_per_token_head",
     .write = write_hf_quant_config},
    {.name = "llm-compressor",
     .tool = "llm-compressor",
     .versions = "llm-compressor 0.14.0.1 with compressed-tensors 0.19.0",
     .head_reason = kHeadFloat,
     .expressions = kCompressedTensors,
     .absences = kNoE3M2,
     .otherwise_absent = "it has no such scheme",
     .caches = kCompressedTensorsCaches,
     .other_cache_absent = kCacheOfVllm,
     .write = write_llm_compressor},
    {.name = "compressed-tensors",
     .tool = "compressed-tensors",
     .versions = "compressed-tensors 0.19.0, and 0.17.0 in vLLM 0.32.0",
     .head_reason = kHeadFloat,
     .expressions = kCompressedTensors,
     .absences = kNoE3M2,
     .otherwise_absent = "it has no such scheme",
     .caches = kCompressedTensorsCaches,
     .other_cache_absent = kCacheOfVllm,
     .write = write_compressed_tensors},
    {.name = "auto-round",
     .tool = "AutoRound",
     .versions = "AutoRound 0.16.1",
     .head_reason = kTied,
     .head = Head::untied,
     .splits_groups = true,
     .expressions = kAutoRound,
     .absences = kNotAutoRound,
     .otherwise_absent = "it has no such data type",
     .write = write_auto_round},
    {.name = "inc",
     .tool = "Intel Neural Compressor 2.x",
     .versions = "Neural Compressor 2.6",
     .head_reason = kTied,
     .head = Head::untied,
     .splits_groups = true,
     .expressions = kInc,
     .otherwise_absent = "its static quantization has int8 weights per row and uint8 inputs per tensor only",
     .write = write_inc},
    {.name = "llama.cpp",
     .tool = "llama.cpp",
     .versions = "llama.cpp b11434",
     .head_reason = kTied,
     .head = Head::untied,
     .splits_groups = true,
     .expressions = kLlamaCpp,
     .absences = kNotLlamaCpp,
     .otherwise_absent = "inputs are quantized by its kernels, not by the file",
     .write = write_llama_cpp},
    {.name = "torchao",
     .tool = "torchao",
     .versions = "torchao 0.18.0",
     .head_reason = kTied,
     .head = Head::untied,
     .splits_groups = true,
     .expressions = kTorchAo,
     .otherwise_absent = "no configuration of torchao for it was checked",
     .write = write_torchao},
};
constexpr std::array<Kind, std::size(kStacks)> kKinds{
    Kind::modelopt, Kind::hf_quant_config, Kind::llm_compressor, Kind::compressed_tensors, Kind::auto_round,
    Kind::inc,      Kind::llama_cpp,       Kind::torchao};

}  // namespace

const Stack& stack(Kind kind) { return kStacks[static_cast<size_t>(kind)]; }
std::span<const Kind> all_kinds() { return kKinds; }
std::string_view name(Kind kind) { return stack(kind).name; }

const Expression* expression_of(const Stack& stack, const quant::Format& format) {
  const std::span<const Expression> table = format.of_caches ? stack.caches : stack.expressions;
  const auto row = std::ranges::find(table, format.name, &Expression::format);
  return row == table.end() ? nullptr : &*row;
}

}  // namespace qsweep::stacks
