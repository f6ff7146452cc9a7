// Lines of data against what transformers, tokenizers and Pillow make of them: tools/door_samples.py has made
// both.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "io/json.h"
#include "io/sha256.h"
#include "models/qwen2_5_vl/inputs.h"
#include "support/temporary_folder.h"
#include "support/testdata.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using io::Json;

// A model's folder without the model: the tiny one's files, its tokenizer with merges that come before all
// others, instead of the last ones.
class DoorFolder {
 public:
  explicit DoorFolder(const Json& merges) {
    const std::string tiny = testing::testdata_folder() + "/tiny-qwen2.5-vl";
    std::filesystem::copy_file(tiny + "/preprocessor_config.json", folder_.at("preprocessor_config.json"));
    Json tokenizer = io::read_json_file(tiny + "/tokenizer.json");
    Json& vocab = tokenizer["model"]["vocab"];
    Json& others = tokenizer["model"]["merges"];
    const auto token = [](const Json& merge) {
      return merge[0].get<std::string>() + merge[1].get<std::string>();
    };
    Json all = merges;
    for (const Json& merge : merges) {
      const std::string last = token(others.back());
      vocab[token(merge)] = Json(vocab[last]);
      vocab.erase(last);
      others.erase(others.size() - 1);
    }
    for (const Json& merge : others) all.push_back(merge);
    others = std::move(all);
    folder_.write("tokenizer.json", tokenizer.dump());
    inputs_.emplace(folder_.path(), read_config(io::read_json_file(tiny + "/config.json"), "config.json"),
                    LoadOptions{});
  }

  const Inputs& inputs() const { return *inputs_; }

 private:
  testing::TemporaryFolder folder_;
  std::optional<Inputs> inputs_;
};

// In the shape of the file's "expected"; the reason of a refusal is not compared.
Json found_for(const std::string& line, const std::string& folder, const Inputs& inputs) {
  try {
    const Sample sample = inputs.prepare(text::parse_dataset_jsonl(line, "door", folder).at(0));
    const graph::SampleInputs loaded = inputs.load(sample, InputBuilder::Pixels::decode);
    std::string mask;
    for (const uint8_t is_answer : sample.answer_mask) mask += is_answer != 0 ? '1' : '0';
    const auto pixels = loaded.tables.at(kPixelValues).as<float>();
    return {{"ids", sample.token_ids},
            {"mask", mask},
            {"grids", sample.image_grids},
            {"pixels", io::sha256_hex(std::as_bytes(pixels))}};
  } catch (const Error& error) {
    return {{"refused", error.what()}};
  }
}

void check_folder(const std::string& samples, const std::string& images) {
  std::map<std::string, DoorFolder> folders;
  const Json variants = io::read_json_file(samples + "/variants.json");
  for (const auto& [name, merges] : variants.items()) folders.try_emplace(name, merges);
  std::ifstream file(samples + "/samples.jsonl");
  int read = 0, refused = 0;
  for (std::string row; std::getline(file, row);) {
    const Json json = io::parse_json(row, "samples.jsonl");
    const Json& expected = json.at("expected");
    const std::string line = json.at("line");
    const Json found = found_for(line, images, folders.at(json.at("tokenizer").get<std::string>()).inputs());
    const bool is_refused = expected.contains("refused");
    ++(is_refused ? refused : read);
    if (is_refused && found.contains("refused")) continue;
    EXPECT_EQ(found, expected) << line << "\nby " << json.at("tokenizer");
  }
  EXPECT_GT(read, 2 * refused);
  EXPECT_GT(refused, 0);
}

TEST(Door, StoredSamplesAreReadAsByTheReference) {
  check_folder(testing::testdata_folder() + "/door", testing::testdata_folder());
}

// Tokens of two dialogues with an image each, of which the first has other limits than the preprocessor's.
int64_t tokens_with(const std::string& first_image_keys) {
  const std::string question = R"({"type":"text","text":"What colour is the circle?"}]},
                                  {"role":"assistant","content":"The circle is green."}]})";
  std::string lines;
  for (const std::string& image : {"eval-000.png\"" + first_image_keys, std::string("eval-001.png\"")}) {
    std::string line =
        R"({"messages":[{"role":"user","content":[{"type":"image","image":")" + image + "}," + question;
    std::erase(line, '\n');
    lines += line + "\n";
  }
  const DoorFolder folder(Json::array());
  int64_t tokens = 0;
  for (const text::Sample& sample :
       text::parse_dataset_jsonl(lines, "door", testing::testdata_folder() + "/data/images"))
    tokens += static_cast<int64_t>(folder.inputs().prepare(sample).token_ids.size());
  return tokens;
}

TEST(Door, AnImageMayHaveLimitsOfItsOwn) {
  EXPECT_EQ(tokens_with(""), 108);
  EXPECT_EQ(tokens_with(R"(,"min_pixels":3136,"max_pixels":3136)"), 95);  // 2 units instead of 15
  EXPECT_EQ(tokens_with(R"(,"resized_height":84,"resized_width":56)"), 99);
  EXPECT_EQ(tokens_with(R"(,"max_pixels":3136)"), 95);
}

TEST(Door, MadeSamplesAreReadAsByTheReference) {
  const char* const made = std::getenv("QSWEEP_DOOR");
  if (made != nullptr) check_folder(made, made);
}

}  // namespace
}  // namespace qsweep::models::qwen2_5_vl
