#include "io/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace qsweep::io {
namespace {

struct FileDescriptor {
  int number;
  ~FileDescriptor() {
    if (number >= 0) close(number);
  }
};

// Calls madvise on the pages [first, last); advice may be refused without harm.
void advise(uintptr_t first, uintptr_t last, int advice) {
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
}

uintptr_t page_bytes() { return static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) fail("{}: cannot open the file: {}", path, std::strerror(errno));
  struct stat status {};
  if (fstat(file.number, &status) != 0)
    fail("{}: cannot read the file's size: {}", path, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail("{}: expected a file, found a folder", path);
  if (!S_ISREG(status.st_mode)) fail("{}: expected a regular file, found a device, pipe or socket", path);
  if (status.st_size == 0) fail("{}: the file is empty", path);

  const auto size = static_cast<size_t>(status.st_size);
  const void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (start == MAP_FAILED) fail("{}: cannot map {} bytes: {}", path, size, std::strerror(errno));
  return {path, {static_cast<const std::byte*>(start), size}};
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::check_inside(std::span<const std::byte> part) const {
  QSWEEP_CHECK(part.data() >= bytes_.data() && part.data() + part.size() <= bytes_.data() + bytes_.size(),
               "the part is not in {}", path_);
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.empty()) return;
  check_inside(part);
  const uintptr_t page = page_bytes();
  const auto first = reinterpret_cast<uintptr_t>(part.data()), last = first + part.size();
  advise((first + page - 1) / page * page, last / page * page, MADV_DONTNEED);
}

void MappedFile::advise_whole(std::span<const std::byte> part, int advice) const {
  if (part.empty()) return;
  check_inside(part);
  const uintptr_t page = page_bytes();
  const auto first = reinterpret_cast<uintptr_t>(part.data()), last = first + part.size();
  advise(first / page * page, (last + page - 1) / page * page, advice);
}

void MappedFile::prefetch(std::span<const std::byte> part) const { advise_whole(part, MADV_WILLNEED); }

void MappedFile::populate(std::span<const std::byte> part) const {
#ifdef MADV_POPULATE_READ  // since Linux 5.14
  advise_whole(part, MADV_POPULATE_READ);
#else
  check_inside(part);
#endif
}

}  // namespace qsweep::io
