// Read-only files in memory: pages are read when they are first touched and can be given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace qsweep::io {

// The path of the file that is mapped at this address, or null. Reading a page of a file that has shrunk ends
// in SIGBUS, so this may be called from its handler.
const char* mapped_file_at(const void* address) noexcept;

// A file mapped whole and shared; move-only.
class MappedFile {
 public:
  // Error where the file is missing, unreadable, empty, not a regular file, or a pointer of Git LFS.
  static MappedFile open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Error where the file has another size or time of change than when it was opened: then what was read of it
  // may be a mixture. One that was replaced by a new file is unchanged.
  void check_unchanged() const;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Drops all pages of `part` from the process's resident memory, and those around it that came with them; a
  // later read brings them back.
  void release(std::span<const std::byte> part) const;
  // Asks the system to read the pages of `part` ahead.
  void prefetch(std::span<const std::byte> part) const;
  // Brings the pages of `part` into resident memory in one call, where the system can: else every page costs
  // a fault of its own when it is first touched.
  void populate(std::span<const std::byte> part) const;

 private:
  // All pages that `part` touches.
  void advise_whole(std::span<const std::byte> part, int advice) const;
  MappedFile(std::string path, std::span<const std::byte> bytes, int descriptor, int64_t modified_ns);
  // Contract: `part` lies in the mapping.
  void check_inside(std::span<const std::byte> part) const;

  std::string path_;
  std::span<const std::byte> bytes_;
  int descriptor_ = -1;
  int64_t modified_ns_ = 0;  // when the file was last written to, as it was opened
};

}  // namespace qsweep::io
