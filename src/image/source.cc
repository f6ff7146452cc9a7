#include "image/source.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/readable.h"
#include "image/decode.h"

namespace qsweep::image {
namespace {

namespace fs = std::filesystem;

// Whatever the case of the letters; `start` is in small ones.
bool starts_with(std::string_view text, std::string_view start) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return text.size() >= start.size() &&
         std::equal(text.begin(), text.begin() + std::ssize(start), start.begin(), same);
}

// "https" of "https://..."; empty where it is no address.
std::string_view scheme_of(std::string_view location) {
  const std::string_view scheme = location.substr(0, std::min(location.find("://"), location.size()));
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.';
  };
  const bool is_scheme = scheme.size() < location.size() && scheme.size() > 1 &&
                         std::isalpha(static_cast<unsigned char>(scheme[0])) != 0 &&
                         std::all_of(scheme.begin(), scheme.end(), allowed);
  return is_scheme ? scheme : std::string_view();
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int letter = std::tolower(static_cast<unsigned char>(c));
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  return std::nullopt;
}

// A % without two digits behind it stands for itself.
std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::optional<int> high =
        text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
    const std::optional<int> low = high ? hex_digit(text[i + 2]) : std::nullopt;
    decoded += low ? static_cast<char>(*high * 16 + *low) : text[i];
    if (low) i += 2;
  }
  return decoded;
}

std::string path_of_file_uri(std::string_view uri) {
  constexpr std::string_view kScheme = "file://", kLocal = "localhost/";
  std::string_view path = uri.substr(kScheme.size());
  if (starts_with(path, kLocal)) path.remove_prefix(kLocal.size() - 1);
  if (!path.starts_with('/'))
    fail("expected file:///PATH or file://localhost/PATH, found the host \"{}\"",
         readable_value(path.substr(0, path.find('/'))));
  std::string decoded = percent_decoded(path);
  std::error_code error;
  // Tools that do not decode read files that are named like this.
  if (decoded != path && !fs::exists(decoded, error) && fs::exists(path, error)) return std::string(path);
  return decoded;
}

std::string local_path(const std::string& location, const std::string& folder) {
  const std::string_view scheme = scheme_of(location);
  if (!scheme.empty() && !starts_with(location, "file://"))
    fail("the image lies elsewhere ({}://): nothing is fetched; load it down and name the file", scheme);
  std::string path =
      starts_with(location, "file://") ? path_of_file_uri(location) : (fs::path(folder) / location).string();
  if (path.find('\0') != std::string::npos) fail("expected a path, found one with a zero byte");
  return path;
}

fs::path real_path(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const fs::path real = fs::weakly_canonical(absolute, error);
  return error ? absolute.lexically_normal() : real;
}

bool is_within(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

// As it is written, or as the file really lies there.
bool lies_in(const fs::path& path, const std::string& folder) {
  const fs::path root = folder.empty() ? "." : folder;
  return is_within(fs::absolute(path).lexically_normal(), fs::absolute(root).lexically_normal()) ||
         is_within(real_path(path), real_path(root));
}

// In the folder in which the program was started, unless that is the root of all.
bool lies_where_started(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::current_path(error);
  return !error && folder.has_relative_path() && lies_in(path, folder.string());
}

// The six bits of a base64 digit.
std::optional<uint32_t> bits_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return std::nullopt;
}

// RFC 4648, broken into lines or not.
std::vector<std::byte> base64_decoded(std::string_view text) {
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t word = 0;
  size_t digits = 0, padding = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (std::isspace(static_cast<unsigned char>(text[i])) != 0) continue;
    const std::optional<uint32_t> bits = bits_of(text[i]);
    if (text[i] == '=' && digits % 4 >= 2 && digits % 4 + padding < 4) {
      ++padding;
    } else if (!bits || padding > 0) {
      fail("expected base64, found another character at position {}", i);
    } else {
      word = word << 6 | *bits;
      if (++digits % 4 == 0)
        for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<std::byte>(word >> shift & 255));
    }
  }
  if ((digits + padding) % 4 != 0)
    fail("expected base64, found {} digits and {} of padding", digits, padding);
  if (padding > 0) bytes.push_back(static_cast<std::byte>(word >> (padding == 1 ? 10 : 4) & 255));
  if (padding == 1) bytes.push_back(static_cast<std::byte>(word >> 2 & 255));
  return bytes;
}

std::vector<std::byte> bytes_of_data_uri(std::string_view uri) {
  const size_t comma = uri.find(',');
  const std::string_view head = uri.substr(0, std::min(comma, uri.size()));
  constexpr std::string_view kBase64 = ";base64";
  if (comma == std::string_view::npos || head.size() < kBase64.size() ||
      !starts_with(head.substr(head.size() - kBase64.size()), kBase64))
    fail("expected data:[TYPE];base64,..., found a data: URI without \";base64,\"");
  return base64_decoded(uri.substr(comma + 1));
}

}  // namespace

std::string path_of(const std::string& location, const Folders& folders) {
  if (starts_with(location, "data:")) return {};
  // Without the ".." that a link before it could lead elsewhere.
  const fs::path path = fs::path(local_path(location, folders.data)).lexically_normal();
  const bool is_absolute = starts_with(location, "file://") || fs::path(location).is_absolute();
  if (lies_in(path, folders.data) || (is_absolute && lies_where_started(path)) ||
      std::any_of(folders.others.begin(), folders.others.end(),
                  [&](const std::string& folder) { return lies_in(path, folder); }))
    return path.string();
  const std::string folder = readable_value(real_path(path).parent_path().string());
  fail("the image lies outside the folder of the data, in {0}; --allow-outside {0} would allow it", folder);
}

std::vector<std::byte> read_source(const std::string& location, const Folders& folders) {
  if (starts_with(location, "data:")) return bytes_of_data_uri(location);
  return read_image_file(path_of(location, folders));
}

}  // namespace qsweep::image
