#include <algorithm>
#include <cstdio>  // jpeglib.h needs FILE
#include <string>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "image/codecs.h"
#include "image/jpeg_markers.h"
#include "image/trap.h"

namespace qsweep::image {
namespace {

// A legitimate progressive file has about ten scans; each one costs a pass over the whole image.
constexpr int kMaxScans = 100;

struct JpegDecoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  Trap trap;
  char damage[JMSG_LENGTH_MAX] = "";

  JpegDecoder() = default;
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&jpeg); }
};

JpegDecoder& codec_of(j_common_ptr jpeg) { return *static_cast<JpegDecoder*>(jpeg->client_data); }

[[noreturn]] void jump_out(j_common_ptr jpeg) {
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  Trap& trap = codec_of(jpeg).trap;
  std::snprintf(trap.message, sizeof trap.message, "damaged JPEG data: %s", text);
  std::longjmp(trap.jump, 1);
}

// A warning (level -1) means that libjpeg goes on, often with invented pixels. Three of them have nothing to
// do with the pixels.
void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  JpegDecoder& codec = codec_of(jpeg);
  if (level >= 0 || codec.damage[0] != '\0' || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM ||
      code == JWRN_BOGUS_ICC)
    return;
  jpeg->err->format_message(jpeg, codec.damage);
}

void on_progress(j_common_ptr jpeg) {
  const int scans = reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number;
  if (scans <= kMaxScans) return;
  Trap& trap = codec_of(jpeg).trap;
  std::snprintf(trap.message, sizeof trap.message, "the JPEG file has more than %d scans", kMaxScans);
  std::longjmp(trap.jump, 1);
}

// The whole file is in the buffer. Where it ends, libjpeg is told to wait for more, as Pillow does: it then
// invents nothing.
jpeg_source_mgr source_of(std::span<const std::byte> bytes) {
  jpeg_source_mgr source{};
  source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
  source.bytes_in_buffer = bytes.size();
  source.init_source = [](j_decompress_ptr) {};
  source.fill_input_buffer = [](j_decompress_ptr) -> boolean { return FALSE; };
  source.skip_input_data = [](j_decompress_ptr jpeg, long count) {
    const size_t skipped = std::min(static_cast<size_t>(std::max(count, 0L)), jpeg->src->bytes_in_buffer);
    jpeg->src->next_input_byte += skipped;
    jpeg->src->bytes_in_buffer -= skipped;
  };
  source.resync_to_restart = jpeg_resync_to_restart;
  source.term_source = [](j_decompress_ptr) {};
  return source;
}

[[noreturn]] void fail_early_end() { fail("damaged JPEG data: the file ends before its last pixels"); }

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

class JpegReader : public ImageReader {
 public:
  JpegReader(std::span<const std::byte> bytes, int64_t max_pixels);
  void read_rows(const RowSink& sink) override;

 private:
  // Runs a step of libjpeg that may wait for data; there is none.
  template <class Step>
  void run(const Step& step) {
    bool done = false;
    run_trapped(codec_.trap, [&] { done = step(); });
    if (!done) fail_early_end();
  }
  int64_t codec_bytes() const;

  JpegDecoder codec_;
};

JpegReader::JpegReader(std::span<const std::byte> bytes, int64_t max_pixels) {
  const JpegMarkers markers = read_jpeg_markers(bytes);
  width_ = markers.width;
  height_ = markers.height;
  orientation_ = markers.orientation;
  check_size(width_, height_, max_pixels);
  jpeg_decompress_struct& jpeg = codec_.jpeg;
  jpeg.err = jpeg_std_error(&codec_.errors);
  codec_.errors.error_exit = jump_out;
  codec_.errors.emit_message = on_message;
  codec_.errors.output_message = [](j_common_ptr) {};
  codec_.progress.progress_monitor = on_progress;
  codec_.source = source_of(bytes);
  jpeg.client_data = &codec_;
  run([&] {
    jpeg_create_decompress(&jpeg);  // keeps err and client_data
    jpeg.progress = &codec_.progress;
    jpeg.src = &codec_.source;
    int status = JPEG_HEADER_TABLES_ONLY;
    while (status == JPEG_HEADER_TABLES_ONLY) status = jpeg_read_header(&jpeg, FALSE);
    return status == JPEG_HEADER_OK;
  });
  if (jpeg.image_width != width_ || jpeg.image_height != height_ || jpeg.num_components != markers.components)
    fail("damaged JPEG data: it has several frames");
  bytes_ = codec_bytes() + markers.metadata_bytes;
}

// What libjpeg allocates: some rows of every component and of the output, and all coefficients where there
// are several scans.
int64_t JpegReader::codec_bytes() const {
  const jpeg_decompress_struct& jpeg = codec_.jpeg;
  const int64_t most_across = jpeg.max_h_samp_factor, most_down = jpeg.max_v_samp_factor;
  const int64_t units = (width_ + most_across * DCTSIZE - 1) / (most_across * DCTSIZE);
  int64_t coefficients = 0, rows = jpeg.num_components * most_down * units * most_across * DCTSIZE;
  for (const jpeg_component_info* c = jpeg.comp_info; c < jpeg.comp_info + jpeg.num_components; ++c) {
    const int64_t across = units * c->h_samp_factor, down = c->v_samp_factor;
    const int64_t blocks = across * ((c->height_in_blocks + down - 1) / down * down);
    coefficients += blocks * static_cast<int64_t>(sizeof(JBLOCK));
    rows += across * DCTSIZE * down * (DCTSIZE + 4);
  }
  constexpr int64_t kFixed = 96 << 10;
  const bool several_scans = jpeg.progressive_mode != 0 || jpeg.comps_in_scan < jpeg.num_components;
  return kFixed + rows + 7 * width_ + (several_scans ? coefficients : 0);
}

void JpegReader::read_rows(const RowSink& sink) {
  jpeg_decompress_struct& jpeg = codec_.jpeg;
  const bool cmyk = jpeg.num_components == 4;
  jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  std::vector<uint8_t> rgb(static_cast<size_t>(width_ * 3)), ink(cmyk ? static_cast<size_t>(width_ * 4) : 0);
  run([&] { return jpeg_start_decompress(&jpeg) != FALSE; });
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = cmyk ? ink.data() : rgb.data();
    run([&] { return jpeg_read_scanlines(&jpeg, &row, 1) == 1; });
    if (cmyk) from_inverted_cmyk(ink.data(), width_, rgb.data());
    sink(rgb.data());
  }
  bool ended = false;
  run_trapped(codec_.trap, [&] { ended = jpeg_finish_decompress(&jpeg) != FALSE; });
  damage_ = codec_.damage;
  if (damage_.empty() && !ended) damage_ = "it ends without an end marker";
}

}  // namespace

std::unique_ptr<ImageReader> open_jpeg(std::span<const std::byte> bytes, int64_t max_pixels) {
  return std::make_unique<JpegReader>(bytes, max_pixels);
}

}  // namespace qsweep::image
