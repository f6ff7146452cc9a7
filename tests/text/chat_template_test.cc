#include "text/chat_template.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include "fixtures.h"
#include "support/temporary_folder.h"
#include "text/chat_format.h"
#include "text/encode.h"

namespace qsweep::text {
namespace {

using Spans = std::vector<std::vector<int64_t>>;

Message message_of(const Json& json) {
  Message message{.role = json.at("role"), .parts = {}, .answer = json.at("role") == "assistant"};
  const Json& content = json.at("content");
  if (content.is_string()) {
    message.parts.emplace_back(content.get<std::string>());
    return message;
  }
  for (const Json& part : content) {
    if (part.at("type") == "image")
      message.parts.emplace_back(ImageSource{.location = "x", .folder = ""});
    else
      message.parts.emplace_back(part.at("text").get<std::string>());
  }
  return message;
}

std::vector<Message> messages_of(const Json& json) {
  std::vector<Message> messages;
  for (const Json& message : json) messages.push_back(message_of(message));
  return messages;
}

std::string as_json(const std::string& text) { return Json(text).dump(); }

// The programs of tools/chat_goldens.py, as transformers runs them; null: it raises an exception.
void compare_programs(const std::string& folder) {
  const Json goldens = io::read_json_file(folder + "/programs.json");
  for (const Json& golden : goldens.at("programs")) {
    const auto program = golden.at("program").get<std::string>();
    const auto run = [&] {
      return ChatTemplate(program, {{"bos_token", "<s>"}, {"tools", nullptr}}).render(goldens.at("messages"));
    };
    if (golden.at("text").is_null()) {
      EXPECT_THROW(run(), Error) << program;
    } else {
      std::string text;
      EXPECT_EQ(error_of([&] { text = run(); }), "") << program;
      EXPECT_EQ(as_json(text), golden.at("text").dump()) << program;
    }
  }
}

TEST(ChatTemplates, RunProgramsAsTransformersDoes) { compare_programs(testdata("dialects")); }

// Dialogues as the dialect writes them, and their answers, against what transformers makes of them with the
// published template.
void compare_dialect(const Json& dialogues, const Json& golden) {
  const Dialect& dialect = find_dialect(golden.at("dialect").get<std::string>());
  std::optional<std::string> system;
  if (dialect.default_system) system = *dialect.default_system;
  if (golden.at("default_system").is_string()) system = golden.at("default_system").get<std::string>();
  for (size_t i = 0; i < dialogues.size(); ++i) {
    const Json& text = golden.at("texts")[i];
    const auto otherwise = golden.at("otherwise").get<std::set<size_t>>();
    if (text.is_null()) continue;
    ChatPrompt prompt;
    const std::string error =
        error_of([&] { prompt = write_dialogue(dialect, system, messages_of(dialogues[i]), {}); });
    const bool same = error.empty() && prompt.text == text.get<std::string>();
    EXPECT_EQ(same, !otherwise.contains(i)) << golden.at("dialect") << " " << i << ": " << error << "\n"
                                            << text << "\n"
                                            << as_json(prompt.text);
    if (!same) continue;
    Spans answers;
    for (const auto& [begin, end] : prompt.answers)
      answers.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(end)});
    EXPECT_EQ(answers, golden.at("answers")[i].get<Spans>())
        << golden.at("dialect") << " " << i << ": " << text;
  }
}

TEST(Dialects, WriteDialoguesAsThePublishedTemplates) {
  const Json goldens = io::read_json_file(testdata("dialects/goldens.json"));
  std::set<std::string> compared;
  for (const auto& [name, golden] : goldens.at("templates").items()) {
    SCOPED_TRACE(name);
    compare_dialect(goldens.at("dialogues"), golden);
    compared.insert(golden.at("dialect"));
  }
  EXPECT_EQ(compared.size(), known_dialects().size());
}

// The published templates themselves, which are not stored: see tools/chat_goldens.py.
TEST(ChatTemplates, OfCheckpointsAreRecognized) {
  const char* folder = std::getenv("QSWEEP_TEMPLATES");
  if (folder == nullptr) GTEST_SKIP() << "QSWEEP_TEMPLATES is not set";
  compare_programs(folder);
  const Json goldens = io::read_json_file(std::string(folder) + "/goldens.json");
  for (const auto& [name, golden] : goldens.at("templates").items()) {
    SCOPED_TRACE(name);
    compare_dialect(goldens.at("dialogues"), golden);
    std::ifstream file(std::string(folder) + "/" + name + ".jinja");
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    const Json tokens = {{"bos_token", find_dialect(golden.at("dialect").get<std::string>()).begin},
                         {"eos_token", golden.at("dialect") == "mistral" ? "</s>" : "<e>"}};
    const ChatFormat format = format_of_template(source, tokens);
    ASSERT_NE(format.dialect, nullptr) << format.refusal;
    EXPECT_EQ(format.dialect->name, golden.at("dialect").get<std::string>());
    for (size_t i = 0; i < goldens.at("dialogues").size(); ++i) {
      const auto messages = messages_of(goldens.at("dialogues")[i]);
      const Json& text = golden.at("texts")[i];
      const auto otherwise = golden.at("otherwise").get<std::set<size_t>>();
      std::string written;
      const std::string error = error_of([&] { written = write_prompt(format, messages, {}).text; });
      const bool refused = text.is_null() || otherwise.contains(i);
      EXPECT_EQ(error.empty(), !refused) << i << ": " << error << text;
      EXPECT_EQ(as_json(refused ? "" : written), refused ? "\"\"" : text.dump()) << i;
    }
  }
}

// A template in the manner of several families, with what one of them would say in the place of the words.
std::string chatml_template(const std::string& system) {
  return "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '" + system +
         "' }}{% endif %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}";
}

std::vector<Message> question(std::string words = "a") {
  return {{.role = "user", .parts = {std::move(words)}},
          {.role = "assistant", .parts = {"b"}, .answer = true}};
}

TEST(ChatFormat, LearnsTheDefaultSystemMessage) {
  const auto format_of = [](const std::string& system) {
    return format_of_template(chatml_template(system), Json::object());
  };
  EXPECT_EQ(format_of("").dialect->name, "chatml");
  EXPECT_EQ(format_of("").default_system, std::nullopt);
  const std::string usual = "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n";
  EXPECT_EQ(format_of(usual).dialect->name, "qwen2");
  const ChatFormat own = format_of("<|im_start|>system\\nBe brief.<|im_end|>\\n");
  EXPECT_EQ(own.dialect->name, "chatml");
  EXPECT_EQ(own.default_system, "Be brief.");
  EXPECT_TRUE(
      write_prompt(own, question(), {}).text.starts_with("<|im_start|>system\nBe brief.<|im_end|>\n<|im"));
  EXPECT_EQ(format_of("Hello.").dialect, nullptr);
}

TEST(ChatFormat, RefusesWhatNoDialectWrites) {
  const std::vector<std::string> unknown{
      "", "{{ messages[0].content }}", chatml_template("") + " ",
      "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content }}{% endfor %}"};
  for (const std::string& source : unknown) {
    const ChatFormat format = format_of_template(source, Json::object());
    EXPECT_EQ(format.dialect, nullptr) << source;
    EXPECT_ERROR(write_prompt(format, question(), {}), "is that of none of chatml, qwen2");
    EXPECT_ERROR(write_prompt(format, question(), {}),
                 "give data that is tokenized (\"input_ids\"), or say with --chat-template");
  }
  const ChatFormat broken = format_of_template("{% include 'x' %}", Json::object());
  EXPECT_ERROR(write_prompt(broken, question(), {}), "cannot be read: \"include\" is not supported");
}

TEST(ChatFormat, EveryDialogueIsCheckedAgainstTheTemplate) {
  const ChatFormat format = format_of_template(
      "{% for m in messages %}{% if m.content == 'x' %}{{ raise_exception('no x') }}{% endif "
      "%}<|im_start|>{{ m.role }}\n"
      "{{ m.content | replace('y', 'z') }}<|im_end|>\n{{ '' }}{% endfor %}",
      Json::object());
  ASSERT_NE(format.dialect, nullptr) << format.refusal;
  EXPECT_EQ(write_prompt(format, question(), {}).answers.size(), 1u);
  EXPECT_ERROR(
      write_prompt(format, question("y"), {}),
      "the checkpoint's chat template writes this dialogue otherwise than the dialect chatml: give data");
  EXPECT_ERROR(write_prompt(format, question("x"), {}), "than the dialect chatml (it says: no x)");
  const ChatFormat chosen{.dialect = &find_dialect("chatml")};
  EXPECT_EQ(write_prompt(chosen, question("x"), {}).answers.size(), 1u);
}

class ChatFiles : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { folder_.write(name, text); }
  ChatFormat found(const std::optional<std::string>& chosen = {}) const {
    return find_chat_format(folder_.path(), chosen, "llama3");
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ChatFiles, AreLookedForWhereTransformersLooks) {
  EXPECT_EQ(found().dialect->name, "llama3");  // there is none: the family's
  const std::string qwen2 = chatml_template("<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n");
  const std::string with_begin = "{{ bos_token }}" + chatml_template("");
  write("tokenizer_config.json",
        Json({{"chat_template", with_begin}, {"bos_token", {{"content", "<b>"}}}}).dump());
  EXPECT_EQ(found().dialect, nullptr);
  write("tokenizer_config.json", Json({{"chat_template", with_begin}, {"bos_token", nullptr}}).dump());
  EXPECT_EQ(found().dialect->name, "chatml");
  write("chat_template.json", Json({{"chat_template", qwen2}}).dump());
  EXPECT_EQ(found().dialect->name, "qwen2");
  write("chat_template.jinja", "{{ 'what' }}");
  EXPECT_EQ(found().dialect, nullptr);
  EXPECT_EQ(found("gemma").dialect->name, "gemma");
  EXPECT_ERROR(found("what"),
               "--chat-template: expected a chat dialect, one of chatml, qwen2, qwen2_5, qwen3, llama3, "
               "llama3_1, gemma, mistral, harmony, found \"what\"");
}

TEST_F(ChatFiles, OfSeveralTemplatesTheDefaultIsForChat) {
  const Json other = {{"name", "tool_use"}, {"template", "x"}},
             usual = {{"name", "default"}, {"template", chatml_template("")}};
  write("tokenizer_config.json", Json({{"chat_template", {other, usual}}}).dump());
  EXPECT_EQ(found().dialect->name, "chatml");
  write("tokenizer_config.json", Json({{"chat_template", {other}}}).dump());
  EXPECT_ERROR(found(),
               "tokenizer_config.json: \"chat_template\": expected a string, or a list with one named");
}

TEST(ChatTemplates, EndWhateverTheyDo) {
  for (const std::string& source :
       {std::string("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"),
        std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        "{{ " + std::string(5000, '(') + " }}",
        std::string("{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x "
                    "%}{% endfor %}"),
        std::string("{{ range(10000000) }}"), std::string("{{ 9223372036854775807 + 1 }}"),
        std::string("{{ 'a"), std::string("{{ a"), std::string("{% if a %}"), std::string("{# a")})
    EXPECT_THROW(ChatTemplate(source, Json::object()).render(Json::array()), Error) << source.substr(0, 80);
}

}  // namespace
}  // namespace qsweep::text
