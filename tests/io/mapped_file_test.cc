#include "io/mapped_file.h"

#include <utility>

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
  const TempFolder folder;
  MappedFile file = MappedFile::open(folder.write("f", "some text"));
  EXPECT_EQ(file.path(), folder.path() + "/f");
  EXPECT_EQ(std::memcmp(file.bytes().data(), "some text", 9), 0);
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().size(), 9u);
  moved = MappedFile::open(folder.write("g", "other"));
  EXPECT_EQ(std::memcmp(moved.bytes().data(), "other", 5), 0);
}

TEST(MappedFile, RefusesWhatIsNotAFileWithContent) {
  const TempFolder folder;
  EXPECT_THAT([&] { MappedFile::open(folder.path() + "/none"); },
              fails_with("/none: cannot open the file: No such file"));
  EXPECT_THAT([&] { MappedFile::open(folder.path()); }, fails_with("expected a file, found a folder"));
  EXPECT_THAT([&] { MappedFile::open(folder.write("empty", "")); }, fails_with("/empty: the file is empty"));
  EXPECT_THAT([] { MappedFile::open("/dev/zero"); }, fails_with("expected a regular file"));
}

TEST(MappedFile, ReleaseLowersResidentMemoryAndKeepsTheData) {
  const TempFolder folder;
  constexpr int64_t kBytes = int64_t{32} << 20;
  const std::string content(kBytes, 'x');
  const MappedFile file = MappedFile::open(folder.write("big", content));
  EXPECT_EQ(std::memcmp(file.bytes().data(), content.data(), content.size()), 0);
  const int64_t before = resident_file_bytes();
  file.release(file.bytes());
  const int64_t after = resident_file_bytes();
  EXPECT_GE(before - after, kBytes / 10 * 9);
  file.populate(file.bytes());  // does nothing on old systems
  EXPECT_THAT(resident_file_bytes() - after, testing::AnyOf(testing::Le(kBytes / 10), testing::Ge(kBytes / 10 * 9)));
  file.prefetch(file.bytes());
  EXPECT_EQ(std::memcmp(file.bytes().data(), content.data(), content.size()), 0);
}

TEST(MappedFile, PartsNeedNotBeWholePages) {
  const TempFolder folder;
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
