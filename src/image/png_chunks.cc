#include "image/png_chunks.h"

#include <algorithm>
#include <cctype>

#include <zlib.h>

#include "base/error.h"
#include "image/codecs.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

using Data = PngChunks::Data;

constexpr size_t kChecksumBytes = 4;
// Pillow's limits on texts and profiles, of which one could grow a thousandfold: of each, and of all.
constexpr size_t kMaxInflatedBytes = size_t{1} << 20;
constexpr size_t kMaxTextsBytes = size_t{64} << 20;

std::string_view as_text(Data data) { return {reinterpret_cast<const char*>(data.data()), data.size()}; }

// Splits off what stands before the first zero byte; all of it where there is none.
std::string_view take_key(std::string_view& rest) {
  const size_t end = rest.find('\0');
  const std::string_view key = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return key;
}

// ImageMagick's older way to store EXIF: "\nexif\n", the size, a newline, then hexadecimal digits in lines.
std::string exif_of_raw_profile(std::string_view profile) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = profile.find('\n');
    profile = end == std::string_view::npos ? std::string_view() : profile.substr(end + 1);
  }
  std::string digits;
  for (const char c : profile)
    if (std::isspace(static_cast<unsigned char>(c)) == 0) digits += c;
  const auto is_digit = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (digits.size() % 2 != 0 || !std::all_of(digits.begin(), digits.end(), is_digit))
    fail("damaged PNG data: the EXIF profile is not hexadecimal");
  std::string exif;
  for (size_t i = 0; i < digits.size(); i += 2)
    exif += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return exif;
}

struct PixelKind {
  int colour;
  int samples;
  int bits[5];  // of a sample, that are allowed
};
constexpr PixelKind kPixelKinds[] = {
    {0, 1, {1, 2, 4, 8, 16}}, {2, 3, {8, 16}}, {3, 1, {1, 2, 4, 8}}, {4, 2, {8, 16}}, {6, 4, {8, 16}}};

// 0 where there is no such kind.
int samples_of(int colour, int bits) {
  for (const PixelKind& kind : kPixelKinds)
    if (kind.colour == colour && bits != 0 && std::ranges::find(kind.bits, bits) != std::end(kind.bits))
      return kind.samples;
  return 0;
}

}  // namespace

// The chunks that Pillow looks into.
struct PngChunks::Kind {
  std::string_view name;
  size_t min_bytes;
  void (PngChunks::*read)(Data);  // null: only its size matters
};
const PngChunks::Kind PngChunks::kKinds[] = {
    {"IHDR", 13, &PngChunks::read_header_chunk},
    {"PLTE", 0, &PngChunks::read_palette},
    {"tRNS", 0, &PngChunks::read_transparency},
    {"iCCP", 0, &PngChunks::read_profile},
    {"gAMA", 4, nullptr},
    {"cHRM", 32, nullptr},
    {"sRGB", 1, nullptr},
    {"pHYs", 9, nullptr},
    {"tEXt", 0, &PngChunks::read_text},
    {"zTXt", 0, &PngChunks::read_compressed_text},
    {"iTXt", 0, &PngChunks::read_international_text},
    {"eXIf", 0, &PngChunks::read_exif},
    {"acTL", 8, &PngChunks::read_animation},
    {"fcTL", 26, &PngChunks::read_frame},
};

Data PngChunks::take(size_t length) {
  const Data data = file_.subspan(at_, std::min(length, file_.size() - at_));
  at_ += data.size();
  return data;
}

std::optional<PngChunks::Chunk> PngChunks::next_chunk() {
  const Data start = take(8);
  if (start.size() < 8) return std::nullopt;
  const std::string_view name = as_text(start.last(4));
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  if (!std::all_of(name.begin(), name.end(), is_word)) return std::nullopt;
  return Chunk{name, at_, read_be(start.first(4))};
}

Data PngChunks::take_whole(const Chunk& chunk) {
  const Data data = take(chunk.length);
  if (data.size() < chunk.length)
    fail("damaged PNG data: the chunk {} is not complete: expected {} bytes, found {}", chunk.name,
         chunk.length, data.size());
  return data;
}

bool PngChunks::has_right_checksum(const Chunk& chunk) const {
  const Data rest = file_.subspan(std::min(chunk.at, file_.size()));
  if (rest.size() < chunk.length || rest.size() - chunk.length < kChecksumBytes) return false;
  const auto* name = reinterpret_cast<const Bytef*>(chunk.name.data());  // lies before the data in the file
  uLong crc = crc32_z(crc32_z(0, nullptr, 0), name, chunk.name.size());
  crc = crc32_z(crc, reinterpret_cast<const Bytef*>(rest.data()), chunk.length);
  return crc == read_be(rest.subspan(chunk.length, kChecksumBytes));
}

// Before the kind of pixels is known, data means as little as any other chunk.
bool PngChunks::is_data(const Chunk& chunk) const {
  return header_.samples != 0 && (chunk.name == "IDAT" || chunk.name == "fdAT");
}

void PngChunks::note_damage(std::string what) {
  if (damage_.empty()) damage_ = std::move(what);
}

void PngChunks::read_header() {
  for (;;) {
    const std::optional<Chunk> chunk = next_chunk();
    if (!chunk) fail("damaged PNG data: expected a chunk, found none at byte {} of {}", at_, file_.size());
    if (chunk->name == "IEND") fail("damaged PNG data: no pixels before the end");
    if (is_data(*chunk)) return begin_data(without_sequence(*chunk));
    read(*chunk, take_whole(*chunk));
    if (!has_right_checksum(*chunk))
      fail("damaged PNG data: the checksum of the chunk {} is wrong", chunk->name);
    take(kChecksumBytes);
  }
}

// Data of an animation starts with its number.
PngChunks::Chunk PngChunks::without_sequence(Chunk chunk) {
  if (chunk.name != "fdAT") return chunk;
  if (chunk.length < 4) fail("damaged PNG data: the chunk fdAT is too short");
  check_sequence(read_be(take_whole({chunk.name, chunk.at, 4})));
  return {chunk.name, chunk.at + 4, chunk.length - 4};
}

void PngChunks::begin_data(const Chunk& chunk) {
  if (!data_) animated_ = frames_ && (*frames_ > 1 || !frame_);
  data_ = chunk;
  data_left_ = chunk.length;
}

void PngChunks::end_data() {
  if (data_->name == "IDAT" && !has_right_checksum(*data_))
    note_damage("the checksum of its pixels is wrong, or missing");
  take(kChecksumBytes);
}

Data PngChunks::read_data(size_t most) {
  while (data_left_ == 0) {
    end_data();
    const std::optional<Chunk> chunk = next_chunk();
    if (!chunk || !is_data(*chunk)) return {};
    begin_data(without_sequence(*chunk));
  }
  const size_t length = std::min(most, data_left_);
  data_left_ -= length;
  return take(length);
}

void PngChunks::read_rest() {
  take(data_left_);
  end_data();
  for (;; take(kChecksumBytes)) {
    const std::optional<Chunk> chunk = next_chunk();
    if (!chunk) return note_damage("it does not end with the chunk IEND");
    if (chunk->name == "fcTL" && animated_) return;
    if (!has_right_checksum(*chunk))
      note_damage(fmt::format("the checksum of the chunk {} is wrong, or missing", chunk->name));
    if (chunk->name == "IEND") return;
    if (is_data(*chunk))
      take_whole(without_sequence(*chunk));
    else
      read(*chunk, take_whole(*chunk));
  }
}

void PngChunks::read(const Chunk& chunk, Data data) {
  for (const Kind& kind : kKinds) {
    if (kind.name != chunk.name) continue;
    if (data.size() < kind.min_bytes) fail("damaged PNG data: the chunk {} is too short", chunk.name);
    if (kind.read != nullptr) (this->*kind.read)(data);
  }
}

void PngChunks::read_header_chunk(Data data) {
  if (data_) return;
  header_.width = read_be(data.first(4));
  header_.height = read_be(data.subspan(4, 4));
  header_.interlaced = header_.interlaced || data[12] != std::byte{0};
  const int bits = std::to_integer<int>(data[8]), colour = std::to_integer<int>(data[9]);
  if (const int samples = samples_of(colour, bits); samples != 0) {
    header_.bits = bits;
    header_.colour = colour;
    header_.samples = samples;
  }
  if (data[11] != std::byte{0}) fail("damaged PNG data: unknown kind of filters");
}

void PngChunks::read_palette(Data data) {
  if (!data_ && header_.colour == 3) palette_ = data;
}

void PngChunks::read_transparency(Data data) {
  const size_t needed = header_.colour == 0 ? 2 : header_.colour == 2 ? 6 : 0;
  if (data.size() < needed) fail("damaged PNG data: the chunk tRNS is too short");
}

// Nothing where the data is damaged; what there is where it ends early.
std::optional<std::string> PngChunks::inflate_text(std::string_view data) {
  inflates_ = true;
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) fail("zlib cannot start: out of memory");
  std::string text(kMaxInflatedBytes, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int status = data.empty() ? Z_OK : inflate(&stream, Z_SYNC_FLUSH);
  text.resize(text.size() - stream.avail_out);
  const bool too_large = stream.avail_out == 0 && stream.avail_in > 0 && status != Z_STREAM_END;
  inflateEnd(&stream);
  if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END) return std::nullopt;
  if (too_large) fail("damaged PNG data: a text or profile of more than {} bytes", kMaxInflatedBytes);
  text.shrink_to_fit();
  return text;
}

void PngChunks::read_profile(Data data) {
  std::string_view rest = as_text(data);
  if (rest.find('\0') != std::string_view::npos) take_key(rest);
  if (rest.empty() || rest[0] != 0) fail("damaged PNG data: unknown compression in the chunk iCCP");
  inflate_text(rest.substr(1));
}

void PngChunks::read_text(Data data) {
  std::string_view text = as_text(data);
  const std::string_view key = take_key(text);
  if (key == "exif") exif_ = text;
  keep_text(key, text);
}

void PngChunks::read_compressed_text(Data data) {
  std::string_view text = as_text(data);
  const std::string_view key = take_key(text);
  if (!text.empty() && text[0] != 0) fail("damaged PNG data: unknown compression in the chunk zTXt");
  keep_text(key, inflate_text(text.substr(std::min<size_t>(text.size(), 1))).value_or(""));
}

void PngChunks::read_international_text(Data data) {
  std::string_view text = as_text(data);
  const std::string_view key = take_key(text);
  if (text.size() < 2) return;
  const bool compressed = text[0] != 0, unknown = compressed && text[1] != 0;
  text.remove_prefix(2);
  if (unknown || std::count(text.begin(), text.end(), '\0') < 2) return;
  take_key(text);  // language
  take_key(text);  // translated key
  if (!compressed) return keep_text(key, text);
  if (const std::optional<std::string> inflated = inflate_text(text)) keep_text(key, *inflated);
}

void PngChunks::keep_text(std::string_view key, std::string_view text) {
  if (key.empty()) return;
  if (key == "Raw profile type exif") raw_profile_ = text;
  if (key == "XML:com.adobe.xmp") xmp_ = text;
  texts_bytes_ += text.size();
  if (texts_bytes_ > kMaxTextsBytes) fail("damaged PNG data: more than {} bytes of text", kMaxTextsBytes);
}

void PngChunks::read_exif(Data data) { exif_ = as_text(data); }

void PngChunks::read_animation(Data data) {
  const uint32_t frames = read_be(data.first(4));
  if (frames_) {
    frames_.reset();
  } else if (frames > 0 && frames <= 0x80000000u) {
    frames_ = frames;
  }
}

void PngChunks::read_frame(Data data) {
  check_sequence(read_be(data.first(4)));
  PngBox box{.left = read_be(data.subspan(12, 4)),
             .top = read_be(data.subspan(16, 4)),
             .width = read_be(data.subspan(4, 4)),
             .height = read_be(data.subspan(8, 4))};
  if (box.left + box.width > header_.width || box.top + box.height > header_.height)
    fail("damaged PNG data: a frame of the animation reaches outside the image");
  if (!data_) frame_ = box;
}

void PngChunks::check_sequence(uint32_t number) {
  if (number != (sequence_ ? *sequence_ + 1 : 0))
    fail("damaged PNG data: chunks of the animation are missing");
  sequence_ = number;
}

PngBox PngChunks::box() const {
  return frame_.value_or(PngBox{.left = 0, .top = 0, .width = header_.width, .height = header_.height});
}

int PngChunks::orientation() const {
  std::string exif = exif_.value_or("");
  if (!exif_ && !raw_profile_.empty()) exif = exif_of_raw_profile(raw_profile_);
  return read_orientation(std::as_bytes(std::span(exif)), xmp_);
}

int64_t PngChunks::text_bytes() const {
  return static_cast<int64_t>((inflates_ ? kMaxInflatedBytes : 0) + 2 * exif_.value_or("").size() +
                              3 * raw_profile_.size() + xmp_.size());
}

}  // namespace qsweep::image
