#include "text/chat_template.h"

#include "text/jinja/evaluate.h"
#include "text/jinja/parser.h"

namespace qsweep::text {

struct ChatTemplate::Parsed {
  jinja::Block block;
  io::Json variables;
};

ChatTemplate::ChatTemplate(std::string_view source, const io::Json& variables)
    : parsed_(std::make_unique<const Parsed>(Parsed{jinja::parse_template(source), variables})) {}

ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const io::Json& messages) const {
  io::Json variables = parsed_->variables;
  variables["messages"] = messages;
  variables["add_generation_prompt"] = false;
  return jinja::render(parsed_->block, variables);
}

}  // namespace qsweep::text
