#include <algorithm>
#include <memory>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/error.h"
#include "image/codecs.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

struct DecoderDeleter {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};
using Decoder = std::unique_ptr<WebPAnimDecoder, DecoderDeleter>;

// The file's first chunk of that name; empty where there is none.
std::span<const std::byte> chunk_of(const WebPAnimDecoder* decoder, const char* fourcc) {
  WebPChunkIterator chunk;
  std::span<const std::byte> bytes;
  if (WebPDemuxGetChunk(WebPAnimDecoderGetDemuxer(decoder), fourcc, 1, &chunk) != 0)
    bytes = {reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size};
  WebPDemuxReleaseChunkIterator(&chunk);  // the bytes belong to the file
  return bytes;
}

int orientation_of(const WebPAnimDecoder* decoder) {
  const std::span<const std::byte> xmp = chunk_of(decoder, "XMP ");
  return read_orientation(chunk_of(decoder, "EXIF"), {reinterpret_cast<const char*>(xmp.data()), xmp.size()});
}

}  // namespace

// Still images go through the animation decoder too, as in Pillow.
Decoded decode_webp(std::span<const std::byte> bytes, int64_t max_pixels) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
    fail("damaged WebP data: no readable header");
  check_size(features.width, features.height, max_pixels);

  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0)
    fail("libwebp has another version than the one compiled against");
  options.color_mode = MODE_RGBA;
  const WebPData file{data, bytes.size()};
  const Decoder decoder(WebPAnimDecoderNew(&file, &options));
  WebPAnimInfo info;
  if (decoder == nullptr || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0)
    fail("damaged WebP data: incomplete or inconsistent chunks");
  check_size(info.canvas_width, info.canvas_height, max_pixels);
  uint8_t* rgba = nullptr;
  int end_ms = 0;
  if (WebPAnimDecoderGetNext(decoder.get(), &rgba, &end_ms) == 0)
    fail("damaged WebP data: the image does not decode");

  Decoded decoded{.image = {.width = info.canvas_width, .height = info.canvas_height, .pixels = {}},
                  .orientation = orientation_of(decoder.get())};
  decoded.image.pixels.resize(static_cast<size_t>(decoded.image.width * decoded.image.height * 3));
  for (uint8_t* rgb = decoded.image.pixels.data();
       rgb != decoded.image.pixels.data() + decoded.image.pixels.size(); rgb += 3, rgba += 4)
    std::copy_n(rgba, 3, rgb);
  return decoded;
}

}  // namespace qsweep::image
