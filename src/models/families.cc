#include "models/family.h"

namespace qsweep::models {
namespace {

constexpr Family kFamilies[] = {
    {"llama", load_llama}, {"mistral", load_mistral},   {"qwen2", load_qwen2},
    {"qwen3", load_qwen3}, {"qwen2_vl", load_qwen2_vl}, {"qwen2_5_vl", load_qwen2_5_vl},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

}  // namespace qsweep::models
