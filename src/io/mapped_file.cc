#include "io/mapped_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
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
  int release() { return std::exchange(number, -1); }
};

// Where files are mapped, for a signal's handler, which can take no lock and allocate nothing. A file that
// finds no free slot is not known to it.
struct Slot {
  std::atomic<uintptr_t> begin{0};  // 0: free; 1: being filled
  std::atomic<uintptr_t> end{0};
  std::array<char, 512> path{};
};
std::array<Slot, 256> slots;

void remember(std::span<const std::byte> bytes, const std::string& path) {
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  for (Slot& slot : slots) {
    uintptr_t free = 0;
    if (!slot.begin.compare_exchange_strong(free, 1)) continue;
    const size_t skipped = path.size() < slot.path.size() ? 0 : path.size() - slot.path.size() + 1;
    *std::copy(path.begin() + static_cast<std::ptrdiff_t>(skipped), path.end(), slot.path.begin()) = '\0';
    slot.end = begin + bytes.size();
    slot.begin = begin;
    return;
  }
}

void forget(std::span<const std::byte> bytes) {
  for (Slot& slot : slots)
    if (slot.begin == reinterpret_cast<uintptr_t>(bytes.data())) {
      slot.end = 0;
      slot.begin = 0;
      return;
    }
}

int64_t modified_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

// Calls madvise on the pages [first, last); advice may be refused without harm.
void advise(uintptr_t first, uintptr_t last, int advice) {
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
}

// A file of the pointer's few lines stands where Git LFS has not brought the content.
void refuse_lfs_pointer(std::string_view text, const std::string& path) {
  if (text.starts_with("version https://git-lfs.github.com/spec/"))
    fail("{}: found a Git LFS pointer; the file itself has not been downloaded (git lfs pull does it)", path);
}

// A fault on a page in the cache brings the others of as many bytes around it too (fault_around_bytes).
constexpr uintptr_t kFaultBytes = uintptr_t{64} << 10;

uintptr_t page_bytes() { return static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

const char* mapped_file_at(const void* address) noexcept {
  const auto place = reinterpret_cast<uintptr_t>(address);
  for (const Slot& slot : slots)
    if (slot.begin > 1 && slot.begin <= place && place < slot.end) return slot.path.data();
  return nullptr;
}

MappedFile MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
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
  MappedFile mapped(path, {static_cast<const std::byte*>(start), size}, file.release(), modified_ns(status));
  refuse_lfs_pointer({static_cast<const char*>(start), size}, path);
  return mapped;
}

MappedFile::MappedFile(std::string path, std::span<const std::byte> bytes, int descriptor,
                       int64_t modified_ns)
    : path_(std::move(path)), bytes_(bytes), descriptor_(descriptor), modified_ns_(modified_ns) {
  remember(bytes_, path_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      modified_ns_(other.modified_ns_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(modified_ns_, other.modified_ns_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget(bytes_);
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  close(descriptor_);
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0)
    fail("{}: cannot look at the file again: {}", path_, std::strerror(errno));
  const auto size = static_cast<size_t>(status.st_size);
  if (size != bytes_.size())
    fail("{}: the file has changed while it was in use: expected {} bytes as before, found {}", path_,
         bytes_.size(), size);
  if (modified_ns(status) != modified_ns_)
    fail("{}: the file has changed while it was in use: it was written to", path_);
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
  const auto begin = reinterpret_cast<uintptr_t>(bytes_.data());
  const uintptr_t end = (begin + bytes_.size() + page - 1) / page * page;
  advise(std::max(begin, (first - kFaultBytes) / page * page), std::min(end, last + kFaultBytes),
         MADV_DONTNEED);
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
