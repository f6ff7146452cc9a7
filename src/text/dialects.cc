#include "text/dialects.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/ranges.h>

#include "base/error.h"

namespace qsweep::text {
namespace {

using namespace std::string_view_literals;

constexpr std::array kChatmlTokens{"<|im_start|>"sv, "<|im_end|>"sv};
constexpr std::array kLlamaTokens{"<|begin_of_text|>"sv, "<|start_header_id|>"sv, "<|end_header_id|>"sv,
                                  "<|eot_id|>"sv};
constexpr std::array kGemmaTokens{"<bos>"sv, "<start_of_turn>"sv, "<end_of_turn>"sv};
constexpr std::array kMistralTokens{
    "<s>"sv, "</s>"sv, "[INST]"sv, "[/INST]"sv, "[SYSTEM_PROMPT]"sv, "[/SYSTEM_PROMPT]"sv};

constexpr std::array kHarmonyTokens{"<|start|>"sv, "<|channel|>"sv, "<|message|>"sv, "<|end|>"sv,
                                    "<|return|>"sv};

constexpr std::array kQwenImages{"<|image_pad|>"sv, "<|video_pad|>"sv, "<|vision_start|>"sv,
                                 "<|vision_end|>"sv};
constexpr std::array kGemmaImages{"<start_of_image>"sv, "<end_of_image>"sv, "<image_soft_token>"sv};
constexpr std::array kMistralImages{"[IMG]"sv, "[IMG_BREAK]"sv, "[IMG_END]"sv};

// Rows that are others with something changed begin as these.
constexpr Dialect kChatml{.name = "chatml",
                          .system = {"<|im_start|>system\n", "<|im_end|>\n"},
                          .user = {"<|im_start|>user\n", "<|im_end|>\n"},
                          .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"},
                          .image = {"<|vision_start|>", "<|image_pad|>", "<|vision_end|>"},
                          .tokens = kChatmlTokens,
                          .reserved = kQwenImages};
constexpr Dialect kLlama3{.name = "llama3",
                          .begin = "<|begin_of_text|>",
                          .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
                          .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
                          .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
                          .trim = Trim::message,
                          .tokens = kLlamaTokens};

constexpr Dialect with_default_system(Dialect row, std::string_view name, std::string_view words) {
  row.name = name;
  row.default_system = words;
  return row;
}

constexpr Dialect with_thoughts(Dialect row, std::string_view name) {
  row.name = name;
  row.thinks = true;
  return row;
}

// The date is the one that the template of Llama 3.1 takes where it is told none.
constexpr Dialect with_dates(Dialect row, std::string_view name) {
  row.name = name;
  row.default_system = "";
  row.system_prefix = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
  return row;
}

constexpr std::array kDialects{
    kChatml,
    with_default_system(kChatml, "qwen2", "You are a helpful assistant."),
    with_default_system(kChatml, "qwen2_5",
                        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    with_thoughts(kChatml, "qwen3"),
    kLlama3,
    with_dates(kLlama3, "llama3_1"),
    Dialect{.name = "gemma",
            .begin = "<bos>",
            .user = {"<start_of_turn>user\n", "<end_of_turn>\n"},
            .assistant = {"<start_of_turn>model\n", "<end_of_turn>\n"},
            .system_place = SystemPlace::first_turn,
            .trim = Trim::part,
            .alternates = true,
            .image = {"", "<start_of_image>", ""},
            .tokens = kGemmaTokens,
            .reserved = kGemmaImages},
    Dialect{.name = "mistral",
            .begin = "<s>",
            .system = {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"},
            .user = {"[INST]", "[/INST]"},
            .assistant = {"", "</s>"},
            .image = {"", "[IMG]", ""},
            .tokens = kMistralTokens,
            .reserved = kMistralImages},
    Dialect{.name = "harmony",
            .system = {"<|start|>system<|message|>", "<|end|>"},
            .user = {"<|start|>user<|message|>", "<|end|>"},
            .assistant = {"<|start|>assistant<|channel|>final<|message|>", "<|end|>"},
            .instructions = {"<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>"},
            .last_end = "<|return|>",
            .tokens = kHarmonyTokens},
};

}  // namespace

std::span<const Dialect> known_dialects() { return kDialects; }

std::string dialect_names() {
  std::vector<std::string_view> names;
  for (const Dialect& dialect : kDialects) names.push_back(dialect.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Dialect& find_dialect(std::string_view name) {
  const auto* const row =
      std::ranges::find_if(kDialects, [&](const Dialect& dialect) { return dialect.name == name; });
  if (row == kDialects.end()) fail("expected a chat dialect, one of {}, found \"{}\"", dialect_names(), name);
  return *row;
}

}  // namespace qsweep::text
