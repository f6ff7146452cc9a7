#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <png.h>

#include "image/codecs.h"
#include "image/orientation.h"
#include "image/trap.h"

namespace qsweep::image {
namespace {

// Compressed text may grow to 8 MB a chunk (libpng's own limit); what comes after this many chunks is not
// kept.
constexpr int kMaxTexts = 32;

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::span<const std::byte> rest;  // of the file
  Trap trap;

  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void jump_out(png_structp png, png_const_charp text) {
  Trap& trap = static_cast<Reader*>(png_get_error_ptr(png))->trap;
  std::snprintf(trap.message, sizeof trap.message, "damaged PNG data: %s", text);
  std::longjmp(trap.jump, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto& rest = static_cast<Reader*>(png_get_io_ptr(png))->rest;
  if (rest.size() < count) png_error(png, "the file ends early");
  std::memcpy(out, rest.data(), count);
  rest = rest.subspan(count);
}

// Error unless every chunk up to IEND lies inside the file. libpng allocates what some chunks claim before it
// reads them.
void check_chunks(std::span<const std::byte> bytes) {
  constexpr size_t kSignatureBytes = 8, kAroundData = 12;  // length, name and checksum
  std::span<const std::byte> rest = bytes.subspan(kSignatureBytes);
  while (rest.size() >= kAroundData) {
    uint32_t length = 0;
    for (const std::byte b : rest.first(4)) length = length << 8 | std::to_integer<uint32_t>(b);
    if (length > rest.size() - kAroundData) break;
    if (std::memcmp(rest.data() + 4, "IEND", 4) == 0) return;
    rest = rest.subspan(kAroundData + length);
  }
  fail("damaged PNG data: the chunk at byte {} is not complete", bytes.size() - rest.size());
}

void open(Reader& reader) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, jump_out, ignore_warning);
  if (reader.png == nullptr)
    fail("libpng cannot start: out of memory or another version than compiled against");
  run_trapped(reader.trap, [&] {
    reader.info = png_create_info_struct(reader.png);
    png_set_read_fn(reader.png, &reader, read_bytes);
    png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(reader.png, kMaxSide, kMaxSide);
    png_set_chunk_cache_max(reader.png, kMaxTexts);
    png_read_info(reader.png, reader.info);
  });
}

bool is_grey16(const Reader& reader) {
  return png_get_color_type(reader.png, reader.info) == PNG_COLOR_TYPE_GRAY &&
         png_get_bit_depth(reader.png, reader.info) == 16;
}

// Has libpng hand over RGB rows, except for 16-bit grey: expand_grey16.
void choose_rows(Reader& reader) {
  if (is_grey16(reader)) return;
  const int colour = png_get_color_type(reader.png, reader.info);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader.png);
  if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(reader.png);
  png_set_strip_16(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_gray_to_rgb(reader.png);
}

// Pillow clips 16-bit grey to 255. Turns the big-endian values at the front of a row into RGB, in place; from
// the right, so that nothing is overwritten before it is read.
void expand_grey16(uint8_t* row, int64_t width) {
  for (int64_t x = width - 1; x >= 0; --x) {
    const bool above_255 = row[2 * x] != 0;
    std::fill_n(row + 3 * x, 3, above_255 ? uint8_t{255} : row[2 * x + 1]);
  }
}

void read_rows(Reader& reader, RgbImage& image) {
  const bool grey16 = is_grey16(reader);
  run_trapped(reader.trap, [&] {
    choose_rows(reader);
    const int passes = png_set_interlace_handling(reader.png);
    png_read_update_info(reader.png, reader.info);
    const size_t row_bytes = png_get_rowbytes(reader.png, reader.info);
    QSWEEP_CHECK(row_bytes == static_cast<size_t>(image.width * (grey16 ? 2 : 3)),
                 "{} bytes for a row of {} pixels", row_bytes, image.width);
    for (int pass = 0; pass < passes; ++pass)
      for (int64_t y = 0; y < image.height; ++y) png_read_row(reader.png, grow_to_row(image, y), nullptr);
    png_read_end(reader.png, reader.info);
  });
  if (!grey16) return;
  for (int64_t y = 0; y < image.height; ++y) expand_grey16(grow_to_row(image, y), image.width);
}

// The text of a tEXt, zTXt or iTXt chunk; empty where there is none.
std::string_view text_of(const Reader& reader, std::string_view key) {
  png_textp texts = nullptr;
  const int count = png_get_text(reader.png, reader.info, &texts, nullptr);
  for (int i = 0; i < count; ++i)
    if (texts[i].key == key && texts[i].text != nullptr) return texts[i].text;
  return {};
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// ImageMagick's older way to store EXIF: "\nexif\n", the size, a newline, then hexadecimal digits in lines.
std::string exif_of_raw_profile(std::string_view profile) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = profile.find('\n');
    profile = end == std::string_view::npos ? std::string_view() : profile.substr(end + 1);
  }
  std::string exif;
  std::optional<unsigned> high;
  for (const char c : profile) {
    const std::optional<unsigned> digit = hex_digit(c);
    if (!digit) continue;
    if (high) exif += static_cast<char>(*high << 4 | *digit);
    high = high ? std::nullopt : digit;
  }
  return exif;
}

int orientation_of(const Reader& reader) {
  const std::string_view xmp = text_of(reader, "XML:com.adobe.xmp");
  png_uint_32 exif_bytes = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &exif_bytes, &exif) != 0)
    return read_orientation(std::as_bytes(std::span(exif, exif_bytes)), xmp);
  const std::string_view profile = text_of(reader, "Raw profile type exif");
  const std::string raw = profile.empty() ? std::string() : exif_of_raw_profile(profile);
  return read_orientation(std::as_bytes(std::span(raw)), xmp);
}

}  // namespace

Decoded decode_png(std::span<const std::byte> bytes, int64_t max_pixels) {
  check_chunks(bytes);
  Reader reader;
  reader.rest = bytes;
  open(reader);
  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  check_size(width, height, max_pixels);
  Decoded decoded{.image = {.width = width, .height = height, .pixels = {}}, .orientation = 1};
  read_rows(reader, decoded.image);
  decoded.orientation = orientation_of(reader);  // the chunks may come after the pixels
  return decoded;
}

}  // namespace qsweep::image
