// The chat template of a checkpoint, as transformers renders it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/json_fwd.h"

namespace qsweep::text {

class ChatTemplate {
 public:
  // Error where the source is outside of what is supported of Jinja. `variables` is a mapping with bos_token
  // and the like.
  ChatTemplate(std::string_view source, const io::Json& variables);
  ~ChatTemplate();

  // `messages` is a list of {"role", "content"}. Without a prompt for generation, tools or documents. The
  // date is always 26 July 2024, so that a run can be repeated. Error where the template raises one.
  std::string render(const io::Json& messages) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace qsweep::text
