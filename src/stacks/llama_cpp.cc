// Types of tensors for llama-quantize, of the language model and of the vision tower, which are two GGUF
// files. A line is a regular expression, searched anywhere in a name, and a type; the first that fits counts.
#include <algorithm>
#include <utility>

#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

constexpr std::pair<std::string_view, std::string_view> kLanguage[] = {
    {"q_proj", "attn_q"},      {"k_proj", "attn_k"},  {"v_proj", "attn_v"},      {"o_proj", "attn_output"},
    {"gate_proj", "ffn_gate"}, {"up_proj", "ffn_up"}, {"down_proj", "ffn_down"},
};
// Of qwen2_5_vl; the converter cuts qkv in three.
constexpr std::string_view kVisionFamily = "qwen2_5_vl";
constexpr std::pair<std::string_view, std::string_view> kVision[] = {
    {"qkv", "attn_[qkv]"}, {"proj", "attn_out"},      {"gate_proj", "ffn_gate"},
    {"up_proj", "ffn_up"}, {"down_proj", "ffn_down"},
};

template <size_t n>
std::string_view tensor_of(const std::pair<std::string_view, std::string_view> (&rows)[n],
                           std::string_view role) {
  for (const auto& [ours, theirs] : rows)
    if (ours == role) return theirs;
  return {};
}

bool is_of_vision(const scores::OpRecord& op) { return op.tower != "language"; }

std::string block_pattern(std::string_view prefix, const scores::OpRecord& op, std::string_view tensor) {
  return tensor.empty() ? std::string() : fmt::format("^{}\\.{}\\.{}\\.weight$", prefix, *op.block, tensor);
}

// Empty where no tensor of a file belongs to the op alone.
std::string tensor_pattern(const Model& model, const scores::OpRecord& op) {
  if (place_of(op) == Place::head) return model.tied_embeddings == false ? "^output\\.weight$" : "";
  if (!is_of_vision(op)) return op.block ? block_pattern("blk", op, tensor_of(kLanguage, op.role)) : "";
  if (model.family != kVisionFamily) return "";
  if (op.block) return block_pattern("v\\.blk", op, tensor_of(kVision, op.role));
  constexpr std::string_view kMerger = "visual.merger.mlp.";
  return op.name.starts_with(kMerger) ? fmt::format("^mm\\.{}\\.weight$", op.name.substr(kMerger.size()))
                                      : "";
}

std::string lines(const Assignment& choice, bool of_vision) {
  std::string text;
  for (size_t op = 0; op < choice.size(); ++op) {
    const scores::OpRecord& record = choice.model.ops[op];
    const std::string tensor = tensor_pattern(choice.model, record);
    if (is_of_vision(record) != of_vision || tensor.empty()) continue;
    const quant::Format* format = choice.formats[op];
    text += fmt::format("{}={}\n", tensor,
                        format == nullptr ? "bf16" : expression_of(stack(Kind::llama_cpp), *format)->word);
  }
  return text;
}

}  // namespace

bool has_gguf_name(const Model& model, const scores::OpRecord& op) {
  return !tensor_pattern(model, op).empty();
}

std::vector<File> write_llama_cpp(const Assignment& choice) {
  std::vector<File> files{{"tensor-types.txt", lines(choice, false)}};
  if (std::string vision = lines(choice, true); !vision.empty())
    files.push_back({"tensor-types-mmproj.txt", std::move(vision)});
  return files;
}

}  // namespace qsweep::stacks
