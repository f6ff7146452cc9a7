#include "io/atomic_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"

namespace qsweep::io {
namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Makes the new name survive a power failure. Not every file system can do this for a folder; the file itself
// is complete either way, so the answer is not an error.
void sync_folder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  constexpr int kAttempts =
      100;  // a killed process of the same id may have left its file, a thread may be writing
  for (int attempt = 0; attempt < kAttempts && descriptor_ < 0; ++attempt) {
    temporary_path_ = fmt::format("{}.{}-{}.tmp", path_, getpid(), attempt);
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) break;
  }
  if (descriptor_ < 0) fail_with_errno("cannot create a temporary file beside it");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

void AtomicFile::fail_with_errno(const char* what) const {
  fail("{}: {}: {}", path_, what, std::strerror(errno));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with_errno("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::skip(int64_t bytes) {
  const off_t end = lseek(descriptor_, bytes, SEEK_CUR);
  if (end < 0 || ftruncate(descriptor_, end) != 0) fail_with_errno("cannot write");
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail_with_errno("cannot write to the disk");
  if (close(std::exchange(descriptor_, -1)) != 0) fail_with_errno("cannot write to the disk");
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) fail_with_errno("cannot replace the file");
  temporary_path_.clear();
  sync_folder(folder_of(path_));
}

AtomicFolder::AtomicFolder(const std::string& target) {
  if (target.empty()) fail("expected a folder, found an empty path");
  std::error_code error;
  if (std::filesystem::exists(target, error) &&
      !(std::filesystem::is_directory(target, error) && std::filesystem::is_empty(target, error)))
    fail("{}: expected a new or an empty folder, found {}", target,
         std::filesystem::is_directory(target, error) ? "one with files" : "a file");
  // Absolute and without a slash at the end, so that the new folder's name stands beside it.
  const std::filesystem::path absolute = std::filesystem::weakly_canonical(target, error);
  target_ = (absolute.has_filename() ? absolute : absolute.parent_path()).string();
  ensure_folder(folder_of(target_));
  temporary_path_ = fmt::format("{}.{}.tmp", target_, getpid());
  if (!std::filesystem::create_directory(temporary_path_, error))
    fail("{}: cannot create the folder: {}", temporary_path_, error ? error.message() : "it exists");
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_path_.empty()) std::filesystem::remove_all(temporary_path_, ignored);
}

void AtomicFolder::commit() {
  // rename() itself refuses a folder that has got files meanwhile.
  if (rename(temporary_path_.c_str(), target_.c_str()) != 0)
    fail("{}: cannot replace the folder: {}", target_, std::strerror(errno));
  temporary_path_.clear();
  sync_folder(folder_of(target_));
}

void AtomicFolder::commit_into(const std::string& folder, const std::string& last) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_path_))
    if (entry.path().filename() != last) names.push_back(entry.path().filename().string());
  names.push_back(last);
  for (const std::string& name : names) {
    const std::string place = folder + "/" + name;
    std::error_code error;
    if (std::filesystem::is_directory(place, error)) std::filesystem::remove_all(place, error);
    if (rename((temporary_path_ + "/" + name).c_str(), place.c_str()) != 0)
      fail("{}: cannot replace: {}", place, std::strerror(errno));
  }
  sync_folder(folder);
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void ensure_folder(const std::string& path) {
  if (path.empty()) fail("expected a folder, found an empty path");
  std::error_code error;
  std::filesystem::create_directories(path, error);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored))
    fail("{}: expected a folder, found a file", path);
  if (error) fail("{}: cannot create the folder: {}", path, error.message());
  if (access(path.c_str(), W_OK | X_OK) != 0)
    fail("{}: cannot write into the folder: {}", path, std::strerror(errno));
}

}  // namespace qsweep::io
