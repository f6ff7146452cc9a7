// Read-only files in memory: pages are read when they are first touched and can be given back.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace qsweep::io {

// A file mapped whole and shared; move-only. The file must not be truncated while it is mapped.
class MappedFile {
 public:
  // Error where the file is missing, unreadable, empty, or not a regular file.
  static MappedFile open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Drops the whole pages inside `part` from the process's resident memory; a later read brings them back.
  void release(std::span<const std::byte> part) const;
  // Asks the system to read the pages of `part` ahead.
  void prefetch(std::span<const std::byte> part) const;
  // Brings the pages of `part` into resident memory in one call, where the system can: else every page costs
  // a fault of its own when it is first touched.
  void populate(std::span<const std::byte> part) const;

 private:
  // All pages that `part` touches.
  void advise_whole(std::span<const std::byte> part, int advice) const;
  MappedFile(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}
  // Contract: `part` lies in the mapping.
  void check_inside(std::span<const std::byte> part) const;

  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace qsweep::io
