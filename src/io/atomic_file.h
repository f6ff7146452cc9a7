// Writing files so that a reader, or a later run, sees the old content or the whole new one, never a part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace qsweep::io {

// Collects the content in a temporary file of the same folder; commit() puts it in place of `path`. Without
// commit() the temporary file is removed and `path` stays as it was. Errors carry the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // So many zeros, which take no room on the disk where the file system has holes.
  void skip(int64_t bytes);
  // Once, last: the content is on the disk before it takes the name.
  void commit();

 private:
  [[noreturn]] void fail_with_errno(const char* what) const;

  std::string path_;
  std::string temporary_path_;
  int descriptor_ = -1;
};

// The same for a folder: files go into path(), a new folder beside `target`; commit() gives it the name, and
// commit_into() moves what is in it, each file and folder at once, into an existing one, over what has the
// same name there; `last` is moved last, so that all else is there with it.
// Error where `target` exists and is anything but an empty folder.
class AtomicFolder {
 public:
  explicit AtomicFolder(const std::string& target);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();

  const std::string& path() const { return temporary_path_; }
  void commit();
  void commit_into(const std::string& folder, const std::string& last);

 private:
  std::string target_;
  std::string temporary_path_;
};

void write_file_atomically(const std::string& path, std::string_view content);

// Creates the folder and its parents where they are missing. Error where something else has that name, or
// where the folder is not writable.
void ensure_folder(const std::string& path);

}  // namespace qsweep::io
