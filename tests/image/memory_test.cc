// What reading an image takes, against what it says it takes. This program counts what it allocates; the
// sanitizers do so themselves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <gtest/gtest.h>
#include <jpeglib.h>
#include <malloc.h>
#include <webp/encode.h>
#include <zlib.h>

#include "base/rng.h"
#include "golden.h"

namespace {

std::atomic<int64_t> live_bytes{0}, peak_bytes{0};

void* counted(void* block) {
  if (block == nullptr) return block;
  const int64_t live = live_bytes += static_cast<int64_t>(malloc_usable_size(block));
  for (int64_t peak = peak_bytes; live > peak && !peak_bytes.compare_exchange_weak(peak, live);) {
  }
  return block;
}
void uncount(void* block) { live_bytes -= static_cast<int64_t>(malloc_usable_size(block)); }

}  // namespace

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t bytes) { return counted(__libc_malloc(bytes)); }
void* calloc(size_t count, size_t bytes) { return counted(__libc_calloc(count, bytes)); }
void* realloc(void* block, size_t bytes) {
  uncount(block);
  void* const moved = __libc_realloc(block, bytes);
  if (moved == nullptr && bytes != 0) counted(block);
  return counted(moved);
}
void* memalign(size_t alignment, size_t bytes) { return counted(__libc_memalign(alignment, bytes)); }
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}
void free(void* block) {
  uncount(block);
  __libc_free(block);
}
}

namespace qsweep::image {
namespace {

std::vector<uint8_t> picture(int64_t width, int64_t height) {
  Rng rng(3);
  std::vector<uint8_t> pixels(static_cast<size_t>(3 * width * height));
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] =
        static_cast<uint8_t>((i / 3 % static_cast<size_t>(width) / 7 + i % 3 * 40 + rng.below(4)) & 255);
  return pixels;
}

std::vector<std::byte> jpeg_of(int64_t width, int64_t height, bool progressive, int orientation) {
  const std::vector<uint8_t> pixels = picture(width, height);
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = static_cast<JDIMENSION>(width);
  jpeg.image_height = static_cast<JDIMENSION>(height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  const std::string exif = std::string("Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0", 26) +
                           static_cast<char>(orientation) + std::string(6, '\0');
  jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                    static_cast<unsigned>(exif.size()));
  for (int64_t y = 0; y < height; ++y) {
    auto* row = const_cast<JSAMPROW>(pixels.data() + 3 * y * width);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  const auto bytes = std::as_bytes(std::span(out, size));
  std::vector<std::byte> file(bytes.begin(), bytes.end());
  jpeg_destroy_compress(&jpeg);
  std::free(out);
  return file;
}

void put_u32(std::string& bytes, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
}

std::string chunk(const std::string& name, const std::string& data) {
  std::string bytes;
  put_u32(bytes, data.size());
  bytes += name + data;
  put_u32(bytes,
          crc32(0, reinterpret_cast<const Bytef*>(bytes.data()) + 4, static_cast<uInt>(bytes.size() - 4)));
  return bytes;
}

// Black, so that the file is small.
std::string packed_zeros(int64_t bytes) {
  std::string packed;
  std::array<Bytef, 1 << 16> zeros{}, out{};
  z_stream stream{};
  deflateInit(&stream, 1);
  for (int status = Z_OK; status != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      stream.next_in = zeros.data();
      stream.avail_in = static_cast<uInt>(std::min<int64_t>(bytes, std::ssize(zeros)));
      bytes -= stream.avail_in;
    }
    stream.next_out = out.data();
    stream.avail_out = out.size();
    status = deflate(&stream, bytes == 0 ? Z_FINISH : Z_NO_FLUSH);
    packed.append(reinterpret_cast<const char*>(out.data()), out.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  return packed;
}

std::vector<std::byte> png_of(int64_t width, int64_t height, bool interlaced) {
  std::string header;
  put_u32(header, static_cast<size_t>(width));
  put_u32(header, static_cast<size_t>(height));
  header += std::string("\x08\x02\0\0", 4) + (interlaced ? '\1' : '\0');
  const int64_t filters = interlaced ? 2 * height : height;  // of the passes' rows, or some more
  const std::string file = "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) +
                           chunk("IDAT", packed_zeros(3 * width * height + filters)) + chunk("IEND", "");
  const auto bytes = std::as_bytes(std::span(file));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> webp_of(int64_t width, int64_t height, bool lossless) {
  const std::vector<uint8_t> pixels = picture(width, height);
  const int w = static_cast<int>(width), h = static_cast<int>(height);
  uint8_t* out = nullptr;
  const size_t size = lossless ? WebPEncodeLosslessRGB(pixels.data(), w, h, 3 * w, &out)
                               : WebPEncodeRGB(pixels.data(), w, h, 3 * w, 75, &out);
  const auto bytes = std::as_bytes(std::span(out, size));
  std::vector<std::byte> file(bytes.begin(), bytes.end());
  WebPFree(out);
  return file;
}

// From the bytes of the file to the patches.
struct Taken {
  int64_t bytes = 0;
  int64_t announced = 0;
};
Taken taken(std::span<const std::byte> file, const Processor& processor = tiny_processor()) {
  const Size size = resized_size(upright_size(*open_image(file)), processor);
  const auto [t, h, w] = patch_grid(size, processor);
  std::vector<float> rows(static_cast<size_t>(t * h * w * processor.row_elems()));
  const int64_t before = live_bytes;
  peak_bytes = before;
  const std::unique_ptr<ImageReader> reader = open_image(file);
  const int64_t announced = decode_bytes(*reader, size, processor);
  make_patches(*reader, size, processor, rows);
  return {peak_bytes - before, announced};
}

// Settings with the other rules for sizes, the first with the other filter.
const Processor kFixed{.size_rule = SizeRule::fixed,
                       .resample = Resample::bilinear,
                       .patch_size = 14,
                       .fixed_size = {.height = 448, .width = 448},
                       .rescale_factor = 1,
                       .std = {1, 1, 1}};
const Processor kLongestEdge{.size_rule = SizeRule::longest_edge,
                             .patch_size = 14,
                             .merge_size = 2,
                             .longest_edge = 784,
                             .rescale_factor = 1,
                             .std = {1, 1, 1}};

TEST(ImageMemory, EveryKindOfFileTakesNoMoreThanItSays) {
  for (const Goldens& goldens : {main_goldens(), extra_goldens()})
    for (const auto& entry : std::filesystem::directory_iterator(goldens.path(""))) {
      if (entry.path().extension() != ".png" && entry.path().extension() != ".jpg" &&
          entry.path().extension() != ".webp")
        continue;
      for (const Processor& processor : {tiny_processor(), kFixed, kLongestEdge}) {
        const Taken found = taken(read_bytes(entry.path()), processor);
        EXPECT_LE(found.bytes, found.announced) << entry.path();
      }
    }
}

TEST(ImageMemory, LargeImagesTakeWhatTheySay) {
  constexpr int64_t kSmall = 256 << 10;  // of the codec, whatever the image
  const struct {
    const char* what;
    std::vector<std::byte> file;
  } cases[] = {
      {"JPEG", jpeg_of(1500, 1000, false, 1)},
      {"JPEG, turned", jpeg_of(1500, 1000, false, 6)},
      {"JPEG, mirrored", jpeg_of(1500, 1000, false, 4)},
      {"progressive JPEG", jpeg_of(1500, 1000, true, 1)},
      {"PNG", png_of(3000, 2000, false)},
      {"interlaced PNG", png_of(1500, 1000, true)},
      {"lossy WebP", webp_of(1000, 700, false)},
  };
  for (const auto& [what, file] : cases) {
    SCOPED_TRACE(what);
    for (const Processor& processor : {tiny_processor(), kFixed, kLongestEdge}) {
      const Taken found = taken(file, processor);
      std::printf("%-18s takes %9lld bytes of %9lld\n", what, static_cast<long long>(found.bytes),
                  static_cast<long long>(found.announced));
      EXPECT_LE(found.bytes, found.announced);
      EXPECT_GE(found.bytes + kSmall, found.announced);
    }
  }
  const Taken lossless = taken(webp_of(400, 300, true));
  EXPECT_LE(lossless.bytes, lossless.announced);
}

// 169 megapixels in a file of 500 kB: 507 MB if it were held.
TEST(ImageMemorySlow, AHugeImageIsNeverHeld) {
  const Taken found = taken(png_of(13000, 13000, false));
  EXPECT_LE(found.bytes, found.announced);
  EXPECT_LE(found.announced, 3 << 20);
}

}  // namespace
}  // namespace qsweep::image

#endif
