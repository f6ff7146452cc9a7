// Token ids of small tokenizers of every kind against the tokenizers library: see tools/token_samples.py.
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "fixtures.h"

namespace qsweep::text {
namespace {

using Ids = std::vector<int32_t>;

// That the tokens follow each other and leave out nothing of the text.
void compare(const std::string& path) {
  const Json golden = io::read_json_file(path);
  const Tokenizer tokenizer = parse_tokenizer(golden.at("tokenizer"));
  int differing = 0;
  for (const Json& sample : golden.at("cases")) {
    const auto text = sample.at("text").get<std::string>();
    const Ids ids = tokenizer.with_template(tokenizer.encode(text));
    EXPECT_TRUE(ids == sample.at("ids").get<Ids>() || ++differing > 5)
        << path << ": " << sample.at("text") << "\n"
        << ::testing::PrintToString(ids) << "\n"
        << sample.at("ids");
    expect_covered(tokenizer.tokenize(text), text);
  }
  EXPECT_EQ(differing, 0) << path << " of " << golden.at("cases").size();
}

int compare_folder(const std::string& folder) {
  int kinds = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    compare(file.path());
    ++kinds;
  }
  return kinds;
}

TEST(TokenSamples, HaveTheIdsOfTheTokenizersLibrary) {
  EXPECT_EQ(compare_folder(testdata("tokenizer/kinds")), 8);
  const char* const folder = std::getenv("QSWEEP_TOKENS");
  if (folder != nullptr) {
    EXPECT_GT(compare_folder(folder), 0);
  }
}

// What a token stands for in the text as it is given.
std::vector<std::string> sources(const std::string& kind, const std::string& text) {
  const Json golden = io::read_json_file(testdata("tokenizer/kinds/" + kind + ".json"));
  std::vector<std::string> parts;
  for (const auto& [id, span] : parse_tokenizer(golden.at("tokenizer")).tokenize(text))
    parts.push_back(text.substr(span.begin, span.end - span.begin));
  return parts;
}

TEST(TokenSamples, SpansSeeThroughNormalizers) {
  using ::testing::ElementsAre;
  EXPECT_THAT(sources("gemma", "  q\u65e5"), ElementsAre(" ", " ", "q", "\xE6", "\x97", "\xA5"));
  EXPECT_THAT(sources("gemma", "q <mark> z"), ElementsAre("q", " <mark> ", "z"));
  // The space before the text stands for its first byte.
  EXPECT_THAT(sources("llama2", "q z"), ElementsAre("q", "q", " ", "z"));
  EXPECT_THAT(sources("first_space", "q<s>q"), ElementsAre("q", "q", "<s>", "q"));
  EXPECT_THAT(sources("metaspace", "q<mark>q"), ElementsAre("q", "q", "<mark>", "q", "q"));
}

}  // namespace
}  // namespace qsweep::text
