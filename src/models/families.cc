#include "models/family.h"

namespace qsweep::models {
namespace {

constexpr Family kFamilies[] = {
    {"llama", load_llama},
    {"mistral", load_mistral},
    {"qwen2", load_qwen2},
    {"qwen3", load_qwen3},
    {"qwen3_moe", load_qwen3_moe},
    {"gpt_oss", load_gpt_oss},
    {"gemma3_text", load_gemma3_text},
    {"qwen2_vl", load_qwen2_vl},
    {"qwen2_5_vl", load_qwen2_5_vl},
    {"qwen3_vl", load_qwen3_vl},
    {"qwen3_vl_moe", load_qwen3_vl_moe},
    {"mistral3", load_mistral3},
    {"gemma3", load_gemma3},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

}  // namespace qsweep::models
