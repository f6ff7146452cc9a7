#include "image/orientation.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/error.h"

namespace qsweep::image {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr size_t kEntryBytes = 12;
constexpr uint32_t kOrientationTag = 0x0112;

// Of TIFF, those that Pillow knows. Signed ones are read as unsigned: a negative orientation is none.
struct FieldType {
  uint32_t code;
  uint64_t bytes;
  bool integer;
};
constexpr FieldType kFieldTypes[] = {{1, 1, false}, {2, 1, false},  {3, 2, true},   {4, 4, true},
                                     {5, 8, false}, {6, 1, true},   {7, 1, false},  {8, 2, true},
                                     {9, 4, true},  {10, 8, false}, {11, 4, false}, {12, 8, false},
                                     {13, 4, true}, {16, 8, false}};

// Reads integers of a TIFF block; nothing outside it.
class TiffReader {
 public:
  TiffReader(std::span<const std::byte> bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  bool contains(size_t at, uint64_t size) const { return at <= bytes_.size() && size <= bytes_.size() - at; }
  std::optional<uint32_t> u16(size_t at) const { return integer(at, 2); }
  std::optional<uint32_t> u32(size_t at) const { return integer(at, 4); }
  std::optional<uint32_t> integer(size_t at, size_t size) const {
    if (!contains(at, size)) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i)
      value = value << 8 | std::to_integer<uint32_t>(bytes_[at + (big_endian_ ? i : size - 1 - i)]);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool big_endian_;
};

std::span<const std::byte> without_exif_prefix(std::span<const std::byte> exif) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  // Some writers put the prefix twice.
  for (int i = 0; i < 2; ++i)
    if (exif.size() >= kPrefix.size() && std::memcmp(exif.data(), kPrefix.data(), kPrefix.size()) == 0)
      exif = exif.subspan(kPrefix.size());
  return exif;
}

// Byte order by the first four bytes. The magic number 42 is also found in the wrong order in real files.
bool is_big_endian(std::span<const std::byte> tiff) {
  if (tiff.size() >= kHeaderBytes) {
    const std::string_view magic(reinterpret_cast<const char*>(tiff.data()), 4);
    if (magic == std::string_view("MM\0*", 4) || magic == std::string_view("MM*\0", 4)) return true;
    if (magic == std::string_view("II*\0", 4) || magic == std::string_view("II\0*", 4)) return false;
  }
  fail("the EXIF block: expected a TIFF header, found {} bytes without one", tiff.size());
}

// The first value of the directory entry at `entry`, if it lies inside the block; 0 where it is no integer.
// Values of more than four bytes lie elsewhere.
std::optional<int> value_of(const TiffReader& reader, size_t entry) {
  const uint32_t code = reader.u16(entry + 2).value_or(0);
  const uint64_t count = reader.u32(entry + 4).value_or(0);
  const auto* const type = std::ranges::find(kFieldTypes, code, &FieldType::code);
  if (type == std::end(kFieldTypes) || count == 0) return std::nullopt;
  const uint64_t bytes = count * type->bytes;
  const size_t at = bytes <= 4 ? entry + 8 : reader.u32(entry + 8).value_or(0);
  if (!reader.contains(at, bytes)) return std::nullopt;
  if (!type->integer) return 0;
  return static_cast<int>(std::min(*reader.integer(at, type->bytes), 0xffffu));
}

std::optional<int> orientation_of_exif(std::span<const std::byte> exif) {
  const std::span<const std::byte> tiff = without_exif_prefix(exif);
  if (tiff.empty()) return std::nullopt;
  const TiffReader reader(tiff, is_big_endian(tiff));
  const size_t directory = *reader.u32(4);
  const uint32_t entries = reader.u16(directory).value_or(0);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (!reader.contains(entry, kEntryBytes)) return std::nullopt;
    if (reader.u16(entry) != kOrientationTag) continue;
    if (const std::optional<int> value = value_of(reader, entry)) return value;
  }
  return std::nullopt;
}

// XMP is XML; the property is written as an attribute or as an element.
std::optional<int> orientation_of_xmp(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

constexpr std::array<Turn, 9> kTurns{{{false, false, false},
                                      {false, false, false},
                                      {false, true, false},
                                      {false, true, true},
                                      {false, false, true},
                                      {true, false, false},
                                      {true, false, true},
                                      {true, true, true},
                                      {true, true, false}}};

}  // namespace

int read_orientation(std::span<const std::byte> exif, std::string_view xmp) {
  std::optional<int> orientation = orientation_of_exif(exif);
  if (!orientation) orientation = orientation_of_xmp(xmp);
  return orientation && *orientation >= 1 && *orientation <= 8 ? *orientation : 1;
}

Turn turn_of(int orientation) {
  QSWEEP_CHECK(orientation >= 1 && orientation <= 8, "orientation is {}", orientation);
  return kTurns[static_cast<size_t>(orientation)];
}

RgbImage apply_orientation(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  const Turn turn = turn_of(orientation);
  RgbImage upright{.width = turn.transpose ? image.height : image.width,
                   .height = turn.transpose ? image.width : image.height,
                   .pixels = std::vector<uint8_t>(image.pixels.size())};
  uint8_t* out = upright.pixels.data();
  for (int64_t y = 0; y < upright.height; ++y) {
    for (int64_t x = 0; x < upright.width; ++x, out += 3) {
      int64_t stored_x = turn.transpose ? y : x;
      int64_t stored_y = turn.transpose ? x : y;
      if (turn.mirror_x) stored_x = image.width - 1 - stored_x;
      if (turn.mirror_y) stored_y = image.height - 1 - stored_y;
      std::copy_n(image.pixels.data() + (stored_y * image.width + stored_x) * 3, 3, out);
    }
  }
  return upright;
}

}  // namespace qsweep::image
