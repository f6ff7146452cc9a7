// Calibration and evaluation data: captions (.txt), and dialogues or token ids (.jsonl).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/chat.h"

namespace qsweep::text {

// Plain text, without a chat template.
struct Caption {
  std::string text;
};

struct Dialogue {
  std::vector<Message> messages;  // never empty
};

// Text that is already tokenized.
struct TokenIds {
  std::vector<int32_t> ids;                         // never empty
  std::optional<std::vector<uint8_t>> answer_mask;  // 0 or 1 per id
};

struct Sample {
  std::string id;  // unique in its file; "line-N" where the file gives none
  std::variant<Caption, Dialogue, TokenIds> content;
};

// Reads a data file, or its first `first_n` samples. Lines may end in CRLF, blank lines are skipped, a byte
// order mark is ignored. Errors name the file and the line; a file without samples is one.
//   .txt    one caption per line
//   .jsonl  {"id", "messages": [{"role", "content": "..." | [{"type": "text", "text"} | {"type": "image",
//           "image"}], "weight"}], "images": [...]}
//           or {"id", "input_ids": [...], "answer_mask": [...] | "labels": [...]}
// Other keys are refused, but for those that data_keys.cc lists as without influence.
std::vector<Sample> read_dataset(const std::string& path, std::optional<int64_t> first_n = std::nullopt);

// The same for text in memory: `where` names it in errors, `folder` is what image paths are relative to.
std::vector<Sample> parse_dataset_txt(std::string_view text, const std::string& where,
                                      std::optional<int64_t> first_n = std::nullopt);
std::vector<Sample> parse_dataset_jsonl(std::string_view text, const std::string& where,
                                        const std::string& folder,
                                        std::optional<int64_t> first_n = std::nullopt);

// The sample's images, in order.
std::vector<ImageSource> images_of(const Sample& sample);

}  // namespace qsweep::text
