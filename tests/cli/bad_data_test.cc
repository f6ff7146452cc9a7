// Data files and images that cannot be used.
#include <filesystem>

#include "bad_input.h"

namespace qsweep::cli {
namespace {

using namespace std::string_literals;

constexpr const char* kGoodLine =
    R"({"id": "a", "messages": [{"role": "user", "content": "A red circle."}]})";

class BadData : public BadInput {
 protected:
  void expect_data_refused(const std::string& name, const std::string& content,
                           std::vector<std::string> words) const {
    words.push_back(name);
    expect_refused(score(tiny, place.write(name, content), {"--samples", "10"}), words);
  }
  // A .jsonl whose second line is `line`.
  void expect_line_refused(const std::string& line, std::vector<std::string> words) const {
    words.emplace_back("data.jsonl: line 2");
    expect_data_refused("data.jsonl", kGoodLine + "\n"s + line + "\n", words);
  }
  void expect_message_refused(const std::string& role, const std::string& content,
                              std::vector<std::string> words) const {
    words.emplace_back("messages[0]");
    expect_line_refused(R"({"messages": [{"role": ")" + role + R"(", "content": )" + content + "}]}", words);
  }
  // Data with the one image `path`, relative to the data file.
  void expect_image_refused(const std::string& path, std::vector<std::string> words) const {
    words.insert(words.end(), {"data.jsonl", "sample \"one\"", path});
    expect_data_refused(
        "data.jsonl",
        R"({"id": "one", "messages": [{"role": "user", "content": [{"type": "image", "image": ")" + path +
            R"("}]}]})",
        words);
  }
};

TEST_F(BadData, Files) {
  expect_refused(score(tiny, place.at("none.txt")), {"none.txt", "cannot open", "No such file"});
  expect_data_refused("empty.txt", "", {"empty"});
  expect_data_refused("empty.jsonl", "", {"empty"});
  expect_data_refused("blank.txt", "\n  \r\n\n", {"at least one sample", "none"});
  expect_data_refused("data.csv", "x\n", {".txt or .jsonl", "found \".csv\""});
  std::filesystem::create_directories(place.at("folder.txt"));
  expect_refused(score(tiny, place.at("folder.txt")), {"folder.txt", "expected a file, found a folder"});
  expect_data_refused("latin1.txt", "plain\ncaf\xe9\n", {"latin1.txt: line 2", "UTF-8"});
  expect_data_refused("pad.txt", "an <|image_pad|> here\n", {"pad.txt", "line-1", "<|image_pad|>"});
  expect_refused(score(tiny, captions, {"--calib", place.at("none.jsonl")}), {"none.jsonl", "cannot open"});
}

TEST_F(BadData, JsonLines) {
  expect_line_refused(R"({"id": "b", "messages": )", {"not valid JSON"});
  expect_line_refused("not json", {"not valid JSON"});
  expect_line_refused("[1]", {"expected a JSON object", "array"});
  expect_line_refused("{}", {"either \"messages\" or \"input_ids\"", "neither"});
  expect_line_refused(kGoodLine, {"\"a\" is already used in line 1"});
  expect_line_refused(R"({"messages": []})", {"at least one message"});
  expect_message_refused("robot", "\"x\"", {"role", "system, user or assistant", "robot"});
  expect_message_refused("user", "7", {"content", "a string or a list of parts", "number"});
  expect_message_refused("user", R"([{"type": "video", "video": "a.mp4"}])", {"video", "text, image"});
  expect_message_refused("user", R"([{"type": "image"}])", {"content[0]", "missing key \"image\""});
  expect_data_refused(
      "data.jsonl",
      kGoodLine + "\n"s + R"({"messages": [{"role": "user", "content": "<|video_pad|>"}]})" + "\n",
      {"data.jsonl", "sample \"line-2\"", "messages[0]", "special image token"});
}

TEST_F(BadData, TokenIds) {
  expect_line_refused(R"({"input_ids": []})", {"input_ids", "at least one id"});
  expect_line_refused(R"({"input_ids": [1, -2]})", {"input_ids", "found -2"});
  expect_line_refused(R"({"input_ids": [1, "2"]})", {"input_ids", "array of 64-bit integers"});
  expect_line_refused(R"({"input_ids": [1, 2], "answer_mask": [1]})", {"answer_mask", "list of 2 values"});
  const auto ids = [&](const std::string& list, std::vector<std::string> words) {
    words.emplace_back("sample \"t\"");
    expect_data_refused("ids.jsonl", R"({"id": "t", "input_ids": [)" + list + "]}", words);
  };
  ids("1, 1088", {"vocabulary size 1088", "found 1088"});
  ids("1, 1054", {"image tokens", "1054"});
  ids("1, 1055", {"video token 1055", "not supported"});
}

TEST_F(BadData, Images) {
  const std::string good = read_text(testdata("images/exact.png"));
  place.write("half.png", good.substr(0, good.size() / 2));
  expect_image_refused("half.png", {"PNG"});
  std::string flipped = good;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 0x55);
  place.write("flipped.png", flipped);
  expect_image_refused("flipped.png", {"PNG"});
  const std::string jpeg = read_text(testdata("images/jpeg.jpg"));
  place.write("half.jpg", jpeg.substr(0, jpeg.size() / 2));
  expect_image_refused("half.jpg", {"JPEG"});
  place.write("text.png", "this is no image");
  expect_image_refused("text.png", {"expected a JPEG, PNG or WebP image", "found 16 bytes"});
  place.write("empty.png", "");
  expect_image_refused("empty.png", {"expected a JPEG, PNG or WebP image", "found 0 bytes"});
  // A complete, valid header of 60000 x 60000 pixels.
  place.write("huge.png", "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xea`\0\0\xea`\x08\x02\0\0\0\x0f\xb0\xe2\x15"s +
                              good.substr(33));
  expect_image_refused("huge.png", {"60000 x 60000", "178956970"});
  expect_image_refused("none.png", {"expected an image file", "found nothing"});
  std::filesystem::create_directories(place.at("folder.png"));
  expect_image_refused("folder.png", {"expected an image file", "found a folder"});
}

}  // namespace
}  // namespace qsweep::cli
