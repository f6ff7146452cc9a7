#include "text/data_keys.h"

#include <algorithm>
#include <string_view>

#include "io/json.h"

namespace qsweep::text {
namespace {

enum class Use {
  read,     // or refused by value, where the data is parsed
  no_use,   // names and notes: without influence on what the model is given
  empty,    // would change the meaning, but writers of data leave it there without a value
  refused,  // as every other key; the row has the reason
};

constexpr unsigned in(Place place) { return static_cast<unsigned>(place); }
constexpr unsigned kDialogue = in(Place::dialogue), kTokenIds = in(Place::token_ids),
                   kMessage = in(Place::message), kText = in(Place::text), kImage = in(Place::image);
constexpr unsigned kLine = kDialogue | kTokenIds, kAnywhere = kLine | kMessage | kText | kImage;

constexpr std::string_view kOnlyImages = "only text and images are supported",
                           kNoTools = "descriptions and calls of tools are not put into the prompt",
                           kOneAnswer = "a line is one dialogue, without alternatives",
                           kAsMessages = "write the dialogue as \"messages\" with \"role\" and \"content\"",
                           kAsMask = "write it as \"answer_mask\"", kWithIds = "it goes with \"input_ids\"",
                           kAsText = "what is beside \"content\" is not put into the prompt";

struct Row {
  std::string_view key;
  unsigned places;
  Use use;
  std::string_view why = {};
};

// Of the formats of OpenAI, ms-swift, LLaMA-Factory, TRL, LLaVA and the chat templates of transformers. Of
// several rows that fit the first counts.
constexpr Row kRows[] = {
    {"id", kLine, Use::read},
    {"messages", kDialogue, Use::read},
    {"images", kDialogue, Use::read},
    {"input_ids", kTokenIds, Use::read},
    {"answer_mask", kTokenIds, Use::read},
    {"labels", kTokenIds, Use::read},
    {"attention_mask", kTokenIds, Use::read},
    {"role", kMessage, Use::read},
    {"content", kMessage, Use::read},
    {"weight", kMessage, Use::read},
    {"loss", kMessage, Use::read},
    {"loss_mask", kMessage, Use::read},
    {"type", kText | kImage, Use::read},
    {"text", kText, Use::read},
    {"image", kImage, Use::read},
    {"image_url", kImage, Use::read},
    {"url", kImage, Use::read},
    {"path", kImage, Use::read},
    {"index", kImage, Use::read},
    {"min_pixels", kImage, Use::read},
    {"max_pixels", kImage, Use::read},
    {"resized_height", kImage, Use::read},
    {"resized_width", kImage, Use::read},

    {"id", kMessage, Use::no_use},
    {"uuid", kLine | kMessage, Use::no_use},
    {"source", kLine | kMessage, Use::no_use},
    {"metadata", kLine | kMessage, Use::no_use},
    {"meta", kLine | kMessage, Use::no_use},
    {"timestamp", kLine | kMessage, Use::no_use},
    {"created_at", kLine | kMessage, Use::no_use},
    {"date", kLine | kMessage, Use::no_use},
    {"comment", kLine | kMessage, Use::no_use},
    {"notes", kLine | kMessage, Use::no_use},
    {"data_source", kLine, Use::no_use},
    {"dataset", kLine, Use::no_use},
    {"dataset_name", kLine, Use::no_use},
    {"subset", kLine, Use::no_use},
    {"split", kLine, Use::no_use},
    {"index", kLine, Use::no_use},
    {"idx", kLine, Use::no_use},
    {"conversation_id", kLine, Use::no_use},
    {"prompt_id", kLine, Use::no_use},
    {"category", kLine, Use::no_use},
    {"topic", kLine, Use::no_use},
    {"task", kLine, Use::no_use},
    {"tags", kLine, Use::no_use},
    {"language", kLine, Use::no_use},
    {"lang", kLine, Use::no_use},
    {"license", kLine, Use::no_use},
    {"difficulty", kLine, Use::no_use},
    {"quality", kLine, Use::no_use},
    {"length", kLine, Use::no_use},
    {"num_tokens", kLine, Use::no_use},
    {"num_turns", kLine, Use::no_use},

    {"tools", kLine | kMessage, Use::empty, kNoTools},
    {"functions", kLine, Use::empty, kNoTools},
    {"tool_calls", kMessage, Use::empty, kNoTools},
    {"function_call", kLine | kMessage, Use::empty, kNoTools},
    {"tool_call_id", kMessage, Use::empty, kNoTools},
    {"videos", kAnywhere, Use::empty, kOnlyImages},
    {"video", kAnywhere, Use::empty, kOnlyImages},
    {"audios", kAnywhere, Use::empty, kOnlyImages},
    {"audio", kAnywhere, Use::empty, kOnlyImages},
    {"images", kMessage, Use::empty, "images are parts of \"content\", or \"images\" of the line"},
    {"image", kLine, Use::empty, "write it as \"images\", a list, with <image> where each belongs"},
    {"images", kTokenIds, Use::empty, "text that is already tokenized has no images"},
    {"image", kText, Use::empty, "the \"type\" of this part is text"},
    {"image_url", kText, Use::empty, "the \"type\" of this part is text"},
    {"text", kImage, Use::empty, "the \"type\" of this part is image"},
    {"bytes", kImage, Use::empty, "images are files"},
    {"base64", kImage, Use::empty, "images are files"},
    {"objects", kDialogue, Use::empty, "boxes are not put into the text"},
    {"system", kDialogue, Use::empty, "write it as the first message, with the role system"},
    {"history", kDialogue, Use::empty, kAsMessages},
    {"annotations", kMessage, Use::empty, kAsText},
    {"refusal", kMessage, Use::empty, kAsText},
    {"reasoning_content", kMessage, Use::empty, kAsText},
    {"name", kMessage, Use::empty, kAsText},
    {"chosen", kLine, Use::empty, kOneAnswer},
    {"rejected", kLine, Use::empty, kOneAnswer},
    {"rejected_response", kLine, Use::empty, kOneAnswer},
    {"rejected_messages", kLine, Use::empty, kOneAnswer},

    {"conversations", kLine, Use::refused, kAsMessages},
    {"conversation", kLine, Use::refused, kAsMessages},
    {"instruction", kLine, Use::refused, kAsMessages},
    {"query", kLine, Use::refused, kAsMessages},
    {"response", kLine, Use::refused, kAsMessages},
    {"prompt", kLine, Use::refused, kAsMessages},
    {"completion", kLine, Use::refused, kAsMessages},
    {"text", kLine, Use::refused, "write captions as lines of a .txt file"},
    {"answer_mask", kDialogue, Use::refused, kWithIds},
    {"labels", kDialogue, Use::refused, kWithIds},
    {"attention_mask", kDialogue, Use::refused, kWithIds},
    {"loss_mask", kLine, Use::refused, kAsMask},
    {"assistant_masks", kLine, Use::refused, kAsMask},
    {"completion_mask", kLine, Use::refused, kAsMask},
    {"pixel_values", kTokenIds, Use::refused, "text that is already tokenized has no images"},
    {"position_ids", kTokenIds, Use::refused, "positions follow from the ids"},
    {"loss_scale", kLine | kMessage, Use::refused, "a message is an answer or none: \"loss\""},
};

const Row* find_row(std::string_view key, Place place) {
  const auto* row = std::ranges::find_if(kRows, [&](const Row& candidate) {
    return candidate.key == key && (candidate.places & in(place)) != 0;
  });
  return row == std::end(kRows) ? nullptr : row;
}

bool has_no_value(const io::Json& value) {
  return value.empty() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

}  // namespace

void check_keys(const io::ObjectReader& object, Place place) {
  for (const auto& [key, value] : object.json().items()) {
    const Row* row = find_row(key, place);
    const Use use = row == nullptr ? Use::refused : row->use;
    const bool harmless =
        use == Use::read || use == Use::no_use || (use == Use::empty && has_no_value(value));
    if (harmless || value.is_null()) continue;
    fail("{}: key {} is not supported: {}", object.path(), io::shortened(io::Json(key)),
         row == nullptr ? "it is unknown and might change what the data means; leave it out if it does not"
                        : row->why);
  }
}

}  // namespace qsweep::text
