// Where results go: never over what a run reads, and never lost without a word.
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Outputs : public BadInput {
 protected:
  void SetUp() override {
    BadInput::SetUp();
    place.copy_model("model");
    std::filesystem::copy(captions, data);
  }
  // The run with these flags is refused, and what it would have overwritten is as it was.
  void expect_kept(const std::string& file, const Arguments& flags,
                   const std::vector<std::string>& words) const {
    const std::string before = read_text(file);
    expect_refused(score(place.at("model"), data, flags), words);
    EXPECT_TRUE(read_text(file) == before) << file;
  }

  const std::string data = place.at("data.txt");
};

TEST_F(Outputs, TheTraceOverwritesNothingOfTheRun) {
  expect_kept(data, {"--trace", data}, {"--trace", "data.txt", "found the file of --data"});
  for (const char* file : {"config.json", "tokenizer.json", "model.safetensors"})
    expect_kept(place.at("model/") + file, {"--trace", place.at("model/") + file},
                {"--trace", file, "found a file of the model"});
  for (const char* file : {"scores.json", "scores.csv", "report.md", "journal.sqlite"})
    expect_kept(place.at("run/") + file, {"--trace", place.at("run/") + file},
                {"--trace", file, "found a file that --out writes"});
  const std::string calib = place.write("calib.txt", "A red circle.\n");
  expect_kept(calib, {"--calib", calib, "--trace", calib}, {"--trace", "found the file of --calib"});
}

TEST_F(Outputs, UnderAnyOtherName) {
  std::filesystem::create_symlink(data, place.at("link"));
  std::filesystem::create_hard_link(data, place.at("twin"));
  for (const std::string name : {"link", "twin", "model/../data.txt", "./data.txt"})
    expect_kept(data, {"--trace", place.at(name)}, {"--trace", "found the file of --data"});
  // A file that is not there yet.
  std::filesystem::create_symlink(place.at("run"), place.at("same"));
  expect_refused(score(tiny, captions, {"--trace", place.at("same/journal.sqlite-wal")}),
                 {"--trace", "found a file that --out writes"});
}

TEST_F(Outputs, ImagesAndRecipesAreRead) {
  const std::string image = place.at("a.png");
  std::filesystem::copy(testdata("data/images/eval-026.png"), image);
  const std::string dialogue = place.write(
      "a.jsonl", R"({"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}, )"
                 R"({"role": "assistant", "content": "A circle."}]})");
  const std::string before = read_text(image);
  expect_refused(score(tiny, dialogue, {"--trace", image}), {"--trace", "found an image of the data"});
  EXPECT_TRUE(read_text(image) == before);
  const std::string recipe =
      place.write("recipes/eval.json", R"({"name": "a", "rules": [{"ops": "*", "format": "w8a8"}]})");
  expect_refused({"eval", tiny, "--data", captions, "--recipe", recipe, "--out", place.at("recipes")},
                 {"--out", "eval.json", "found a file of --recipe"});
  EXPECT_THAT(read_text(recipe), HasSubstr("rules"));
}

TEST_F(Outputs, TheModelsFolderIsNotForResults) {
  const std::string model = place.at("model");
  const auto before = files_in(model);
  for (const std::string& out : {model, model + "/", model + "/../model/."}) {
    expect_refused({"score", model, "--data", captions, "--ops", "lm_head", "--out", out},
                   {"--out", "expected a folder for the results, found that of the model"});
    EXPECT_TRUE(files_in(model) == before);
  }
}

TEST_F(Outputs, AComparisonDoesNotOverwriteWhatItCompares) {
  const std::string other =
      place.write("run/compare.json", R"({"lm_head": 1.0, "model.layers.0.mlp.up_proj": 2})");
  remember();
  expect_refused({"compare", place.at("run"), other}, {"--out", "compare.json", "found the file of OTHER"});
}

TEST_F(Outputs, ResultsThatCannotBeWrittenAreAnError) {
  for (const char* out : {"/dev/full", "closed"})
    for (const Arguments& arguments :
         {Arguments{"inspect", tiny}, Arguments{"--help"}, Arguments{"--version"},
          Arguments{"score", "--help"}, Arguments{"report", place.at("run")}, score(tiny, captions)}) {
      const Outcome outcome = run_qsweep(arguments, {.out = out});
      EXPECT_EQ(outcome.code, 2) << ::testing::PrintToString(arguments);
      EXPECT_THAT(outcome.err, ::testing::StartsWith("error: standard output: cannot be written: "));
      EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("internal error")));
    }
}

TEST_F(Outputs, AReaderThatHasGoneIsNoError) {
  const Outcome outcome = run_qsweep({"inspect", tiny}, {.out = "nobody reads"});
  EXPECT_EQ(outcome.code, 128 + SIGPIPE);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Outputs, MessagesHoldNoControlCharactersAndNoLongValues) {
  const std::string long_name(5000, 'x');
  const auto message_of = [&](const Arguments& arguments) {
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2);
    return outcome.err;
  };
  const std::string red = "\x1b[31mred\nline";
  for (const Arguments& arguments :
       {score(tiny, captions, {"--format", red}), score(tiny, place.at(red)), score(tiny, captions, {red}),
        score(tiny, place.write("d.jsonl",
                                R"({"id": "\u001b[31mred\nline", "messages": [{"role": "user", "content": [)"
                                R"({"type": "image", "image": "none.png"}]}]})"))}) {
    const std::string message = message_of(arguments);
    EXPECT_THAT(message, AllOf(HasSubstr("\\x1b[31mred"), ::testing::Not(HasSubstr("\x1b"))));
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
  }
  for (const Arguments& arguments :
       {score(tiny, captions, {"--format", long_name}), score(tiny, place.at(long_name)),
        score(tiny, captions, {"--" + long_name, "1"}), score(tiny, captions, {"--ops", long_name}),
        score(tiny, place.write("d.jsonl", R"({"id": ")" + long_name +
                                               R"(", "messages": [{"role": "user", "content": [)"
                                               R"({"type": "image", "image": "none.png"}]}]})"))})
    EXPECT_LT(message_of(arguments).size(), 1000u);
}

// Without room for threads and tables: an error that says so, never a crash. (Below 100 MiB the system cannot
// load the libraries.)
TEST_F(Outputs, LittleAddressSpaceIsSaid) {
  for (const int mebibytes : {100, 150, 200, 300, 400, 600}) {
    const Outcome outcome = run_qsweep(score(tiny, with_images, {"--threads", "8", "--memory", "200M"}),
                                       {.address_space_bytes = int64_t{mebibytes} << 20});
    EXPECT_THAT(outcome.code, ::testing::AnyOf(0, 2)) << mebibytes << ": " << outcome.err;
    if (outcome.code == 2) {
      EXPECT_THAT(outcome.err, ::testing::StartsWith("error: ")) << mebibytes;
    }
  }
}

}  // namespace
}  // namespace qsweep::cli
