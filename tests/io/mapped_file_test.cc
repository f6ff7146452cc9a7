#include "io/mapped_file.h"

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include <unistd.h>

#include "test_files.h"

namespace qsweep::io {
namespace {

// Bytes of files and shared memory that are resident in this process.
int64_t resident_file_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0, shared = 0;
  file >> total >> resident >> shared;
  return shared * sysconf(_SC_PAGESIZE);
}

TEST(MappedFile, ShowsTheContent) {
  const TemporaryFolder folder;
  MappedFile file = MappedFile::open(folder.write("f", "some text"));
  EXPECT_EQ(file.path(), folder.path() + "/f");
  EXPECT_EQ(std::memcmp(file.bytes().data(), "some text", 9), 0);
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().size(), 9u);
  moved = MappedFile::open(folder.write("g", "other"));
  EXPECT_EQ(std::memcmp(moved.bytes().data(), "other", 5), 0);
}

TEST(MappedFile, RefusesWhatIsNotAFileWithContent) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { MappedFile::open(folder.path() + "/none"); },
              fails_with("/none: cannot open the file: No such file"));
  EXPECT_THAT([&] { MappedFile::open(folder.path()); }, fails_with("expected a file, found a folder"));
  EXPECT_THAT([&] { MappedFile::open(folder.write("empty", "")); }, fails_with("/empty: the file is empty"));
  EXPECT_THAT([] { MappedFile::open("/dev/zero"); }, fails_with("expected a regular file"));
}

TEST(MappedFile, APointerOfGitLfsIsNotTheFile) {
  const TemporaryFolder folder;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4348600\n";
  EXPECT_THAT([&] { MappedFile::open(folder.write("f", pointer)); },
              fails_with("/f: found a Git LFS pointer; the file itself has not been downloaded"));
  EXPECT_NO_THROW(MappedFile::open(folder.write("g", "of " + pointer)));
}

TEST(MappedFile, ChangesAreNoticed) {
  const TemporaryFolder folder;
  const std::string path = folder.write("f", "some text");
  const auto expect_change = [&](const std::function<void()>& change, const std::string& words) {
    folder.write("f", "some text");
    MappedFile file = MappedFile::open(path);
    EXPECT_NO_THROW(file.check_unchanged());
    change();
    const MappedFile moved = std::move(file);
    EXPECT_THAT([&] { moved.check_unchanged(); },
                fails_with("/f: the file has changed while it was in use: " + words));
  };
  expect_change([&] { std::filesystem::resize_file(path, 4); }, "expected 9 bytes as before, found 4");
  expect_change([&] { std::ofstream(path, std::ios::app) << "!"; }, "expected 9 bytes as before, found 10");
  expect_change(
      [&] {
        std::filesystem::last_write_time(
            path, std::filesystem::file_time_type::clock::now() + std::chrono::seconds(1));
      },
      "it was written to");
}

// What is mapped goes on to be the old file.
TEST(MappedFile, OneThatIsReplacedIsUnchanged) {
  const TemporaryFolder folder;
  const MappedFile file = MappedFile::open(folder.write("f", "some text"));
  std::filesystem::rename(folder.write("g", "other"), folder.path() + "/f");
  EXPECT_NO_THROW(file.check_unchanged());
  std::filesystem::remove(folder.path() + "/f");
  EXPECT_NO_THROW(file.check_unchanged());
}

TEST(MappedFile, IsFoundByAddress) {
  const TemporaryFolder folder;
  const std::byte* inside = nullptr;
  {
    MappedFile file = MappedFile::open(folder.write("f", "some text"));
    inside = file.bytes().data();
    const MappedFile moved = std::move(file);
    EXPECT_EQ(mapped_file_at(inside), folder.path() + "/f");
    EXPECT_EQ(mapped_file_at(inside + 8), folder.path() + "/f");
    EXPECT_EQ(mapped_file_at(inside + 9), nullptr);
    EXPECT_EQ(mapped_file_at(inside - 1), nullptr);
  }
  EXPECT_EQ(mapped_file_at(inside), nullptr);
  EXPECT_EQ(mapped_file_at(nullptr), nullptr);
}

TEST(MappedFile, MoreThanTheTableHoldsAndLongPaths) {
  const TemporaryFolder folder;
  const std::string deep =
      folder.path() + "/" + std::string(200, 'a') + "/" + std::string(200, 'b') + "/" + std::string(200, 'c');
  std::filesystem::create_directories(deep);
  std::ofstream(deep + "/f") << "some text";
  std::vector<MappedFile> files;
  for (int i = 0; i < 600; ++i) files.push_back(MappedFile::open(deep + "/f"));
  const char* path = mapped_file_at(files.front().bytes().data());
  ASSERT_NE(path, nullptr);
  EXPECT_TRUE((deep + "/f").ends_with(path)) << path;
  EXPECT_GT(std::strlen(path), 500u);
  files.clear();
  const MappedFile again = MappedFile::open(deep + "/f");
  EXPECT_NE(mapped_file_at(again.bytes().data()), nullptr);
}

TEST(MappedFile, ReleaseLowersResidentMemoryAndKeepsTheData) {
  const TemporaryFolder folder;
  constexpr int64_t kBytes = int64_t{32} << 20;
  const std::string content(kBytes, 'x');
  const MappedFile file = MappedFile::open(folder.write("big", content));
  EXPECT_EQ(std::memcmp(file.bytes().data(), content.data(), content.size()), 0);
  const int64_t before = resident_file_bytes();
  file.release(file.bytes());
  const int64_t after = resident_file_bytes();
  EXPECT_GE(before - after, kBytes / 10 * 9);
  file.populate(file.bytes());  // does nothing on old systems
  EXPECT_THAT(resident_file_bytes() - after,
              ::testing::AnyOf(::testing::Le(kBytes / 10), ::testing::Ge(kBytes / 10 * 9)));
  file.prefetch(file.bytes());
  EXPECT_EQ(std::memcmp(file.bytes().data(), content.data(), content.size()), 0);
}

TEST(MappedFile, PartsNeedNotBeWholePages) {
  const TemporaryFolder folder;
  const std::string content(3 * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + 5, 'x');
  const MappedFile file = MappedFile::open(folder.write("f", content));
  for (const size_t first : {size_t{0}, size_t{1}, size_t{5000}, content.size() - 1, content.size()}) {
    file.release(file.bytes().subspan(first));
    file.prefetch(file.bytes().subspan(first));
    file.populate(file.bytes().subspan(first));
    file.release(file.bytes().first(first));
  }
  EXPECT_EQ(std::memcmp(file.bytes().data(), content.data(), content.size()), 0);
  EXPECT_THROW(file.release(as_bytes(content)), ContractError);
}

}  // namespace
}  // namespace qsweep::io
