#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jpeglib.h>

#include "base/rng.h"
#include "golden.h"
#include "image/decode.h"

namespace qsweep::image {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string error_of(std::span<const std::byte> bytes, int64_t max_pixels = kMaxPixels) {
  try {
    decode(bytes, "the source", max_pixels);
  } catch (const Error& error) {
    return error.what();
  }
  return "decoded";
}

// What is noted of a file that is read nonetheless; "refused" where it is not.
std::string damage_of(std::span<const std::byte> bytes) {
  try {
    const std::unique_ptr<ImageReader> reader = open_image(bytes);
    reader->read_rows([](const uint8_t*) {});
    return reader->damage();
  } catch (const Error&) {
    return "refused";
  }
}

void set(std::vector<std::byte>& bytes, size_t at, std::initializer_list<int> values) {
  ASSERT_LE(at + values.size(), bytes.size());
  for (const int value : values) bytes[at++] = static_cast<std::byte>(value);
}

uint32_t crc32_of(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffffu;
  for (const std::byte b : bytes) {
    crc ^= std::to_integer<uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// A PNG whose header says another size, with the checksum made right again.
std::vector<std::byte> png_with_size(uint32_t width, uint32_t height) {
  std::vector<std::byte> png = read_bytes(testdata("images/tiny.png"));
  const auto put = [&png](size_t at, uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) png[at++] = static_cast<std::byte>(v >> shift & 255);
  };
  put(16, width);
  put(20, height);
  put(29, crc32_of(std::span(png).subspan(12, 17)));
  return png;
}

size_t find(std::span<const std::byte> bytes, std::initializer_list<int> pattern) {
  const auto same = [](std::byte b, int p) { return std::to_integer<int>(b) == p; };
  const auto at = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end(), same);
  EXPECT_NE(at, bytes.end());
  return static_cast<size_t>(at - bytes.begin());
}

// One file of every coding.
const std::vector<std::string> kFiles = {"images/odd.png",
                                         "images/palette.png",
                                         "images/grey16.png",
                                         "images/extra/interlaced.png",
                                         "images/jpeg.jpg",
                                         "images/jpeg_progressive.jpg",
                                         "images/jpeg_cmyk.jpg",
                                         "images/jpeg_exif6.jpg",
                                         "images/extra/lossy.webp",
                                         "images/extra/lossless.webp",
                                         "images/extra/alpha_lossy.webp",
                                         "images/extra/animated.webp"};

TEST(BadImage, ACutFileIsRefusedOrItsDamageIsNoted) {
  int refused = 0, noted = 0;
  for (const std::string& file : kFiles) {
    const std::vector<std::byte> whole = read_bytes(testdata(file));
    ASSERT_EQ(damage_of(whole), "") << file;
    std::vector<size_t> lengths = {0, 1, 2, 3, 8, 12, 30, whole.size() - 2, whole.size() - 1};
    for (size_t i = 1; i < 24; ++i) lengths.push_back(whole.size() * i / 24);
    for (const size_t length : lengths) {
      const std::string damage = damage_of(std::span(whole).first(length));
      EXPECT_NE(damage, "") << file << " cut to " << length;
      ++(damage == "refused" ? refused : noted);
    }
  }
  EXPECT_GT(noted, 5);
  EXPECT_GT(refused, 20 * noted);
}

TEST(BadImage, DamagedBytesGiveAnErrorOrAWholeImage) {
  Rng rng(1);
  for (const std::string& file : kFiles) {
    const std::vector<std::byte> whole = read_bytes(testdata(file));
    for (int trial = 0; trial < 100; ++trial) {
      std::vector<std::byte> bytes = whole;
      for (int flips = 0; flips < 3; ++flips)
        bytes[rng.below(bytes.size())] ^= static_cast<std::byte>(1 << rng.below(8));
      try {
        const RgbImage image = decode(bytes, "", 1 << 20);
        EXPECT_EQ(static_cast<int64_t>(image.pixels.size()), image.width * image.height * 3);
      } catch (const Error&) {
        continue;
      }
    }
  }
}

// An error quotes no bytes of what is no image: they may be anybody's.
TEST(BadImage, UnknownFormatsAreNamedWhereTheyAreKnown) {
  const auto error_of_text = [](std::string_view text) { return error_of(std::as_bytes(std::span(text))); };
  EXPECT_EQ(error_of_text("root:x:0:0:root:/root:/bin/bash"),
            "the source: expected a JPEG, PNG or WebP image, found 31 bytes that start as none of them does");
  EXPECT_EQ(error_of_text(""),
            "the source: expected a JPEG, PNG or WebP image, found 0 bytes that start as none of them does");
  EXPECT_EQ(error_of_text("GIF89a, and so on"),
            "the source: expected a JPEG, PNG or WebP image, found a GIF image");
  EXPECT_THAT(error_of_text("version https://git-lfs.github.com/spec/v1\noid sha256:00"),
              HasSubstr("found a Git LFS pointer: run git lfs pull"));
  EXPECT_THAT(error_of_text("<!DOCTYPE html><html>404"), HasSubstr("found a page of HTML"));
}

TEST(BadImage, HeadersWithImpossibleSizes) {
  EXPECT_THAT(error_of(png_with_size(60000, 60000)),
              AllOf(HasSubstr("the source: the image is 60000 x 60000 pixels"), HasSubstr("178956970")));
  EXPECT_THAT(error_of(png_with_size(70000, 1)), HasSubstr("the source: "));
  EXPECT_THAT(error_of(png_with_size(0, 30)), HasSubstr("the source: "));
  EXPECT_THAT(error_of(png_with_size(0xffffffffu, 0xffffffffu)), HasSubstr("the source: "));
  EXPECT_THAT(error_of(png_with_size(12000, 12000)),
              HasSubstr("the source: "));  // allowed, but the data is short

  std::vector<std::byte> jpeg = read_bytes(testdata("images/jpeg.jpg"));
  const size_t frame = find(jpeg, {0xff, 0xc0});
  set(jpeg, frame + 5, {0xff, 0x00, 0xff, 0x00});
  EXPECT_THAT(error_of(jpeg), HasSubstr("the image is 65280 x 65280 pixels"));
  set(jpeg, frame + 5, {0x00, 0x00, 0x00, 0x10});
  EXPECT_THAT(error_of(jpeg), HasSubstr("the source: "));

  std::vector<std::byte> webp = read_bytes(testdata("images/extra/animated.webp"));
  set(webp, 24, {0xff, 0x3f, 0, 0xff, 0x3f, 0});
  EXPECT_THAT(error_of(webp), HasSubstr("the image is 16384 x 16384 pixels"));
}

TEST(BadImage, TheCallersLimitCounts) {
  const std::vector<std::byte> png = read_bytes(testdata("images/tiny.png"));  // 20 x 30
  EXPECT_EQ(error_of(png, 600), "decoded");
  EXPECT_EQ(error_of(png, 599),
            "the source: the image is 20 x 30 pixels: at most 65535 on a side and 599 in all are allowed");
}

TEST(BadImage, ChunksLargerThanTheFile) {
  std::vector<std::byte> png = read_bytes(testdata("images/extra/exif1.png"));
  set(png, find(png, {'e', 'X', 'I', 'f'}) - 4, {0x5d, 0, 0, 0});
  EXPECT_THAT(error_of(png),
              HasSubstr("the source: damaged PNG data: the chunk eXIf is not complete: expected "
                        "1560281088 bytes, found "));
}

// As in Pillow, which looks at no checksum of pixels.
TEST(BadImage, ChecksumsCountBeforeThePixels) {
  std::vector<std::byte> png = read_bytes(testdata("images/tiny.png"));
  png[png.size() - 14] ^= std::byte{1};  // of the last data chunk
  EXPECT_EQ(damage_of(png), "the checksum of its pixels is wrong, or missing");
  EXPECT_EQ(decode(png, "").pixels, load(testdata("images/tiny.png")).pixels);
  png[30] ^= std::byte{1};  // of the header
  EXPECT_EQ(error_of(png), "the source: damaged PNG data: the checksum of the chunk IHDR is wrong");
}

// Pillow's decoder has all pixels of a PNG file by then. libjpeg looks beyond the last bits of a baseline
// file.
TEST(BadImage, TheEndMayBeMissingWhereItIsNotNeeded) {
  const std::vector<std::byte> png = read_bytes(testdata("images/tiny.png"));
  const auto without_end = std::span(png).first(png.size() - 12);
  EXPECT_EQ(damage_of(without_end), "it does not end with the chunk IEND");
  EXPECT_EQ(decode(without_end, "").pixels, decode(png, "").pixels);
  const std::vector<std::byte> jpeg = read_bytes(testdata("images/jpeg.jpg"));
  EXPECT_EQ(damage_of(std::span(jpeg).first(jpeg.size() - 2)), "refused");
}

// The three bytes before the coded data, which some cameras fill in wrongly: nothing is lost.
TEST(BadImage, ScanParametersThatMeanNothing) {
  const std::vector<std::byte> whole = read_bytes(testdata("images/jpeg.jpg"));
  std::vector<std::byte> jpeg = whole;
  const size_t scan = find(jpeg, {0xff, 0xda});
  const size_t parameters = scan + 2 + std::to_integer<size_t>(jpeg[scan + 3]) - 3;
  set(jpeg, parameters, {0, 0, 0});
  EXPECT_EQ(damage_of(jpeg), "Invalid SOS parameters for sequential JPEG");
  EXPECT_EQ(decode(jpeg, "").pixels, decode(whole, "").pixels);
}

TEST(BadImage, AScanThatEndsEarlyGoesOnInGrey) {
  const std::vector<std::byte> whole = read_bytes(testdata("images/jpeg.jpg"));
  std::vector<std::byte> jpeg = whole;
  jpeg.resize(jpeg.size() * 2 / 3);
  EXPECT_EQ(damage_of(jpeg), "refused");
  jpeg.push_back(std::byte{0xff});
  jpeg.push_back(std::byte{0xd9});  // a proper end marker
  EXPECT_EQ(damage_of(jpeg), "Corrupt JPEG data: premature end of data segment");
  const RgbImage cut = decode(jpeg, ""), image = decode(whole, "");
  const auto row = [](const RgbImage& i, int64_t y) {
    return std::vector(i.pixels.begin() + 3 * i.width * y, i.pixels.begin() + 3 * i.width * (y + 1));
  };
  EXPECT_EQ(row(cut, 0), row(image, 0));
  EXPECT_NE(row(cut, cut.height - 1), row(image, image.height - 1));
}

// A valid progressive file of 8 x 8 grey pixels: every coefficient in a scan of its own, then once more for a
// last bit.
std::vector<std::byte> jpeg_of_scans(int refined_coefficients) {
  std::vector<jpeg_scan_info> scans = {{1, {0}, 0, 0, 0, 0}};
  for (int k = 1; k < 64; ++k) scans.push_back({1, {0}, k, k, 0, 1});
  for (int k = 1; k <= refined_coefficients; ++k) scans.push_back({1, {0}, k, k, 1, 0});
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = jpeg.image_height = 8;
  jpeg.input_components = 1;
  jpeg.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&jpeg);
  jpeg.scan_info = scans.data();
  jpeg.num_scans = static_cast<int>(scans.size());
  jpeg_start_compress(&jpeg, TRUE);
  unsigned char pixels[8] = {10, 200, 30, 90, 250, 0, 70, 140};
  JSAMPROW row = pixels;
  for (int y = 0; y < 8; ++y) jpeg_write_scanlines(&jpeg, &row, 1);
  jpeg_finish_compress(&jpeg);
  const auto bytes = std::as_bytes(std::span(out, size));
  std::vector<std::byte> file(bytes.begin(), bytes.end());
  jpeg_destroy_compress(&jpeg);
  std::free(out);
  return file;
}

// Each scan is a pass over the image, so a small file could keep a large one busy for hours.
TEST(BadImage, TooManyScans) {
  EXPECT_EQ(error_of(jpeg_of_scans(36)), "decoded");
  EXPECT_EQ(error_of(jpeg_of_scans(37)), "the source: the JPEG file has more than 100 scans");
}

TEST(BadImage, FilesThatCannotBeRead) {
  const auto error_of_file = [](const std::string& path) -> std::string {
    try {
      with_context(path, [&] { decode(read_image_file(path), ""); });
    } catch (const Error& error) {
      return error.what();
    }
    return "loaded";
  };
  EXPECT_EQ(error_of_file("/nonexistent/a.png"),
            "/nonexistent/a.png: expected an image file, found nothing of that name");
  EXPECT_THAT(error_of_file(QSWEEP_TESTDATA), HasSubstr("found a folder"));
  EXPECT_THAT(error_of_file("/dev/zero"), HasSubstr("found no regular file"));
  EXPECT_THAT(error_of_file(testdata("images/images.json")),
              HasSubstr("images.json: : expected a JPEG, PNG or WebP"));
}

}  // namespace
}  // namespace qsweep::image
