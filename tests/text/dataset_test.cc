#include "text/dataset.h"

#include "fixtures.h"

namespace qsweep::text {
namespace {

using testing::ElementsAre;

TEST(Dataset, ReadsDialoguesWithTheirImages) {
  const auto samples = read_dataset(testdata("data/eval.jsonl"));
  ASSERT_EQ(samples.size(), 48u);
  EXPECT_EQ(samples[4].id, "eval-004");
  const std::string folder = testdata("data");
  EXPECT_THAT(images_of(samples[4]), ElementsAre(ImageSource{"images/eval-004a.png", folder},
                                                 ImageSource{"images/eval-004b.png", folder}));
  const auto& messages = std::get<Dialogue>(samples[0].content).messages;
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].role, "user");
  EXPECT_TRUE(std::holds_alternative<ImageSource>(messages[0].parts[0]));
  EXPECT_EQ(std::get<std::string>(messages[0].parts[1]), "What colour is the circle?");
  EXPECT_EQ(read_dataset(testdata("data/calib.jsonl")).size(), 48u);
}

TEST(Dataset, ReadsCaptions) {
  const auto samples = read_dataset(testdata("data/captions.txt"), 3);
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[1].id, "line-2");
  EXPECT_EQ(std::get<Caption>(samples[1].content).text,
            "On Monday Yuki folded a sleepy hammer near the needle.");
  EXPECT_TRUE(images_of(samples[1]).empty());
}

TEST(Dataset, HandlesLineEndingsBlankLinesAndByteOrderMark) {
  const auto samples = parse_dataset_txt("\xEF\xBB\xBF one \r\n\r\n \t\ntwo", "c.txt");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(std::get<Caption>(samples[0].content).text, " one ");
  EXPECT_EQ(samples[1].id, "line-4");
  EXPECT_EQ(std::get<Caption>(samples[1].content).text, "two");
  EXPECT_EQ(
      parse_dataset_jsonl("\xEF\xBB\xBF{\"input_ids\":[1]}\r\n\n{\"input_ids\":[2]}\r\n", "d", "").size(),
      2u);
}

TEST(Dataset, ReadsTokenIds) {
  const auto samples = parse_dataset_jsonl(
      "{\"id\":\"a\",\"input_ids\":[5,6,7],\"answer_mask\":[0,true,1],\"other\":{}}\n{\"input_ids\":[8]}",
      "d.jsonl", "");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_THAT(std::get<TokenIds>(samples[0].content).ids, ElementsAre(5, 6, 7));
  EXPECT_THAT(std::get<TokenIds>(samples[0].content).answer_mask.value(), ElementsAre(0, 1, 1));
  EXPECT_EQ(samples[1].id, "line-2");
  EXPECT_FALSE(std::get<TokenIds>(samples[1].content).answer_mask.has_value());
}

TEST(Dataset, SaysWhereImagesAreAndWhatThatIsRelativeTo) {
  const char* line = R"({"messages":[{"role":"user","content":[{"type":"image","image":"a/b.png"},
                         {"type":"image","image":"/abs.png"}]}]})";
  std::string one_line(line);
  std::erase(one_line, '\n');
  for (const std::string folder : {"/data", ""})
    EXPECT_THAT(images_of(parse_dataset_jsonl(one_line, "d", folder).at(0)),
                ElementsAre(ImageSource{"a/b.png", folder}, ImageSource{"/abs.png", folder}));
}

TEST(Dataset, ReadsTheSizeThatAnImageIsToHave) {
  const auto image = [](const std::string& keys) {
    return images_of(parse_dataset_jsonl(
                         R"({"messages":[{"role":"user","content":[{"type":"image","image":"a.png")" + keys +
                             "}]}]}",
                         "d", "/data")
                         .at(0))
        .at(0);
  };
  EXPECT_EQ(image(""), (ImageSource{.location = "a.png", .folder = "/data"}));
  EXPECT_EQ(image(R"(,"min_pixels":1,"max_pixels":2)"),
            (ImageSource{.location = "a.png", .folder = "/data", .min_pixels = 1, .max_pixels = 2}));
  EXPECT_EQ(image(R"(,"resized_height":28,"resized_width":56,"max_pixels":null)"),
            (ImageSource{.location = "a.png", .folder = "/data", .resized_height = 28, .resized_width = 56}));
  EXPECT_ERROR(image(R"(,"min_pixels":0)"), R"(content[0]: "min_pixels": expected a value from 1 to)");
  EXPECT_ERROR(image(R"(,"max_pixels":"1e6")"), R"("max_pixels": expected a 64-bit integer, found "1e6")");
  EXPECT_ERROR(image(R"(,"resized_width":28)"),
               R"(content[0]: expected both "resized_height" and "resized_width", found one of them)");
}

TEST(Dataset, StopsAtTheFirstN) {
  const std::string text = "{\"input_ids\":[1]}\n{\"input_ids\":[2]}\nbroken";
  EXPECT_EQ(parse_dataset_jsonl(text, "d", "", 2).size(), 2u);
  EXPECT_ERROR(parse_dataset_jsonl(text, "d", "", 3), "d: line 3: not valid JSON");
  EXPECT_ERROR(parse_dataset_jsonl(text, "d", "", 0), "d: expected at least 1 sample to read, found 0");
}

struct BadLine {
  const char* line;
  const char* message;
};

TEST(Dataset, RefusesBadJsonLines) {
  const BadLine cases[] = {
      {"nonsense", "d.jsonl: line 2: not valid JSON"},
      {"[1]", "d.jsonl: line 2: expected a JSON object, found array"},
      {"{}", R"(d.jsonl: line 2: expected either "messages" or "input_ids", found neither)"},
      {R"({"messages":[],"input_ids":[]})", "found both"},
      {R"({"id":7,"input_ids":[1]})", R"("id": expected a string, found 7)"},
      {R"({"id":"good","input_ids":[1]})", R"(d.jsonl: line 2: id "good" is already used in line 1)"},
      {R"({"messages":[]})", R"("messages": expected a list of at least one message, found none)"},
      {R"({"messages":[7]})", "messages[0]: expected a JSON object, found number"},
      {R"({"messages":[{"content":"x"}]})", R"(messages[0]: missing key "role")"},
      {R"({"messages":[{"role":"tool","content":"x"}]})",
       R"(line 2: messages[0]: "role": expected system, user or assistant, found "tool")"},
      {R"({"messages":[{"role":"user"}]})", R"(messages[0]: missing key "content")"},
      {R"({"messages":[{"role":"user","content":7}]})",
       R"("content": expected a string or a list of parts, found number)"},
      {R"({"messages":[{"role":"user","content":[]}]})",
       "expected a string or a list of parts, found an empty list"},
      {R"({"messages":[{"role":"user","content":[{"type":"video","video":"x"}]}]})",
       R"(messages[0]: content[0]: "type": "video" is not supported; supported: text, image)"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":3}]}]})",
       R"("text": expected a string, found 3)"},
      {R"({"messages":[{"role":"user","content":[{"type":"image","image":""}]}]})",
       "expected a path, found an empty string"},
      {R"({"messages":[{"role":"user","content":"a <|image_pad|>"}]})",
       "messages[0]: special image token written as text: <|image_pad|>"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"<|vision_start|>"}]}]})",
       "special image token written as text: <|vision_start|>"},
      {R"({"input_ids":[]})", R"("input_ids": expected at least one id, found none)"},
      {R"({"input_ids":["a"]})", R"("input_ids": expected an array of 64-bit integers)"},
      {R"({"input_ids":[-1]})", R"("input_ids": expected ids from 0 to 2147483647, found -1)"},
      {R"({"input_ids":[2147483648]})", "found 2147483648"},
      {R"({"input_ids":[1,2],"answer_mask":[1]})",
       R"("answer_mask": expected a list of 2 values, one for each id, found 1 values)"},
      {R"({"input_ids":[1],"answer_mask":[2]})", R"("answer_mask": expected 0, 1, false or true, found 2)"},
      {R"({"input_ids":[1],"answer_mask":"1"})", R"(one for each id, found string)"},
  };
  for (const BadLine& bad : cases)
    EXPECT_ERROR(
        parse_dataset_jsonl(std::string("{\"id\":\"good\",\"input_ids\":[1]}\n") + bad.line, "d.jsonl", ""),
        bad.message)
        << bad.line;
}

TEST(Dataset, RefusesBadCaptionsAndFiles) {
  EXPECT_ERROR(parse_dataset_txt("ok\nbad \xFF", "c.txt"), "c.txt: line 2: invalid UTF-8 at byte 4");
  for (const std::string token : {"<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"})
    EXPECT_ERROR(parse_dataset_txt("x" + token, "c.txt"),
                 "c.txt: line 1: special image token written as text: " + token);
  EXPECT_ERROR(parse_dataset_txt("\n \r\n", "c.txt"), "c.txt: expected at least one sample, found none");
  EXPECT_ERROR(parse_dataset_jsonl("", "d.jsonl", ""), "d.jsonl: expected at least one sample, found none");
  EXPECT_ERROR(read_dataset(testdata("data/missing.jsonl")), "missing.jsonl: cannot open");
  EXPECT_ERROR(read_dataset("a.csv"),
               "a.csv: expected a data file that ends in .txt or .jsonl, found \".csv\"");
}

}  // namespace
}  // namespace qsweep::text
