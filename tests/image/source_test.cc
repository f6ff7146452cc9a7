#include "image/source.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temporary_folder.h"

namespace qsweep::image {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ROOT/data with files, and ROOT/outside with one more.
class ImageSourceFiles : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder;
  const std::string root = folder.path();
  const std::string data = root + "/data";
  Folders folders{.data = data};

  void SetUp() override {
    fs::create_directories(data + "/images");
    fs::create_directories(root + "/outside");
    fs::create_directories(root + "/data2");
    for (const char* name : {"data/a.png", "data/images/b c.png", "data/100%.png", "data/x%20y.png",
                             "outside/o.png", "data2/s.png"})
      std::ofstream(root + "/" + name) << name;
    fs::create_symlink(root + "/outside/o.png", data + "/link.png");
    fs::create_symlink(data + "/a.png", data + "/inner.png");
    fs::create_directory_symlink(root + "/outside", data + "/away");
  }

  std::string read(const std::string& location) const {
    try {
      return text_of(read_source(location, folders));
    } catch (const Error& error) {
      return error.what();
    }
  }
};

TEST_F(ImageSourceFiles, PathsAndFileUris) {
  EXPECT_EQ(read("a.png"), "data/a.png");
  EXPECT_EQ(read("./images/../a.png"), "data/a.png");
  EXPECT_EQ(read(data + "/a.png"), "data/a.png");
  EXPECT_EQ(read("inner.png"), "data/a.png");
  EXPECT_EQ(read("file://" + data + "/a.png"), "data/a.png");
  EXPECT_EQ(read("FILE://LOCALHOST" + data + "/a.png"), "data/a.png");
  EXPECT_EQ(read("file://localhost" + data + "/images/b%20c.png"), "data/images/b c.png");
  EXPECT_EQ(read("file://" + data + "/images/b c.png"), "data/images/b c.png");
  EXPECT_EQ(read("file://" + data + "/%61.p%6Eg"), "data/a.png");
  // Not encoded, as tools that do not decode write it.
  EXPECT_EQ(read("file://" + data + "/100%.png"), "data/100%.png");
  EXPECT_EQ(read("file://" + data + "/x%20y.png"), "data/x%20y.png");
}

TEST_F(ImageSourceFiles, OtherHostsAndZeroBytes) {
  EXPECT_EQ(read("file://images/a.png"),
            "expected file:///PATH or file://localhost/PATH, found the host \"images\"");
  EXPECT_THAT(read("file://a.png"), HasSubstr("found the host \"a.png\""));
  EXPECT_THAT(read("file://" + data + "/a.png%00.png"), HasSubstr("zero byte"));
  EXPECT_THAT(read(std::string("a.png\0b", 7)), HasSubstr("zero byte"));
}

TEST_F(ImageSourceFiles, NothingIsFetched) {
  for (const char* address :
       {"http://a.b/c.png", "https://a.b/c.png", "HTTPS://a.b/c.png", "s3://bucket/c.png",
        "gs://bucket/c.png", "hf://datasets/a/c.png", "oss://a/c.png"})
    EXPECT_THAT(read(address), HasSubstr("nothing is fetched")) << address;
  EXPECT_THAT(read("a://b"), Not(HasSubstr("fetched")));  // no scheme has one letter
  EXPECT_THAT(read("im ages://b"), Not(HasSubstr("fetched")));
}

TEST_F(ImageSourceFiles, OutsideOfTheFolder) {
  const std::string expected =
      fmt::format("the image lies outside the folder of the data, in {0}; --allow-outside {0} would allow it",
                  fs::canonical(root + "/outside").string());
  for (const std::string& location :
       {root + "/outside/o.png", "file://" + root + "/outside/o.png", std::string("../outside/o.png"),
        std::string("images/../../outside/o.png"), std::string("away/../../outside/o.png"),
        "file://" + data + "/%2e%2e/outside/o.png",
        root + "/outside/missing.png"})  // not even whether it exists is told
    EXPECT_EQ(read(location), expected) << location;
  EXPECT_THAT(read("../data2/s.png"), HasSubstr("outside"));  // a name that begins alike
  EXPECT_THAT(read("/etc/passwd"), AllOf(HasSubstr("outside the folder"), Not(HasSubstr("root:"))));
}

TEST_F(ImageSourceFiles, LinksInTheFolderAreFollowed) {
  EXPECT_EQ(read("link.png"), "outside/o.png");
  EXPECT_EQ(read("away/o.png"), "outside/o.png");
  EXPECT_EQ(read(data + "/away/o.png"), "outside/o.png");
  // Not outside/../data/a.png, which the link leads to: what is written counts.
  EXPECT_EQ(path_of("away/../a.png", folders), data + "/a.png");
}

TEST_F(ImageSourceFiles, FoldersThatAreAllowed) {
  folders.others = {root + "/data2", root + "/outside/"};
  EXPECT_EQ(read("../outside/o.png"), "outside/o.png");
  EXPECT_EQ(read("link.png"), "outside/o.png");
  EXPECT_EQ(read("file://" + root + "/data2/s.png"), "data2/s.png");
  EXPECT_THAT(read("/etc/hostname"), HasSubstr("outside"));
  folders.others = {"/"};
  EXPECT_THAT(read("/nonexistent/a.png"), HasSubstr("found nothing of that name"));
}

TEST_F(ImageSourceFiles, AFolderThatIsALinkIsThatFolder) {
  fs::create_directory_symlink(data, root + "/alias");
  folders.data = root + "/alias";
  EXPECT_EQ(read("a.png"), "data/a.png");
  EXPECT_EQ(read(data + "/a.png"), "data/a.png");
  EXPECT_EQ(path_of("a.png", folders), root + "/alias/a.png");
}

TEST(ImageSource, DataUris) {
  const auto read = [](const std::string& uri) { return text_of(read_source(uri, {})); };
  EXPECT_EQ(read("data:image/png;base64,YWJj"), "abc");
  EXPECT_EQ(read("data:;base64,YWI="), "ab");
  EXPECT_EQ(read("data:image/jpeg;charset=x;BASE64,YQ=="), "a");
  EXPECT_EQ(read("DATA:image;base64,+/+/"), "\xfb\xff\xbf");
  EXPECT_EQ(read("data:image/png;base64,YW\r\nJj\n"), "abc");
  EXPECT_EQ(read("data:image/png;base64,"), "");
  EXPECT_EQ(path_of("data:image/png;base64,YWJj", {}), "");
}

TEST(ImageSource, BadDataUris) {
  const auto error_of = [](const std::string& uri) -> std::string {
    try {
      read_source(uri, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "read";
  };
  for (const char* text : {"YQ", "YQ=", "Y===", "YQ==YQ==", "=", "Y", "YWJjYQ=", "YQ==="})
    EXPECT_THAT(error_of(std::string("data:image/png;base64,") + text), HasSubstr("expected base64")) << text;
  EXPECT_EQ(error_of("data:image/png;base64,YW-j"), "expected base64, found another character at position 2");
  EXPECT_THAT(error_of("data:image/png;base64,YW%3D"), HasSubstr("position 2"));
  for (const char* uri : {"data:image/png,abc", "data:image/png;base64", "data:", "data:;base64x,YQ=="})
    EXPECT_THAT(error_of(uri), HasSubstr("without \";base64,\"")) << uri;
}

}  // namespace
}  // namespace qsweep::image
