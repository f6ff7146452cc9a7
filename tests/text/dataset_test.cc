#include "text/dataset.h"

#include "fixtures.h"

namespace qsweep::text {
namespace {

using ::testing::ElementsAre;

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
      "{\"id\":\"a\",\"input_ids\":[5,6,7],\"answer_mask\":[0,true,1],\"metadata\":{}}\n{\"input_ids\":[8]}",
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
      {R"({"id":7.5,"input_ids":[1]})", R"("id": expected a string or a whole number, found 7.5)"},
      {R"({"id":true,"input_ids":[1]})", R"("id": expected a string or a whole number, found true)"},
      {R"({"id":["a"],"input_ids":[1]})", R"("id": expected a string or a whole number, found ["a"])"},
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
       R"(messages[0]: content[0]: "type": "video" is not supported; supported: text, image, image_url)"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":3}]}]})",
       R"("text": expected a string, found 3)"},
      {R"({"messages":[{"role":"user","content":[{"type":"image","image":""}]}]})",
       "expected a path, found an empty string"},
      {R"({"input_ids":[]})", R"("input_ids": expected at least one id, found none)"},
      {R"({"input_ids":["a"]})", R"("input_ids": expected an array of 64-bit integers)"},
      {R"({"input_ids":[-1]})", R"("input_ids": expected ids from 0 to 2147483647, found -1)"},
      {R"({"input_ids":[2147483648]})", "found 2147483648"},
      {R"({"input_ids":[1,2],"answer_mask":[1]})",
       R"("answer_mask": expected a list of 2 values, one for each id, found 1 values)"},
      {R"({"input_ids":[1],"answer_mask":[2]})", R"("answer_mask": expected 0, 1, false or true, found 2)"},
      {R"({"input_ids":[1],"answer_mask":"1"})", R"(one for each id, found string)"},
      {R"({"input_ids":[1,2],"labels":[1]})",
       R"("labels": expected a list of 2 values, one for each id, found 1)"},
      {R"({"input_ids":[1,2],"labels":[-100,1]})",
       R"("labels": expected -100 or the id of the same place, 2, found 1)"},
      {R"({"input_ids":[1],"labels":["1"]})", R"(the id of the same place, 1, found "1")"},
      {R"({"input_ids":[1],"labels":[1],"answer_mask":[1]})",
       R"(expected "answer_mask" or "labels", found both)"},
      {R"({"input_ids":[1,2],"attention_mask":[1,0]})",
       R"("attention_mask": expected 1 for every id, as there is no padding, found 0)"},
      {R"({"input_ids":[1,2],"attention_mask":[1]})", R"("attention_mask": expected a list of 2 values)"},
  };
  for (const BadLine& bad : cases)
    EXPECT_ERROR(
        parse_dataset_jsonl(std::string("{\"id\":\"good\",\"input_ids\":[1]}\n") + bad.line, "d.jsonl", ""),
        bad.message)
        << bad.line;
}

// The one sample of a line that is written on several.
Sample sample_of(std::string line) {
  std::erase(line, '\n');
  return parse_dataset_jsonl(line, "d", "/data").at(0);
}

// A line of one message of the user, with other keys of the line, the message and its one part.
std::string line_with(const std::string& of_line, const std::string& of_message = "",
                      const std::string& part = R"({"type":"text","text":"a"})") {
  return R"({"messages":[{"role":"user","content":[)" + part + "]" + of_message + "}]" + of_line + "}";
}

TEST(Dataset, RefusesKeysThatMightChangeTheMeaning) {
  const std::string supported = " is not supported: ";
  for (const char* key :
       {"tools", "functions", "videos", "audios", "image", "objects", "system", "chosen", "conversations",
        "labels", "loss_mask", "prompt", "answer_mask", "chat_template_kwargs", "Images", "min_pixels"})
    EXPECT_ERROR(parse_dataset_jsonl(line_with(fmt::format(R"(,"{}":["x"])", key)), "d", ""),
                 fmt::format("d: line 1: key \"{}\"", key) + supported);
  for (const char* key :
       {"tool_calls", "function_call", "name", "reasoning_content", "images", "loss_scale", "prefix"})
    EXPECT_ERROR(parse_dataset_jsonl(line_with("", fmt::format(R"(,"{}":["x"])", key)), "d", ""),
                 fmt::format("d: line 1: messages[0]: key \"{}\"", key) + supported);
  for (const char* key : {"image", "video", "cache_control", "weight"})
    EXPECT_ERROR(
        parse_dataset_jsonl(line_with("", "", fmt::format(R"({{"type":"text","text":"a","{}":"x"}})", key)),
                            "d", ""),
        fmt::format("d: line 1: messages[0]: content[0]: key \"{}\"", key) + supported);
  for (const char* key : {"bytes", "base64", "text", "detail", "fps"})
    EXPECT_ERROR(
        parse_dataset_jsonl(line_with("", "", fmt::format(R"({{"type":"image","image":"a","{}":"x"}})", key)),
                            "d", ""),
        fmt::format("content[0]: key \"{}\"", key) + supported);
  for (const char* key : {"images", "pixel_values", "position_ids", "token_type_ids", "loss_mask", "tools"})
    EXPECT_ERROR(parse_dataset_jsonl(fmt::format(R"({{"input_ids":[1],"{}":[1]}})", key), "d", ""),
                 fmt::format("d: line 1: key \"{}\"", key) + supported);
  EXPECT_ERROR(parse_dataset_jsonl(R"({"conversations":[]})", "d", ""),
               R"(write the dialogue as "messages")");
}

TEST(Dataset, IgnoresKeysWithoutInfluenceOrValue) {
  const std::string line = line_with(
      R"(,"source":"a","metadata":{"messages":[]},"split":"train","index":3,"tools":[],"videos":null,"system":"","unheard_of":null)",
      R"(,"id":"m","timestamp":1,"tool_calls":null,"refusal":null,"annotations":[])",
      R"({"type":"text","text":"a","index":null,"image":null})");
  EXPECT_EQ(parse_dataset_jsonl(line, "d", "").size(), 1u);
  EXPECT_EQ(parse_dataset_jsonl(R"({"input_ids":[1],"source":"a","attention_mask":[1],"images":[]})", "d", "")
                .size(),
            1u);
}

TEST(Dataset, AnIdMayBeANumber) {
  const auto samples = parse_dataset_jsonl(R"({"id":0,"input_ids":[1]})"
                                           "\n"
                                           R"({"id":-7,"input_ids":[1]})"
                                           "\n"
                                           R"({"id":18446744073709551615,"input_ids":[1]})",
                                           "d", "");
  EXPECT_EQ(samples[0].id, "0");
  EXPECT_EQ(samples[1].id, "-7");
  EXPECT_EQ(samples[2].id, "18446744073709551615");
  EXPECT_ERROR(parse_dataset_jsonl(R"({"id":0,"input_ids":[1]})"
                                   "\n"
                                   R"({"id":"0","input_ids":[1]})",
                                   "d", ""),
               R"(line 2: id "0" is already used in line 1)");
}

TEST(Dataset, LabelsAreAnAnswerMask) {
  const auto samples =
      parse_dataset_jsonl(R"({"input_ids":[5,6,7],"labels":[-100,6,7],"attention_mask":[1,true,1]})"
                          "\n"
                          R"({"input_ids":[5],"labels":[-100]})",
                          "d", "");
  EXPECT_THAT(std::get<TokenIds>(samples[0].content).answer_mask.value(), ElementsAre(0, 1, 1));
  EXPECT_THAT(std::get<TokenIds>(samples[1].content).answer_mask.value(), ElementsAre(0));
}

TEST(Dataset, AMessageMaySayThatItIsNoAnswer) {
  const auto answers = [](const std::string& messages) {
    std::vector<bool> marked;
    const Sample sample = sample_of("{\"messages\":[" + messages + "]}");
    for (const Message& message : std::get<Dialogue>(sample.content).messages)
      marked.push_back(message.answer);
    return marked;
  };
  EXPECT_THAT(answers(R"({"role":"user","content":"a","weight":0},{"role":"assistant","content":"a"},
                         {"role":"assistant","content":"a","weight":0},{"role":"assistant","content":"a","weight":1},
                         {"role":"assistant","content":"a","loss":false},{"role":"assistant","content":"a","loss_mask":0})"),
              ElementsAre(false, true, false, true, false, false));
  EXPECT_ERROR(answers(R"({"role":"assistant","content":"a","weight":0.5})"),
               R"(messages[0]: "weight": expected 0, 1, false or true, found 0.5)");
  EXPECT_ERROR(answers(R"({"role":"user","content":"a","loss":true})"),
               R"("loss": expected 0, as only the assistant's messages are answers, found 1)");
  EXPECT_ERROR(answers(R"({"role":"assistant","content":"a","weight":1,"loss":true})"),
               R"("loss": expected one key that says whether this is an answer, found several)");
}

// Texts in [], images by their locations.
std::string outline(const std::string& line) {
  std::string out;
  const Sample sample = sample_of(line);
  for (const Message& message : std::get<Dialogue>(sample.content).messages) {
    for (const ContentPart& part : message.parts) {
      const auto* image = std::get_if<ImageSource>(&part);
      EXPECT_TRUE(image == nullptr || image->folder == "/data");
      out += image != nullptr ? image->location : "[" + std::get<std::string>(part) + "]";
    }
    out += ";";
  }
  return out;
}

TEST(Dataset, TakesImagesFromAColumn) {
  const auto with = [](const std::string& images, const std::string& messages) {
    return outline("{\"images\":" + images + ",\"messages\":[" + messages + "]}");
  };
  const std::string two = R"({"role":"user","content":"<image>a<image>"},{"role":"assistant","content":"b"})";
  EXPECT_EQ(with(R"(["1","2"])", two), "1[a]2;[b];");
  EXPECT_EQ(with(R"([{"path":"1","bytes":null},{"url":"2"}])", two), "1[a]2;[b];");
  EXPECT_EQ(with(R"(["1","2"])",
                 R"({"role":"user","content":[{"type":"image"},{"type":"text","text":"a <image>"}]})"),
            "1[a ]2;");
  EXPECT_EQ(with(R"(["1","2"])", R"({"role":"user","content":[{"type":"image","index":0,"text":null},
                                     {"type":"image","image":"3"},{"type":"image","index":1}]})"),
            "132;");
  EXPECT_EQ(with("[]", R"({"role":"user","content":"a"})"), "[a];");
  EXPECT_ERROR(with(R"(["1"])", two), R"("images": expected as many as <image> in the messages, 2, found 1)");
  EXPECT_ERROR(with(R"(["1","2","3"])", two), "in the messages, 2, found 3");
  EXPECT_ERROR(with("[]", two), "in the messages, 2, found 0");
  EXPECT_ERROR(with(R"(["1"])", R"({"role":"user","content":[{"type":"image","index":1}]})"),
               R"("index": 1 is not supported; supported: 0)");
  EXPECT_ERROR(with(R"("1")", two), R"("images": expected a list, found "1")");
  EXPECT_ERROR(with("[1,2]", two), "images[0]: expected a JSON object, found number");
  EXPECT_ERROR(with(R"(["1",""])", two), "images[1]: expected a path, found none");
  EXPECT_ERROR(with(R"([{"path":"1","bytes":"xx"},"2"])", two), R"(images[0]: key "bytes" is not supported)");
  // Without the list the mark is text, and an image must say where it is.
  EXPECT_EQ(outline(line_with("", "", R"({"type":"text","text":"<image>a"})")), "[<image>a];");
  EXPECT_ERROR(outline(line_with("", "", R"({"type":"image"})")), R"(content[0]: missing key "image")");
}

TEST(Dataset, AnImageOfAColumnAndItsPlaceMayBothSayItsSize) {
  const auto images =
      images_of(parse_dataset_jsonl(
                    R"({"images":[{"path":"1","max_pixels":9},"2"],"messages":[{"role":"user",)"
                    R"("content":[{"type":"image","min_pixels":3},{"type":"text","text":"<image>"}]}]})",
                    "d", "")
                    .at(0));
  EXPECT_THAT(images,
              ElementsAre(ImageSource{.location = "1", .folder = "", .min_pixels = 3, .max_pixels = 9},
                          ImageSource{.location = "2", .folder = ""}));
}

TEST(Dataset, ReadsTheWaysToNameAnImage) {
  for (const char* part :
       {R"({"type":"image","image":"1"})", R"({"type":"image","url":"1"})", R"({"type":"image","path":"1"})",
        R"({"type":"image_url","image_url":"1"})", R"({"type":"image_url","image_url":{"url":"1"}})",
        R"({"type":"image_url","image_url":{"url":"1","detail":"auto"}})"})
    EXPECT_EQ(outline(line_with("", "", part)), "1;") << part;
  EXPECT_ERROR(outline(line_with("", "", R"({"type":"image_url","image_url":{"url":"1","detail":"low"}})")),
               R"(image_url: "detail": "low" is not supported; supported: "auto")");
  EXPECT_ERROR(outline(line_with("", "", R"({"type":"image_url","image_url":{"url":"1","fps":2}})")),
               R"(image_url: key "fps" is not supported)");
  EXPECT_ERROR(outline(line_with("", "", R"({"type":"image","image":"1","path":"1"})")),
               R"("path": expected one key that says where the image is, found several)");
}

TEST(Dataset, RefusesBadCaptionsAndFiles) {
  EXPECT_ERROR(parse_dataset_txt("ok\nbad \xFF", "c.txt"), "c.txt: line 2: invalid UTF-8 at byte 4");
  EXPECT_ERROR(parse_dataset_txt("\n \r\n", "c.txt"), "c.txt: expected at least one sample, found none");
  EXPECT_ERROR(parse_dataset_jsonl("", "d.jsonl", ""), "d.jsonl: expected at least one sample, found none");
  EXPECT_ERROR(read_dataset(testdata("data/missing.jsonl")), "missing.jsonl: cannot open");
  EXPECT_ERROR(read_dataset("a.csv"),
               "a.csv: expected a data file that ends in .txt or .jsonl, found \".csv\"");
}

}  // namespace
}  // namespace qsweep::text
