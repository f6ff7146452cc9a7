#include "image/orientation.h"

#include <span>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"

namespace qsweep::image {
namespace {

using std::string_literals::operator""s;

int orientation_of(const std::string& exif, std::string_view xmp = {}) {
  return read_orientation(std::as_bytes(std::span(exif)), xmp);
}

const std::string kLittle = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"s;
const std::string kBig = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x05\0\0\0\0\0\0"s;

TEST(Orientation, BothByteOrdersAndRepeatedPrefixes) {
  EXPECT_EQ(orientation_of(kLittle), 6);
  EXPECT_EQ(orientation_of(kBig), 5);
  EXPECT_EQ(orientation_of("Exif\0\0"s + kBig), 5);
  EXPECT_EQ(orientation_of("Exif\0\0Exif\0\0"s + kBig), 5);
}

TEST(Orientation, ValuesOutOfRangeAreUpright) {
  std::string exif = kLittle;
  for (const int value : {0, 9, 255}) {
    exif[18] = static_cast<char>(value);
    EXPECT_EQ(orientation_of(exif), 1) << value;
  }
}

TEST(Orientation, CutBlocksNeverReadOutside) {
  for (size_t length = 8; length < kLittle.size(); ++length) {
    const std::string cut = kLittle.substr(0, length);
    EXPECT_EQ(orientation_of(cut), length >= 22 ? 6 : 1) << length;
  }
  std::string far = kLittle;
  far.replace(4, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(orientation_of(far), 1);
  std::string many = kLittle;
  many.replace(8, 4, "\xff\xff\0\0"s);
  EXPECT_EQ(orientation_of(many), 1);
}

TEST(Orientation, NotTiffIsAnError) {
  EXPECT_THROW(orientation_of("II"), Error);
  EXPECT_THROW(orientation_of("nothing of the kind"), Error);
}

// Whatever is there hides XMP's.
TEST(Orientation, OtherTypesThanShort) {
  std::string exif = kLittle;
  for (const auto& [type, orientation] :
       {std::pair{1, 1}, {2, 1}, {3, 6}, {4, 6}, {6, 6}, {7, 1}, {8, 6}, {9, 6}, {11, 1}, {13, 6}}) {
    exif[12] = static_cast<char>(type);
    EXPECT_EQ(orientation_of(exif, "<a tiff:Orientation=\"8\"/>"), orientation) << type;
  }
  exif[12] = 99;  // unknown: as if the entry were not there
  EXPECT_EQ(orientation_of(exif, "<a tiff:Orientation=\"8\"/>"), 8);
}

TEST(Orientation, XmpOnlyWithoutTheExifTag) {
  EXPECT_EQ(orientation_of("", "<a tiff:Orientation=\"8\"/>"), 8);
  EXPECT_EQ(orientation_of("", "<tiff:Orientation>3</tiff:Orientation>"), 3);
  EXPECT_EQ(orientation_of("", "<tiff:Orientation/><b tiff:Orientation=\"x\" tiff:Orientation=\"2\"/>"), 2);
  EXPECT_EQ(orientation_of("", "tiff:Orientation=\""), 1);
  EXPECT_EQ(orientation_of(kLittle, "<a tiff:Orientation=\"8\"/>"), 6);
}

}  // namespace
}  // namespace qsweep::image
