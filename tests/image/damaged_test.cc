// Damaged files, against what Pillow reads of them (tools/image_campaign.py).
#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "golden.h"
#include "image/source.h"
#include "io/sha256.h"

namespace qsweep::image {
namespace {

std::vector<std::byte> bytes_of_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::vector<std::byte> damaged(const io::Json& c) {
  const std::string file = c["file"];
  std::vector<std::byte> bytes =
      file.starts_with("data:") ? read_source(file, {}) : read_bytes(testdata("images/" + file));
  const auto at = bytes.begin() + c["edit"][0].get<int64_t>();
  const std::vector<std::byte> put = bytes_of_hex(c["edit"][2]);
  bytes.insert(bytes.erase(at, at + c["edit"][1].get<int64_t>()), put.begin(), put.end());
  return bytes;
}

// More than versions 2.1 and 3.2 of libjpeg-turbo were seen apart in how they smooth progressive files whose
// later scans are missing.
constexpr int kLevels = 16;

// What differs between the image and Pillow's answer; empty where nothing does.
std::string difference(const io::Json& c) {
  const io::Json& pillow = c["pillow"];
  try {
    const RgbImage image = decode(damaged(c), "");
    if (pillow.is_null()) return "Pillow refuses the file";
    if (io::Json{image.width, image.height, io::sha256_hex(std::as_bytes(std::span(image.pixels)))} == pillow)
      return "";
    if (!c.contains("png")) return "the pixels are others";
    const int worst = worst_difference(image, decode(read_source(c["png"], {}), ""));
    return worst <= kLevels ? "" : fmt::format("the pixels differ by up to {} levels", worst);
  } catch (const Error& error) {
    return pillow.is_null() ? "" : error.what();
  }
}

TEST(Damaged, FilesAreLikePillow) {
  const char* const other = std::getenv("QSWEEP_IMAGE_CASES");
  const std::string path = other != nullptr ? other : testdata("images/damaged.json");
  std::map<std::string, std::array<int, 2>> kinds;  // cases, and those that differ
  for (const io::Json& c : io::read_json_file(path)) {
    const std::string found = difference(c);
    auto& [cases, different] = kinds[c["damage"]];
    ++cases;
    different += !found.empty();
    EXPECT_EQ(found, "") << c["damage"] << " of " << c["name"] << ": " << c["edit"];
  }
  EXPECT_FALSE(kinds.empty());
  for (const auto& [kind, counts] : kinds)
    std::printf("%-22s %5d files, %d differ\n", kind.c_str(), counts[0], counts[1]);
}

}  // namespace
}  // namespace qsweep::image
