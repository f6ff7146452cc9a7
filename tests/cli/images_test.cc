// Where images come from, and what is read of damaged ones.
#include <filesystem>

#include <gmock/gmock.h>

#include "bad_input.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Images : public BadInput {
 protected:
  // Writes data with these images, a sample each, and returns its path.
  std::string data_of(const std::string& name, const std::vector<std::string>& images) const {
    std::string lines;
    for (const std::string& image : images) {
      const io::Json parts = {{{"type", "image"}, {"image", image}},
                              {{"type", "text"}, {"text", "What is it?"}}};
      lines += io::Json{{"messages",
                         {{{"role", "user"}, {"content", parts}},
                          {{"role", "assistant"}, {"content", "A circle."}}}}}
                   .dump() +
               "\n";
    }
    return place.write(name, lines);
  }
  ScoreRun run(const std::string& data, const Arguments& more = {}) const {
    Arguments flags{"--data", data, "--ops", "visual.blocks.0.*", "--format", "w8a8_dynamic"};
    flags.insert(flags.end(), more.begin(), more.end());
    return score_run(place, "run-of-" + std::filesystem::path(data).stem().string(), tiny, flags);
  }
  void expect_images_refused(const std::vector<std::string>& images, const std::vector<std::string>& words,
                             const Arguments& more = {}) const {
    expect_refused(score(tiny, data_of("data.jsonl", images), more), words);
  }
  std::string copy(const std::string& image, const std::string& name) const {
    return place.write(name, read_text(testdata(image)));
  }
};

std::string base64_of(const std::string& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kDigits[word >> (18 - 6 * k) & 63];
  }
  return text;
}

TEST_F(Images, PathsAndUrisAreTheSameImage) {
  const std::string file = copy("images/jpeg.jpg", "pictures/a b.jpg");
  const std::string escaped = "file://" + place.at("pictures/a%20b.jpg");
  const std::string held = "data:image/jpeg;base64," + base64_of(read_text(file));
  const ScoreRun path = run(data_of("path.jsonl", {"pictures/a b.jpg"}));
  EXPECT_EQ(path.outcome.err.find("damaged"), std::string::npos);
  EXPECT_EQ(path.json["data"]["images"], 1);
  for (const std::string& image : {file, "file://" + file, escaped, "file://localhost" + file, held})
    EXPECT_EQ(run(data_of("uri.jsonl", {image})).scores(), path.scores()) << image.substr(0, 80);
}

TEST_F(Images, NothingIsFetched) {
  for (const char* address : {"http://example.com/a.png", "https://example.com/a.png", "s3://bucket/a.png"})
    expect_images_refused({address}, {"sample \"line-1\"", address, "nothing is fetched"});
  expect_images_refused({"file://host/a.png"}, {"found the host \"host\""});
}

TEST_F(Images, LongValuesAreCut) {
  for (const std::string& image : {"data:image/png;base64,!" + std::string(1 << 20, 'A'),
                                   "https://example.com/" + std::string(5000, 'x'), std::string(5000, 'x'),
                                   "data:image/png;base64," + std::string(1 << 20, 'A')}) {
    const Outcome outcome = run_qsweep(score(tiny, data_of("data.jsonl", {image})));
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(image.substr(0, 20)), Not(HasSubstr(image.substr(0, 121)))));
    EXPECT_LT(outcome.err.size(), 500u);
  }
}

TEST_F(Images, OutsideTheDatasFolderOnlyWhereAllowed) {
  const Workplace others;
  const std::string other = std::filesystem::canonical(others.at("")).string();
  const std::string image = others.write("jpeg.jpg", read_text(testdata("images/jpeg.jpg")));
  place.write("elsewhere/here.txt", "");
  std::filesystem::create_symlink(image, place.at("link.jpg"));
  for (const std::string& location : {image, "file://" + image})
    expect_images_refused(
        {location}, {"sample \"line-1\"", "outside the folder of the data", "--allow-outside " + other});
  expect_images_refused({image}, {"outside"}, {"--allow-outside", place.at("elsewhere")});
  place.write("secret.txt", "nobody's business");
  const std::string inner =
      place.write("inner/data.jsonl", read_text(data_of("data.jsonl", {"../secret.txt"})));
  expect_refused(score(tiny, inner), {"../secret.txt", "outside the folder of the data"});
  const Outcome allowed = run_qsweep(score(tiny, inner, {"--allow-outside", place.at("")}));
  EXPECT_EQ(allowed.code, 2);
  EXPECT_THAT(allowed.err,
              AllOf(HasSubstr("found 17 bytes"), Not(HasSubstr("nobody")), Not(HasSubstr("6e 6f"))));

  copy("images/jpeg.jpg", "same.jpg");
  const ScoreRun inside = run(data_of("inside.jsonl", {"same.jpg"}));
  const ScoreRun outside = run(data_of("outside.jsonl", {image}),
                               {"--allow-outside", place.at("elsewhere"), "--allow-outside", other});
  EXPECT_EQ(outside.scores(), inside.scores());
  EXPECT_EQ(run(data_of("linked.jsonl", {"link.jpg"})).scores(), inside.scores());
}

// Where a user stands and names files in full; what a data file says relative to itself stays in its folder.
TEST_F(Images, AbsolutePathsMayLeadIntoTheFolderOfTheStart) {
  const std::string image = copy("images/jpeg.jpg", "pictures/a.jpg");
  const auto run_in = [&](const std::string& folder, const std::string& location) {
    const std::string data = place.write("inner/data.jsonl", read_text(data_of("data.jsonl", {location})));
    return run_qsweep(score(tiny, data, {"--dry-run"}), {.folder = folder});
  };
  for (const std::string& location : {image, "file://" + image}) {
    EXPECT_EQ(run_in(place.at(""), location).code, 0) << location;
    EXPECT_EQ(run_in(place.at("inner"), location).code, 2) << location;
    EXPECT_EQ(run_in("/", location).code, 2) << location;
  }
  EXPECT_EQ(run_in(place.at(""), "../pictures/a.jpg").code, 2);
}

// What some cameras write where it means nothing; libjpeg says so, and loses nothing.
TEST_F(Images, ADamagedFileIsReadWithOneWarning) {
  std::string jpeg = read_text(copy("images/jpeg.jpg", "good.jpg"));
  const size_t scan = jpeg.find("\xff\xda");
  jpeg.replace(scan + 2 + static_cast<size_t>(jpeg[scan + 3]) - 3, 3, 3, '\0');
  place.write("odd.jpg", jpeg);
  const ScoreRun good = run(data_of("good.jsonl", {"good.jpg", "good.jpg"}));
  const ScoreRun odd = run(data_of("odd.jsonl", {"odd.jpg", "odd.jpg"}));
  EXPECT_EQ(odd.scores(), good.scores());
  const std::string warning =
      "odd.jpg: a damaged image, taken as Pillow reads it: Invalid SOS parameters for sequential JPEG\n";
  const size_t at = odd.outcome.err.find(warning);
  EXPECT_NE(at, std::string::npos) << odd.outcome.err;
  EXPECT_EQ(odd.outcome.err.find("damaged", at + warning.size()), std::string::npos) << odd.outcome.err;
  const io::Json& kept = odd.json["provenance"]["input_warnings"];
  ASSERT_EQ(kept.size(), 1u) << kept;
  EXPECT_NE((kept[0].get<std::string>() + "\n").find(warning), std::string::npos) << kept;
  EXPECT_EQ(good.json["provenance"]["input_warnings"], io::Json::array());
}

}  // namespace
}  // namespace qsweep::cli
