// A line of data that is a dialogue.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json_fwd.h"
#include "text/chat.h"

namespace qsweep::text {

// 0 or 1 of a JSON value that is 0, 1, false or true; `where` names it in the error.
bool zero_or_one(const io::Json& value, const std::string& where);

// The messages of {"messages": [...], "images": [...]}: at least one. `folder` is what image paths are
// relative to. With a list of images, each <image> in the text and each part of the type image that names
// none is the next.
std::vector<Message> parse_messages(const io::ObjectReader& line, const std::string& folder);

}  // namespace qsweep::text
