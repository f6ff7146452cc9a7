#include "io/atomic_file.h"

#include <csignal>

#include <sys/resource.h>

#include "test_files.h"

namespace qsweep::io {
namespace {

// While it lives, no file of this process may grow beyond `bytes`: a later write fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST(AtomicFile, CreatesAndReplaces) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/f";
  write_file_atomically(path, "one");
  EXPECT_EQ(read_text(path), "one");
  write_file_atomically(path, "");
  EXPECT_EQ(read_text(path), "");
  write_file_atomically(path, std::string(3'000'000, 'x'));
  EXPECT_EQ(read_text(path).size(), 3'000'000u);
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, WithoutCommitNothingChanges) {
  const TemporaryFolder folder;
  const std::string path = folder.write("f", "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(read_text(path), "old");
  }
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, TwoWritersDoNotMix) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/f";
  AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_text(path), "first");
  second.commit();
  EXPECT_EQ(read_text(path), "second");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, FullDiskKeepsTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("f", "old");
  std::string message;
  {
    const FileSizeLimit limit(100);
    try {
      write_file_atomically(path, std::string(1000, 'x'));
    } catch (const Error& error) {
      message = error.what();
    }
  }
  EXPECT_THAT(message, ::testing::HasSubstr("/f: cannot write: File too large"));
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, FailedRenameRemovesTheTemporary) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/taken";
  std::filesystem::create_directory(path);
  EXPECT_THAT([&] { write_file_atomically(path, "x"); },
              fails_with("/taken: cannot replace the file: Is a directory"));
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, FolderMustExist) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "old");
  EXPECT_THAT([&] { write_file_atomically(folder.path() + "/none/f", "x"); },
              fails_with("No such file or directory"));
  EXPECT_THAT([&] { write_file_atomically(file + "/f", "x"); },
              fails_with("cannot create a temporary file beside it: Not a directory"));
  EXPECT_EQ(read_text(file), "old");
}

TEST(EnsureFolder, CreatesParentsAndAcceptsWhatExists) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a/b/c";
  ensure_folder(path);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_NO_THROW(ensure_folder(path));
  EXPECT_NO_THROW(ensure_folder(path + "/"));
}

TEST(EnsureFolder, RefusesFilesAndImpossiblePlaces) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "x");
  EXPECT_THAT([&] { ensure_folder(file); }, fails_with("/file: expected a folder, found a file"));
  EXPECT_THAT([&] { ensure_folder(file + "/below"); },
              fails_with("/file/below: cannot create the folder: Not a directory"));
  EXPECT_THAT([] { ensure_folder("/proc/below"); }, fails_with("/proc/below: cannot"));
}

TEST(AtomicFolder, AppearsWithAllItsFilesOrNotAtAll) {
  const TemporaryFolder place;
  const std::string target = place.path() + "/a/b/";
  {
    const AtomicFolder folder(target);
    write_file_atomically(folder.path() + "/f", "lost");
    EXPECT_FALSE(std::filesystem::exists(target));
  }
  EXPECT_TRUE(std::filesystem::is_empty(place.path() + "/a"));
  for (int i = 0; i < 2; ++i) {  // the second time over an empty folder
    AtomicFolder folder(target);
    write_file_atomically(folder.path() + "/f", "kept");
    folder.commit();
    EXPECT_EQ(read_text(target + "f"), "kept");
    std::filesystem::remove(target + "f");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(place.path() + "/a"),
                          std::filesystem::directory_iterator()),
            1);
}

TEST(AtomicFolder, ReplacesNothing) {
  const TemporaryFolder place;
  const std::string file = place.write("f", "old");
  EXPECT_THAT([&] { AtomicFolder folder(place.path()); }, fails_with("expected a new or an empty folder"));
  EXPECT_THAT([&] { AtomicFolder folder(file); }, fails_with("found a file"));
  EXPECT_THAT([&] { AtomicFolder folder(file + "/x"); }, fails_with(file));
  EXPECT_THAT([&] { AtomicFolder folder(""); }, fails_with("empty path"));
  EXPECT_EQ(read_text(file), "old");
  AtomicFolder late(place.path() + "/new");
  std::filesystem::create_directory(place.path() + "/new");
  write_file_atomically(place.path() + "/new/f", "theirs");
  EXPECT_THAT([&] { late.commit(); }, fails_with("new: cannot replace the folder"));
}

}  // namespace
}  // namespace qsweep::io
