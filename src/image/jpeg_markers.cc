#include "image/jpeg_markers.h"

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "image/codecs.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

constexpr std::string_view kExif("Exif\0\0", 6);
constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
constexpr std::string_view kJfif("JFIF", 4);

class Walk {
 public:
  explicit Walk(std::span<const std::byte> file) : file_(file) {}

  JpegMarkers run();

 private:
  std::optional<int> next() {
    if (at_ == file_.size()) return std::nullopt;
    return std::to_integer<int>(file_[at_++]);
  }
  std::span<const std::byte> segment();
  void read(int marker, std::span<const std::byte> data);
  void read_frame(std::span<const std::byte> data);
  void check_quantization(std::span<const std::byte> data) const;
  int orientation() const;

  std::span<const std::byte> file_;
  size_t at_ = 2;
  JpegMarkers markers_;
  std::string exif_;  // may be spread over several segments
  std::string_view xmp_;
  bool has_resolution_ = false;
};

// Markers with data behind them: all but the restart markers, start, end and the reserved ones.
bool has_segment(int marker) {
  return (marker >= 0xc0 && marker <= 0xef && marker != 0xc8 && !(marker >= 0xd0 && marker <= 0xd9)) ||
         marker == 0xfe;
}
bool is_frame(int marker) {
  return (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) ||
         marker == 0xde;
}

JpegMarkers Walk::run() {
  constexpr int kScan = 0xda;
  for (std::optional<int> byte = next(); byte; byte = next()) {
    if (*byte != 0xff) continue;  // junk between segments
    std::optional<int> marker = next();
    while (marker == 0xff) marker = next();  // padding
    if (!marker) break;
    if (*marker == 0) continue;
    if (*marker < 0xc0) fail("damaged JPEG data: {:#04x} is no marker", *marker);
    if (!has_segment(*marker)) continue;
    read(*marker, segment());
    if (*marker != kScan) continue;
    markers_.orientation = orientation();
    markers_.metadata_bytes = static_cast<int64_t>(2 * exif_.size());
    return markers_;
  }
  fail("damaged JPEG data: the file ends before its pixels");
}

std::span<const std::byte> Walk::segment() {
  const size_t left = file_.size() - at_;
  const size_t length = left >= 2 ? read_be(file_.subspan(at_, 2)) : 0;
  if (length > left || left < 2) fail("damaged JPEG data: the segment at byte {} is not complete", at_);
  const auto data = file_.subspan(at_ + 2, length < 2 ? 0 : length - 2);
  at_ += 2 + data.size();
  return data;
}

void Walk::read(int marker, std::span<const std::byte> data) {
  const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
  if (is_frame(marker)) read_frame(data);
  if (marker == 0xdb) check_quantization(data);
  if (marker == 0xe0 && text.starts_with(kJfif)) {
    if (data.size() < 7) fail("damaged JPEG data: the JFIF segment is too short");
    has_resolution_ = data.size() >= 12 && (text[7] == 1 || text[7] == 2);
  }
  if (marker == 0xe1 && text.starts_with(kExif)) exif_ += text.substr(kExif.size());
  if (marker == 0xe1 && text.starts_with(kXmp)) xmp_ = text.substr(kXmp.size());
}

void Walk::read_frame(std::span<const std::byte> data) {
  if (data.size() < 6) fail("damaged JPEG data: the frame's segment is too short");
  const int bits = std::to_integer<int>(data[0]);
  if (bits != 8) fail("a JPEG image of {} bits is not supported; supported: 8", bits);
  markers_.height = read_be(data.subspan(1, 2));
  markers_.width = read_be(data.subspan(3, 2));
  markers_.components = std::to_integer<int>(data[5]);
  if (markers_.components != 1 && markers_.components != 3 && markers_.components != 4)
    fail("a JPEG image of {} components is not supported; supported: 1, 3, 4", markers_.components);
  if ((data.size() - 6) % 3 != 0) fail("damaged JPEG data: the frame's segment is cut");
}

void Walk::check_quantization(std::span<const std::byte> data) const {
  while (!data.empty()) {
    const size_t bytes = 1 + (std::to_integer<int>(data[0]) < 16 ? size_t{64} : size_t{128});
    if (data.size() < bytes) fail("damaged JPEG data: a quantization table is cut");
    data = data.subspan(bytes);
  }
}

// Pillow has looked into the EXIF block already where the file gives no resolution otherwise, and does not
// mind then that it is none.
int Walk::orientation() const {
  try {
    return read_orientation(std::as_bytes(std::span(exif_)), xmp_);
  } catch (const Error&) {
    if (has_resolution_) throw;
    return 1;
  }
}

}  // namespace

JpegMarkers read_jpeg_markers(std::span<const std::byte> file) { return Walk(file).run(); }

}  // namespace qsweep::image
