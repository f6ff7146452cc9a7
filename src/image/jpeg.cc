#include <cstdio>  // jpeglib.h needs FILE
#include <cstring>
#include <string>

#include <jerror.h>
#include <jpeglib.h>

#include "image/codecs.h"
#include "image/orientation.h"
#include "image/trap.h"

namespace qsweep::image {
namespace {

// A legitimate progressive file has about ten scans; each one costs a pass over the whole image.
constexpr int kMaxScans = 100;

struct Reader {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  Trap trap;

  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { jpeg_destroy_decompress(&jpeg); }
};

Reader& reader_of(j_common_ptr jpeg) { return *static_cast<Reader*>(jpeg->client_data); }

[[noreturn]] void jump_out(j_common_ptr jpeg) {
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  Trap& trap = reader_of(jpeg).trap;
  std::snprintf(trap.message, sizeof trap.message, "damaged JPEG data: %s", text);
  std::longjmp(trap.jump, 1);
}

// A warning (level -1) means that libjpeg goes on with invented pixels, except for these, which lose nothing.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM ||
      code == JWRN_BOGUS_ICC)
    return;
  jump_out(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  const int scans = reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number;
  if (scans <= kMaxScans) return;
  Trap& trap = reader_of(jpeg).trap;
  std::snprintf(trap.message, sizeof trap.message, "the JPEG file has more than %d scans", kMaxScans);
  std::longjmp(trap.jump, 1);
}

void open(Reader& reader, std::span<const std::byte> bytes) {
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = jump_out;
  reader.errors.emit_message = on_message;
  reader.errors.output_message = [](j_common_ptr) {};
  reader.progress.progress_monitor = on_progress;
  jpeg.client_data = &reader;
  run_trapped(reader.trap, [&] {
    jpeg_create_decompress(&jpeg);  // keeps err and client_data
    jpeg.progress = &reader.progress;
    jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&jpeg, TRUE);
  });
}

int orientation_of(const jpeg_decompress_struct& jpeg) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::string exif;  // may be spread over several segments
  std::string_view xmp;
  for (const jpeg_marker_struct* marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.starts_with(kExif)) exif += data.substr(kExif.size());
    if (data.starts_with(kXmp)) xmp = data.substr(kXmp.size());
  }
  return read_orientation(std::as_bytes(std::span(exif)), xmp);
}

// x * y / 255, rounded.
int scaled(int x, int y) {
  const int product = x * y + 128;
  return ((product >> 8) + product) >> 8;
}

// Four-component files are read as Adobe writes them, inverted, whether they say so or not; no colour
// profile.
void from_inverted_cmyk(const uint8_t* cmyk, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int white = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int ink = 255 - cmyk[c];
      rgb[c] = static_cast<uint8_t>(white - scaled(ink, white));
    }
  }
}

void read_rows(Reader& reader, RgbImage& image) {
  jpeg_decompress_struct& jpeg = reader.jpeg;
  const bool cmyk = jpeg.num_components == 4;
  jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  std::vector<uint8_t> ink(cmyk ? static_cast<size_t>(image.width) * 4 : 0);
  run_trapped(reader.trap, [&] {
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
      uint8_t* pixels = grow_to_row(image, jpeg.output_scanline);
      JSAMPROW row = cmyk ? ink.data() : pixels;
      jpeg_read_scanlines(&jpeg, &row, 1);
      if (cmyk) from_inverted_cmyk(ink.data(), image.width, pixels);
    }
    jpeg_finish_decompress(&jpeg);
  });
}

}  // namespace

Decoded decode_jpeg(std::span<const std::byte> bytes, int64_t max_pixels) {
  Reader reader;
  open(reader, bytes);
  const jpeg_decompress_struct& jpeg = reader.jpeg;
  check_size(jpeg.image_width, jpeg.image_height, max_pixels);
  if (jpeg.num_components != 1 && jpeg.num_components != 3 && jpeg.num_components != 4)
    fail("a JPEG image of {} components is not supported; supported: 1, 3, 4", jpeg.num_components);
  Decoded decoded{.image = {.width = jpeg.image_width, .height = jpeg.image_height, .pixels = {}},
                  .orientation = orientation_of(jpeg)};
  read_rows(reader, decoded.image);
  return decoded;
}

}  // namespace qsweep::image
