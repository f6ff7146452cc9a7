#include "image/decode.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/error.h"
#include "image/codecs.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

constexpr uintmax_t kMaxFileBytes = uintmax_t{1} << 30;

bool has_at(std::span<const std::byte> bytes, size_t offset, std::string_view text) {
  if (bytes.size() < offset + text.size()) return false;
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + offset, text.size()) == text;
}

bool is_jpeg(std::span<const std::byte> bytes) { return has_at(bytes, 0, "\xff\xd8\xff"); }
bool is_png(std::span<const std::byte> bytes) { return has_at(bytes, 0, "\x89PNG\r\n\x1a\n"); }
bool is_webp(std::span<const std::byte> bytes) {
  return has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP");
}

struct Codec {
  bool (*recognises)(std::span<const std::byte>);
  Decoded (*decode)(std::span<const std::byte>, int64_t max_pixels);
};
constexpr std::array<Codec, 3> kCodecs{
    {{is_jpeg, decode_jpeg}, {is_png, decode_png}, {is_webp, decode_webp}}};

Decoded decode_stored(std::span<const std::byte> bytes, int64_t max_pixels) {
  for (const Codec& codec : kCodecs)
    if (codec.recognises(bytes)) return codec.decode(bytes, max_pixels);
  std::string start;
  for (const std::byte b : bytes.first(std::min<size_t>(bytes.size(), 12)))
    start += fmt::format(" {:02x}", std::to_integer<int>(b));
  fail("expected a JPEG, PNG or WebP image, found {} bytes that start with{}", bytes.size(),
       start.empty() ? " nothing" : start);
}

std::vector<std::byte> read_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::is_regular_file(status))
    fail("expected an image file, found {}", !std::filesystem::exists(status)        ? "nothing of that name"
                                             : std::filesystem::is_directory(status) ? "a folder"
                                                                                     : "no regular file");
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail("cannot read the file: {}", error.message());
  if (size > kMaxFileBytes) fail("expected at most {} bytes, found {}", kMaxFileBytes, size);
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot open the file");
  std::vector<std::byte> bytes(size);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (!file) fail("cannot read the file: expected {} bytes, found {}", size, file.gcount());
  return bytes;
}

}  // namespace

void check_size(int64_t width, int64_t height, int64_t max_pixels) {
  if (width < 1 || height < 1) fail("the image is {} x {} pixels: it is empty", width, height);
  if (width > kMaxSide || height > kMaxSide || width * height > max_pixels)
    fail("the image is {} x {} pixels: at most {} on a side and {} in all are allowed", width, height,
         kMaxSide, max_pixels);
}

uint8_t* grow_to_row(RgbImage& image, int64_t y) {
  const auto row_bytes = static_cast<size_t>(image.width * 3);
  const size_t begin = static_cast<size_t>(y) * row_bytes;
  if (image.pixels.size() < begin + row_bytes) {
    image.pixels.reserve(static_cast<size_t>(image.height) * row_bytes);
    image.pixels.resize(begin + row_bytes);
  }
  return image.pixels.data() + begin;
}

RgbImage decode(std::span<const std::byte> bytes, const std::string& where, int64_t max_pixels) {
  return with_context(where, [&] {
    Decoded decoded = decode_stored(bytes, max_pixels);
    return apply_orientation(std::move(decoded.image), decoded.orientation);
  });
}

RgbImage load(const std::string& path) {
  return decode(with_context(path, [&] { return read_file(path); }), path);
}

}  // namespace qsweep::image
