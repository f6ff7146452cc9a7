#include "text/tokenizer.h"

#include <array>

#include "base/rng.h"
#include "fixtures.h"
#include "text/chat.h"
#include "text/dataset.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

using Ids = std::vector<int32_t>;

Ids ids_of(const Json& json) { return json.get<Ids>(); }

TEST(Tokenizer, GivesTheGoldenIdsAndTexts) {
  const Json goldens = io::read_json_file(testdata("tokenizer/goldens.json"));
  ASSERT_EQ(goldens.at("texts").size(), 120u);
  for (const Json& golden : goldens.at("texts")) {
    const std::string text = golden.at("text");
    const Ids ids = tiny_tokenizer().encode(text);
    EXPECT_EQ(ids, ids_of(golden.at("ids"))) << text;
    EXPECT_EQ(tiny_tokenizer().decode(ids), golden.at("decoded")) << text;
    EXPECT_EQ(tiny_tokenizer().decode(ids, true), golden.at("decoded_skip_special")) << text;
  }
}

Message golden_message(const Json& json) {
  Message message{.role = json.at("role"), .parts = {}};
  const Json& content = json.at("content");
  if (content.is_string()) {
    message.parts.emplace_back(content.get<std::string>());
    return message;
  }
  for (const Json& part : content) {
    if (part.at("type") == "image") {
      message.parts.emplace_back(ImageSource{.location = part.at("image"), .folder = ""});
    } else {
      message.parts.emplace_back(part.at("text").get<std::string>());
    }
  }
  return message;
}

TEST(Tokenizer, GivesTheGoldenChats) {
  const Json goldens = io::read_json_file(testdata("tokenizer/goldens.json"));
  ASSERT_EQ(goldens.at("chats").size(), 10u);
  for (const Json& golden : goldens.at("chats")) {
    std::vector<Message> messages;
    for (const Json& message : golden.at("messages")) messages.push_back(golden_message(message));
    const Dialect& dialect = find_dialect("qwen2");
    std::string prompt = write_dialogue(dialect, dialect.default_system, messages, {}).text;
    if (golden.at("add_generation_prompt").get<bool>()) prompt += dialect.assistant.head;
    EXPECT_EQ(prompt, golden.at("text"));
    EXPECT_EQ(tiny_tokenizer().encode(prompt), ids_of(golden.at("ids"))) << prompt;
  }
  EXPECT_EQ(write_dialogue(find_dialect("qwen2"), "s", {}, {}).text, "");
}

// The pre-tokenizers and added tokens of other families, by the tokenizers library 0.22.2.
TEST(Tokenizer, GivesTheGoldenIdsOfOtherConfigurations) {
  const Json variants = io::read_json_file(testdata("tokenizer/variants.json"));
  for (const auto& [name, variant] : variants.items()) {
    const Tokenizer tokenizer = parse_tokenizer(patched_json(variant.at("patch")));
    for (const Json& golden : variant.at("cases")) {
      const std::string text = golden.at("text");
      const Ids ids = tokenizer.encode(text);
      EXPECT_EQ(ids, ids_of(golden.at("ids"))) << name << ": " << text;
      EXPECT_EQ(tokenizer.with_template(ids), ids_of(golden.at("with_template"))) << name << ": " << text;
      EXPECT_EQ(tokenizer.decode(ids), golden.at("decoded")) << name << ": " << text;
    }
  }
}

TEST(Tokenizer, ReadsMergesWrittenAsStrings) {
  Json json = tiny_tokenizer_json();
  for (Json& merge : json["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  const Tokenizer tokenizer = parse_tokenizer(json);
  const std::string text = "The picture shows a small white cross, isn't it?\n";
  EXPECT_EQ(tokenizer.encode(text), tiny_tokenizer().encode(text));
}

TEST(Tokenizer, MergesTheLeftmostOfEqualPairs) {
  const Tokenizer tokenizer =
      parse_tokenizer(patched_json({{"model", {{"vocab", {{"aa", 5000}}}, {"merges", {"a a"}}}}}));
  EXPECT_EQ(tokenizer.encode("aaa"), (Ids{5000, 64}));
  EXPECT_EQ(tokenizer.encode("aaaaa"), (Ids{5000, 5000, 64}));
}

TEST(Tokenizer, IgnoreMergesTakesAWholeWordThatIsAToken) {
  const auto with = [](bool ignore_merges) {
    return parse_tokenizer(
        patched_json({{"model", {{"vocab", {{"Ġcirclet", 5000}}}, {"ignore_merges", ignore_merges}}}}));
  };
  EXPECT_EQ(with(true).encode(" circlet"), Ids{5000});
  EXPECT_EQ(with(false).encode(" circlet"), tiny_tokenizer().encode(" circlet"));
}

TEST(Tokenizer, LoadsTheStandInOfTheFamilies) {
  const Tokenizer tokenizer = Tokenizer::load(testdata("families/qwen2_5_vl/tokenizer.json"));
  EXPECT_EQ(tokenizer.vocab_size(), 328);
  EXPECT_EQ(tokenizer.id_of("<|image_pad|>"), 326);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("A café.")), "A café.");
}

TEST(Tokenizer, LooksUpTokens) {
  EXPECT_EQ(tiny_tokenizer().vocab_size(), 1056);
  EXPECT_EQ(tiny_tokenizer().id_of("<|im_end|>"), 1050);
  EXPECT_EQ(tiny_tokenizer().id_of("Ġ"), 220);
  EXPECT_EQ(tiny_tokenizer().id_of("no such token"), std::nullopt);
  const Ids unknown{64, 1056};
  EXPECT_ERROR(tiny_tokenizer().decode(unknown), "token id 1056 has no token");
}

TEST(Tokenizer, DecodesHalfACharacterToTheReplacement) {
  const Ids ids = tiny_tokenizer().encode("日");
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(tiny_tokenizer().decode(std::span(ids).first(2)), "\uFFFD");
}

TEST(Tokenizer, AnyTextComesBackInNfc) {
  Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (uint64_t n = rng.below(12); n > 0; --n) {
      const auto c = static_cast<char32_t>(rng.below(2) == 0 ? rng.below(0x400) : rng.below(0x110000));
      append_utf8(text, c >= 0xD800 && c < 0xE000 ? U' ' : c);
    }
    EXPECT_EQ(tiny_tokenizer().decode(tiny_tokenizer().encode(text)), nfc(text));
  }
}

// What each token stands for.
std::vector<std::string> sources(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<Token> tokens = tokenizer.tokenize(text);
  expect_covered(tokens, text);
  std::vector<std::string> parts;
  for (const Token& token : tokens)
    parts.push_back(text.substr(token.span.begin, token.span.end - token.span.begin));
  return parts;
}

using Texts = std::vector<std::string>;

TEST(Tokenizer, SpansAreInTheTextAsItIsGiven) {
  EXPECT_EQ(sources(tiny_tokenizer(), "12\n<|im_end|>3"), (Texts{"1", "2", "\n", "<|im_end|>", "3"}));
  EXPECT_EQ(sources(tiny_tokenizer(), "1日"), (Texts{"1", "\xE6", "\x97", "\xA5"}));
  // NFC makes one character of two, which is two tokens here; what comes behind keeps its place.
  EXPECT_EQ(sources(tiny_tokenizer(), "1e\u03012"), (Texts{"1", "e\u0301", "e\u0301", "2"}));
  // Composed, but for the last mark: what follows the change is one run.
  EXPECT_EQ(sources(tiny_tokenizer(), "1日e\u0301\u03302").back(), "2");
  // Marks change their order, but the line break before them stays.
  EXPECT_EQ(sources(tiny_tokenizer(), "\n\u0301\u03161").front(), "\n");
  EXPECT_EQ(sources(tiny_tokenizer(), "\u1100\u11611").back(), "1");
}

TEST(Tokenizer, SpansOfAddedTokensAndOfSpacesPutBefore) {
  const Json taking = {{{"content", "<t>"}, {"id", 3000}, {"lstrip", true}, {"rstrip", true}},
                       {{"content", "\u1ec7"}, {"id", 3001}, {"normalized", true}}};
  EXPECT_EQ(sources(parse_tokenizer(patched_json({{"added_tokens", taking}})), "1 <t>\n2e\u0323\u03023"),
            (Texts{"1", " <t>\n", "2", "e\u0323\u0302", "3"}));
  Json spaced = tiny_tokenizer_json();
  for (Json& step : spaced["pre_tokenizer"]["pretokenizers"])
    if (step["type"] == "ByteLevel") step["add_prefix_space"] = true;
  // Each digit is a piece, with a space of its own before it.
  EXPECT_EQ(sources(parse_tokenizer(spaced), "12"), (Texts{"1", "1", "2", "2"}));
}

TEST(Tokenizer, SpansCoverAnyText) {
  Rng rng(2);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (uint64_t n = 1 + rng.below(12); n > 0; --n) {
      static constexpr std::array<char32_t, 8> kOften{U'e',  U'\n',  U' ',   0x301,
                                                      0x316, 0x1100, 0x1161, 0x11A8};
      const auto c = static_cast<char32_t>(rng.below(4) == 0 ? rng.below(0x110000) : kOften[rng.below(8)]);
      append_utf8(text, c >= 0xD800 && c < 0xE000 ? U'<' : c);
    }
    const Texts parts = sources(tiny_tokenizer(), text);
    if (nfc(text) != text) continue;
    std::string together;
    for (const std::string& part : parts) together += part;
    EXPECT_EQ(together, text);
  }
}

TEST(Tokenizer, RefusesInvalidUtf8) {
  EXPECT_ERROR(tiny_tokenizer().encode("caf\xC3 x"), "invalid UTF-8 at byte 3 (0xc3)");
  EXPECT_ERROR(tiny_tokenizer().encode("\xED\xA0\x80"), "invalid UTF-8 at byte 0 (0xed)");
}

// Quadratic work would take minutes here.
TEST(Tokenizer, FinishesLongWords) {
  std::string letters, mixed;
  for (int i = 0; i < 200'000; ++i) {
    letters += static_cast<char>("thecircle"[i % 9]);
    mixed += i % 2 == 0 ? "\u0301" : "\u0316";
  }
  const std::string cases[] = {letters,
                               std::string(200'000, ' '),
                               std::string(200'000, '\n'),
                               std::string(200'000, '<'),
                               std::string(200'000, '1'),
                               mixed};
  for (const std::string& text : cases) {
    const Ids ids = tiny_tokenizer().encode(text);
    EXPECT_EQ(tiny_tokenizer().decode(ids), nfc(text));
  }
}

TEST(Tokenizer, LoadsALargeVocabulary) {
  std::string extra;
  for (int i = 0; i < 150'000; ++i) extra += fmt::format("\"extra{}\":{},", i, 2000 + i);
  std::string text = tiny_tokenizer_json().dump();
  const std::string vocab = "\"vocab\":{";
  text.insert(text.find(vocab) + vocab.size(), extra);
  const Tokenizer tokenizer = Tokenizer::parse(text, "t.json");
  EXPECT_EQ(tokenizer.vocab_size(), 152'000);
  EXPECT_EQ(tokenizer.id_of("extra149999"), 151'999);
}

}  // namespace
}  // namespace qsweep::text
