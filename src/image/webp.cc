#include <algorithm>
#include <memory>
#include <vector>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/error.h"
#include "image/codecs.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

// The file's first chunk of that name; empty where there is none.
std::span<const std::byte> chunk_of(const WebPDemuxer* demuxer, const char* fourcc) {
  WebPChunkIterator chunk;
  std::span<const std::byte> bytes;
  if (WebPDemuxGetChunk(demuxer, fourcc, 1, &chunk) != 0)
    bytes = {reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size};
  WebPDemuxReleaseChunkIterator(&chunk);  // the bytes belong to the file
  return bytes;
}

int orientation_of(const WebPDemuxer* demuxer) {
  const std::span<const std::byte> xmp = chunk_of(demuxer, "XMP ");
  return read_orientation(chunk_of(demuxer, "EXIF"), {reinterpret_cast<const char*>(xmp.data()), xmp.size()});
}

class WebpReader : public ImageReader {
 public:
  WebpReader(std::span<const std::byte> bytes, int64_t max_pixels) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
      fail("damaged WebP data: no readable header");
    check_size(features.width, features.height, max_pixels);
    const WebPData file{data, bytes.size()};
    demuxer_.reset(WebPDemux(&file));
    if (demuxer_ == nullptr) fail("damaged WebP data: incomplete or inconsistent chunks");
    width_ = WebPDemuxGetI(demuxer_.get(), WEBP_FF_CANVAS_WIDTH);
    height_ = WebPDemuxGetI(demuxer_.get(), WEBP_FF_CANVAS_HEIGHT);
    check_size(width_, height_, max_pixels);
    orientation_ = orientation_of(demuxer_.get());
    bytes_ = bytes_for(features);
  }

  void read_rows(const RowSink& sink) override;

 private:
  int64_t bytes_for(const WebPBitstreamFeatures& features) const;

  Demuxer demuxer_;
};

// The RGBA pixels, and what libwebp allocates: lossless files are decoded to words of their own, with up to
// three images of parameters and tables of codes for each tile; alpha is a plane of its own, coded as
// lossless files are. Encoders use at most kMaxTiles tiles.
int64_t WebpReader::bytes_for(const WebPBitstreamFeatures& features) const {
  constexpr int64_t kMaxTiles = 2600, kTileBytes = 21 << 10, kPerColumn = 128, kFixed = 64 << 10;
  const int64_t pixels = width_ * height_, tiles = (width_ + 3) / 4 * ((height_ + 3) / 4);
  const bool lossless = features.format != 1;  // 0: mixed, in animations
  const int64_t rgba = 4 * pixels, columns = kPerColumn * width_ + kFixed;
  if (!lossless && features.has_alpha == 0) return rgba + columns;
  const int64_t codes = std::min(tiles, kMaxTiles) * kTileBytes + 3 * 4 * tiles;
  return rgba + (lossless ? 4 : 2) * pixels + codes + columns;
}

void WebpReader::read_rows(const RowSink& sink) {
  WebPIterator frame;
  const bool found = WebPDemuxGetFrame(demuxer_.get(), 1, &frame) != 0;
  const std::unique_ptr<WebPIterator, void (*)(WebPIterator*)> release(&frame, WebPDemuxReleaseIterator);
  if (!found) fail("damaged WebP data: no image in it");
  const int64_t stride = 4 * frame.width;
  std::vector<uint8_t> rgba(static_cast<size_t>(stride * frame.height));
  if (WebPDecodeRGBAInto(frame.fragment.bytes, frame.fragment.size, rgba.data(), rgba.size(),
                         static_cast<int>(stride)) == nullptr)
    fail("damaged WebP data: the image does not decode");
  // A frame of an animation may fill a part of it; the rest is black.
  std::vector<uint8_t> row(static_cast<size_t>(3 * width_));
  for (int64_t y = 0; y < height_; ++y) {
    std::fill(row.begin(), row.end(), uint8_t{0});
    if (y >= frame.y_offset && y < frame.y_offset + frame.height) {
      const uint8_t* pixel = rgba.data() + (y - frame.y_offset) * stride;
      uint8_t* rgb = row.data() + 3 * frame.x_offset;
      for (int64_t x = 0; x < frame.width; ++x, pixel += 4, rgb += 3) std::copy_n(pixel, 3, rgb);
    }
    sink(row.data());
  }
}

}  // namespace

std::unique_ptr<ImageReader> open_webp(std::span<const std::byte> bytes, int64_t max_pixels) {
  return std::make_unique<WebpReader>(bytes, max_pixels);
}

}  // namespace qsweep::image
