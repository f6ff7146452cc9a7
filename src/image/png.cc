// PNG pixels. Not by libpng, which gives up on files that Pillow reads and reads some that Pillow does not:
// this follows Pillow's own decoder, which inflates row by row and looks at no more of the data than that.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include <zlib.h>

#include "base/error.h"
#include "image/codecs.h"
#include "image/png_chunks.h"

namespace qsweep::image {
namespace {

constexpr size_t kPieceBytes = 65536;  // Pillow hands on so much at once
constexpr int64_t kInflateBytes = 48 << 10;

// One of the passes of an interlaced image: the columns and rows it has.
struct Pass {
  int64_t x, dx, y, dy;
};
constexpr Pass kPasses[] = {{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4},
                            {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}};
constexpr Pass kWhole{0, 1, 0, 1};

// Undoes the filter of a row. `row` and `above` have the filter's number before the first byte.
void unfilter(std::vector<uint8_t>& row, const std::vector<uint8_t>& above, size_t bytes, size_t step) {
  const auto left = [&](size_t i) { return i > step ? row[i - step] : 0; };
  const auto above_left = [&](size_t i) { return i > step ? above[i - step] : 0; };
  switch (row[0]) {
    case 0:
      return;
    case 1:
      for (size_t i = step + 1; i <= bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + row[i - step]);
      return;
    case 2:
      for (size_t i = 1; i <= bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
      return;
    case 3:
      for (size_t i = 1; i <= bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + (left(i) + above[i]) / 2);
      return;
    case 4:
      for (size_t i = 1; i <= bytes; ++i) {
        const int a = left(i), b = above[i], c = above_left(i);
        const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
        row[i] = static_cast<uint8_t>(row[i] + (pa <= pb && pa <= pc ? a : pb <= pc ? b : c));
      }
      return;
    default:
      fail("damaged PNG data: a row with the unknown filter {}", row[0]);
  }
}

class Inflater {
 public:
  Inflater() {
    if (inflateInit(&stream_) != Z_OK) fail("zlib cannot start: out of memory");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  void feed(std::span<const std::byte> data) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(data.data()));
    stream_.avail_in = static_cast<uInt>(data.size());
  }
  bool hungry() const { return stream_.avail_in == 0; }
  bool ended() const { return status_ == Z_STREAM_END; }
  // Returns how much of `out` was filled.
  size_t fill(std::span<uint8_t> out) {
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    status_ = inflate(&stream_, Z_NO_FLUSH);
    if (status_ < 0)
      fail("damaged PNG data: {}", stream_.msg != nullptr ? stream_.msg : "it does not inflate");
    return out.size() - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  int status_ = Z_OK;
};

// Where the rows of the data go: rows of the image, or of the passes of an interlaced one.
class Raster {
 public:
  Raster(const PngBox& box, bool interlaced) : box_(box), interlaced_(interlaced) { skip_empty(); }

  bool ended() const { return pass_ == (interlaced_ ? std::size(kPasses) : 1); }
  const Pass& pass() const { return interlaced_ ? kPasses[pass_] : kWhole; }
  int64_t y() const { return y_; }
  int64_t width() const { return (box_.width - pass().x + pass().dx - 1) / pass().dx; }
  // Returns whether a new pass begins, whose first row has nothing above it.
  bool next() {
    y_ += pass().dy;
    return skip_empty();
  }

 private:
  bool skip_empty() {
    bool moved = false;
    for (; !ended() && (y_ >= box_.height || width() <= 0); moved = true) {
      ++pass_;
      if (!ended()) y_ = pass().y;
    }
    return moved;
  }

  PngBox box_;
  bool interlaced_;
  size_t pass_ = 0;
  int64_t y_ = 0;
};

class PngReader : public ImageReader {
 public:
  PngReader(std::span<const std::byte> file, int64_t max_pixels) : chunks_(file) {
    chunks_.read_header();
    const PngHeader& header = chunks_.header();
    width_ = header.width;
    height_ = header.height;
    check_size(width_, height_, max_pixels);
    bits_ = header.samples * header.bits;
    box_ = chunks_.box();
    if (box_.width < 1 || box_.height < 1) fail("damaged PNG data: an empty frame of an animation");
    if (header.colour == 3) read_palette();
    look_ahead();
    const int64_t held = header.interlaced ? width_ * height_ : width_;
    bytes_ += 2 * (row_bytes(box_.width) + 1) + 3 * box_.width + 3 * held + kInflateBytes;
  }

  void read_rows(const RowSink& sink) override;

 private:
  void read_palette();
  void look_ahead();
  int64_t row_bytes(int64_t width) const { return (width * bits_ + 7) / 8; }
  // Calls take(raster, row) for the rows of the data, which are samples without a filter.
  template <class Take>
  void inflate_rows(const Take& take);
  void to_rgb(const uint8_t* row, int64_t width, uint8_t* rgb) const;
  void fill_with_background(std::vector<uint8_t>& rgb) const;
  void read_plain(const RowSink& sink);
  void read_interlaced(const RowSink& sink);

  PngChunks chunks_;
  PngBox box_;
  int64_t bits_ = 0;                    // of a pixel
  std::array<uint8_t, 768> palette_{};  // [256, 3]
};

void PngReader::read_palette() {
  const PngChunks::Data palette = chunks_.palette();
  if (palette.size() > palette_.size()) fail("damaged PNG data: a palette of {} bytes", palette.size());
  std::copy_n(reinterpret_cast<const uint8_t*>(palette.data()), palette.size() / 3 * 3, palette_.begin());
}

// The orientation may stand behind the pixels. What is wrong there shows once they are read.
void PngReader::look_ahead() {
  PngChunks rest = chunks_;
  try {
    rest.read_rest();
    orientation_ = rest.orientation();
  } catch (const Error&) {
    orientation_ = 1;
  }
  bytes_ += rest.text_bytes();
}

template <class Take>
void PngReader::inflate_rows(const Take& take) {
  Inflater inflater;
  Raster raster(box_, chunks_.header().interlaced);
  const size_t step = static_cast<size_t>((bits_ + 7) / 8);
  std::vector<uint8_t> row(static_cast<size_t>(row_bytes(box_.width)) + 1), above(row.size());
  size_t filled = 0;
  for (;;) {
    if (inflater.hungry()) {
      const PngChunks::Data piece = chunks_.read_data(kPieceBytes);
      if (piece.empty()) fail("damaged PNG data: the pixels end early");
      inflater.feed(piece);
    }
    const size_t needed = static_cast<size_t>(row_bytes(raster.width())) + 1;
    filled += inflater.fill(std::span(row).subspan(filled, needed - filled));
    if (filled < needed) {
      inflater.feed({});  // as Pillow, which then waits for more
      continue;
    }
    unfilter(row, above, needed - 1, step);
    take(raster, row.data() + 1);
    if (raster.next()) std::fill(row.begin(), row.end(), uint8_t{0});
    if (raster.ended()) return;
    if (inflater.ended()) {
      damage_ = "its pixels end early: the rest is black";
      return;
    }
    std::swap(row, above);
    filled = 0;
  }
}

// `width` pixels of any kind.
void PngReader::to_rgb(const uint8_t* row, int64_t width, uint8_t* rgb) const {
  const PngHeader& header = chunks_.header();
  const bool wide = header.bits == 16;
  if (header.colour == 0 && wide) {  // Pillow clips it
    for (int64_t x = 0; x < width; ++x, row += 2, rgb += 3) std::fill_n(rgb, 3, row[0] != 0 ? 255 : row[1]);
  } else if (header.bits >= 8 && header.colour != 3) {
    const int64_t sample = wide ? 2 : 1, pixel = bits_ / 8;
    const int64_t next = (header.colour & 2) != 0 ? sample : 0;  // to the next colour; none where it is grey
    for (int64_t x = 0; x < width; ++x, row += pixel, rgb += 3)
      for (int64_t c = 0; c < 3; ++c) rgb[c] = row[c * next];
  } else {
    const int bits = header.bits, most = (1 << bits) - 1;
    for (int64_t x = 0; x < width; ++x, rgb += 3) {
      const int value = row[x * bits / 8] >> (8 - bits - x * bits % 8) & most;
      if (header.colour == 3)
        std::copy_n(palette_.data() + 3 * value, 3, rgb);
      else
        std::fill_n(rgb, 3, static_cast<uint8_t>(value * (255 / most)));
    }
  }
}

void PngReader::fill_with_background(std::vector<uint8_t>& rgb) const {
  std::fill(rgb.begin(), rgb.end(), uint8_t{0});
  if (chunks_.header().colour != 3) return;
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = palette_[i % 3];
}

void PngReader::read_plain(const RowSink& sink) {
  std::vector<uint8_t> rgb(static_cast<size_t>(3 * width_));
  fill_with_background(rgb);
  int64_t rows = 0;
  const auto fill_to = [&](int64_t end) {
    for (; rows < end; ++rows) sink(rgb.data());
  };
  fill_to(box_.top);
  inflate_rows([&](const Raster&, const uint8_t* row) {
    to_rgb(row, box_.width, rgb.data() + 3 * box_.left);
    sink(rgb.data());
    ++rows;
  });
  fill_with_background(rgb);
  fill_to(height_);
}

void PngReader::read_interlaced(const RowSink& sink) {
  std::vector<uint8_t> image(static_cast<size_t>(3 * width_ * height_));
  fill_with_background(image);
  std::vector<uint8_t> rgb(static_cast<size_t>(3 * box_.width));
  inflate_rows([&](const Raster& raster, const uint8_t* row) {
    to_rgb(row, raster.width(), rgb.data());
    uint8_t* out = image.data() + 3 * (raster.y() * width_ + raster.pass().x);
    for (int64_t i = 0; i < raster.width(); ++i, out += 3 * raster.pass().dx)
      std::copy_n(rgb.data() + 3 * i, 3, out);
  });
  for (int64_t y = 0; y < height_; ++y) sink(image.data() + 3 * y * width_);
}

void PngReader::read_rows(const RowSink& sink) {
  if (chunks_.header().interlaced)
    read_interlaced(sink);
  else
    read_plain(sink);
  chunks_.read_rest();
  chunks_.orientation();  // an Error where it cannot be told
  if (damage_.empty()) damage_ = chunks_.damage();
}

}  // namespace

std::unique_ptr<ImageReader> open_png(std::span<const std::byte> bytes, int64_t max_pixels) {
  return std::make_unique<PngReader>(bytes, max_pixels);
}

}  // namespace qsweep::image
