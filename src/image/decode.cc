#include "image/decode.h"

#include <algorithm>
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

struct ImageFormat {
  bool (*recognises)(std::span<const std::byte>);
  std::unique_ptr<ImageReader> (*open)(std::span<const std::byte>, int64_t max_pixels);
};
constexpr std::array<ImageFormat, 3> kFormats{
    {{is_jpeg, open_jpeg}, {is_png, open_png}, {is_webp, open_webp}}};

// What a file that is no image may be. Its bytes are not quoted: they may be anybody's.
struct OtherFormat {
  std::string_view start;
  std::string_view name;
};
constexpr std::array<OtherFormat, 9> kOthers{
    {{"GIF8", "a GIF image"},
     {"BM", "a BMP image"},
     {"II*\0", "a TIFF image"},
     {"MM\0*", "a TIFF image"},
     {"%PDF", "a PDF document"},
     {"version https://git-lfs", "a Git LFS pointer: run git lfs pull"},
     {"<svg", "an SVG image"},
     {"<!DOCTYPE html", "a page of HTML"},
     {"<html", "a page of HTML"}}};

}  // namespace

std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, int64_t max_pixels) {
  for (const ImageFormat& format : kFormats)
    if (format.recognises(bytes)) return format.open(bytes, max_pixels);
  for (const OtherFormat& other : kOthers)
    if (has_at(bytes, 0, other.start)) fail("expected a JPEG, PNG or WebP image, found {}", other.name);
  fail("expected a JPEG, PNG or WebP image, found {} bytes that start as none of them does", bytes.size());
}

std::vector<std::byte> read_image_file(const std::string& path) {
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

void check_size(int64_t width, int64_t height, int64_t max_pixels) {
  if (width < 1 || height < 1) fail("the image is {} x {} pixels: it is empty", width, height);
  if (width > kMaxSide || height > kMaxSide || width * height > max_pixels)
    fail("the image is {} x {} pixels: at most {} on a side and {} in all are allowed", width, height,
         kMaxSide, max_pixels);
}

uint32_t read_be(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (const std::byte b : bytes) value = value << 8 | std::to_integer<uint32_t>(b);
  return value;
}

RgbImage decode(std::span<const std::byte> bytes, const std::string& where, int64_t max_pixels) {
  return with_context(where, [&] {
    const std::unique_ptr<ImageReader> reader = open_image(bytes, max_pixels);
    RgbImage image{.width = reader->width(), .height = reader->height(), .pixels = {}};
    // Grown row by row, so that a small damaged file with a large header does not cost a large image.
    reader->read_rows(
        [&](const uint8_t* rgb) { image.pixels.insert(image.pixels.end(), rgb, rgb + image.width * 3); });
    return apply_orientation(std::move(image), reader->orientation());
  });
}

}  // namespace qsweep::image
