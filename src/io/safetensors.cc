#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/checked.h"
#include "io/json.h"

namespace qsweep::io {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are used in the file's byte order");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

// The header's JSON text.
std::string_view header_text(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes)
    fail("expected a safetensors file, which starts with {} bytes of header length, found {} bytes",
         kLengthBytes, file.size());
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kMaxHeaderBytes)
    fail("expected a safetensors header of at most {} bytes, found a length of {}", kMaxHeaderBytes, length);
  if (length > file.size() - kLengthBytes)
    fail("expected a safetensors header of {} bytes, found {} bytes after the length: is the file truncated?",
         length, file.size() - kLengthBytes);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (!text.starts_with('{')) fail("expected a safetensors header that starts with '{{'");
  return text;
}

std::map<std::string, std::string> parse_metadata(const Json& json) {
  const ObjectReader reader(json, "__metadata__");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) fail("__metadata__: \"{}\": expected a string, found {}", key, value.type_name());
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

DType parse_dtype(const std::string& name) {
  const auto dtype = dtype_from_safetensors(name);
  if (!dtype) fail("dtype \"{}\" is not supported", name);
  return *dtype;
}

// Error unless dtype and shape fill [begin, end), a part of the data section.
void check_extent(const TensorEntry& entry, int64_t data_bytes) {
  if (entry.begin < 0 || entry.begin > entry.end || entry.end > data_bytes)
    fail("expected data_offsets within the {} bytes of data, found [{}, {}]: is the file truncated?",
         data_bytes, entry.begin, entry.end);
  const int64_t bits = checked_mul<int64_t>(element_count(entry.shape), info(entry.dtype).bits);
  if (bits % 8 != 0 || bits / 8 != entry.end - entry.begin)
    fail("expected {} bits for {} {}, found {} bytes", bits, name(entry.dtype), to_string(entry.shape),
         entry.end - entry.begin);
}

TensorEntry parse_entry(const std::string& name, const Json& json, int64_t data_bytes) {
  return with_context("tensor \"" + name + "\"", [&] {
    const ObjectReader reader(json, "header");
    const auto offsets = reader.integers("data_offsets");
    if (offsets.size() != 2) fail("expected two data_offsets, found {}", offsets.size());
    TensorEntry entry{name, parse_dtype(reader.string("dtype")), reader.integers("shape"), offsets[0],
                      offsets[1]};
    check_extent(entry, data_bytes);
    return entry;
  });
}

// `entries` are sorted by place: each must begin where the one before it ends, the last end with the data.
void check_tiling(const std::vector<TensorEntry>& entries, int64_t data_bytes) {
  int64_t covered = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.begin < covered)
      fail("tensor \"{}\" begins at byte {}, inside the tensor before it, which ends at {}", entry.name,
           entry.begin, covered);
    if (entry.begin > covered)
      fail("bytes {} to {} of the data belong to no tensor (before \"{}\")", covered, entry.begin,
           entry.name);
    covered = entry.end;
  }
  if (covered != data_bytes) fail("bytes {} to {} of the data belong to no tensor", covered, data_bytes);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& where) {
  return with_context(where, [&] {
    const std::string_view text = header_text(file);
    const Json json = parse_json(text, "safetensors header");
    SafetensorsHeader header;
    header.data_begin = static_cast<int64_t>(kLengthBytes + text.size());
    const int64_t data_bytes = checked_cast<int64_t>(file.size()) - header.data_begin;
    for (const auto& [name, value] : json.items()) {
      if (name == "__metadata__") {
        header.metadata = parse_metadata(value);
      } else {
        header.entries.push_back(parse_entry(name, value, data_bytes));
      }
    }
    const auto place = [](const TensorEntry& e) { return std::tie(e.begin, e.end); };
    std::sort(header.entries.begin(), header.entries.end(),
              [&](const TensorEntry& a, const TensorEntry& b) { return place(a) < place(b); });
    check_tiling(header.entries, data_bytes);
    return header;
  });
}

SafetensorsFile::SafetensorsFile(MappedFile file, SafetensorsHeader header)
    : file_(std::move(file)), header_(std::move(header)) {
  for (size_t i = 0; i < header_.entries.size(); ++i) index_of_.emplace(header_.entries[i].name, i);
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  MappedFile file = MappedFile::open(path);
  SafetensorsHeader header = parse_safetensors_header(file.bytes(), path);
  return {std::move(file), std::move(header)};
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto it = index_of_.find(name);
  return it == index_of_.end() ? nullptr : &header_.entries[it->second];
}

TensorView SafetensorsFile::view(const TensorEntry& entry) const {
  const int64_t place = header_.data_begin + entry.begin, alignment = size_bytes(entry.dtype);
  if (place % alignment != 0)
    fail(
        "{}: tensor \"{}\" is not aligned: expected a multiple of {} for {}, found byte {} of the file; "
        "writing the file again with a current safetensors library repairs it",
        file_.path(), entry.name, alignment, name(entry.dtype), place);
  return {entry.dtype, entry.shape, file_.bytes().data() + place};
}

std::span<const std::byte> SafetensorsFile::header_bytes() const {
  return file_.bytes().first(static_cast<size_t>(header_.data_begin));
}

}  // namespace qsweep::io
