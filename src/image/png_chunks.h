// The chunks of a PNG file, read as leniently and as strictly as Pillow's PngImagePlugin reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qsweep::image {

struct PngHeader {
  int64_t width = 0;
  int64_t height = 0;
  int bits = 0;     // of a sample
  int colour = 0;   // PNG's colour type
  int samples = 0;  // of a pixel; 0 while the kind of pixels is not known
  bool interlaced = false;
};

// The part of the image that the data fills.
struct PngBox {
  int64_t left = 0, top = 0, width = 0, height = 0;
};

// A position among a file's chunks, and what those before it have said. A copy can look ahead.
class PngChunks {
 public:
  using Data = std::span<const std::byte>;

  // At the first chunk, behind the signature.
  explicit PngChunks(Data file) : file_(file), at_(kSignatureBytes) {}

  // Reads up to the first data. Error on whatever Pillow refuses, wrong checksums among it.
  void read_header();
  // The next piece of the compressed pixels, of at most `most` bytes; empty where there is none. A wrong
  // checksum is only noted, as nothing else is lost with it.
  Data read_data(size_t most);
  // Reads what comes behind the pixels. Where and how the file ends does not matter, but chunks that are
  // there must be sound.
  void read_rest();

  const PngHeader& header() const { return header_; }
  PngBox box() const;
  Data palette() const { return palette_; }  // 3 bytes an entry
  int orientation() const;
  // What is damaged in what was read so far; empty where nothing is.
  const std::string& damage() const { return damage_; }
  // What reading the file's texts takes.
  int64_t text_bytes() const;

 private:
  static constexpr size_t kSignatureBytes = 8;
  struct Chunk {
    std::string_view name;
    size_t at = 0;  // of the data
    size_t length = 0;
  };
  struct Kind;
  static const Kind kKinds[];

  std::optional<Chunk> next_chunk();  // nothing where the file ends, or goes on with no chunk
  Data take(size_t length);           // up to the file's end
  Data take_whole(const Chunk& chunk);
  bool has_right_checksum(const Chunk& chunk) const;
  bool is_data(const Chunk& chunk) const;
  Chunk without_sequence(Chunk chunk);
  void begin_data(const Chunk& chunk);
  void end_data();
  void note_damage(std::string what);

  void read(const Chunk& chunk, Data data);
  void read_header_chunk(Data data);
  void read_palette(Data data);
  void read_transparency(Data data);
  void read_profile(Data data);
  void read_text(Data data);
  void read_compressed_text(Data data);
  void read_international_text(Data data);
  void read_exif(Data data);
  void read_animation(Data data);
  void read_frame(Data data);
  void check_sequence(uint32_t number);
  void keep_text(std::string_view key, std::string_view text);
  std::optional<std::string> inflate_text(std::string_view data);

  Data file_;
  size_t at_;
  PngHeader header_;
  Data palette_;
  std::optional<PngBox> frame_;       // of an animation
  std::optional<uint32_t> frames_;    // in the animation
  std::optional<uint32_t> sequence_;  // number of the last chunk of the animation
  bool animated_ = false;
  std::optional<Chunk> data_;  // the chunk that is being read
  size_t data_left_ = 0;
  std::string damage_;
  std::optional<std::string> exif_;
  std::string raw_profile_;
  std::string xmp_;
  size_t texts_bytes_ = 0;  // of all texts
  bool inflates_ = false;   // some of them
};

}  // namespace qsweep::image
