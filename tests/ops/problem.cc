#include "ops/problem.h"

#include <algorithm>
#include <cmath>

namespace qsweep::ops::testing {

using kernels::kAbsent;
using kernels::RowBlock;

Buffer::Buffer(DType dtype, int64_t rows, int64_t cols, float everywhere)
    : dtype_(dtype), rows_(rows), cols_(cols) {
  const auto n = static_cast<size_t>(rows * stride());
  if (dtype == DType::f32) {
    wide_.assign(n, everywhere);
  } else {
    narrow_.assign(n, to_bf16(everywhere));
  }
}

MatrixView Buffer::view() {
  void* data = dtype_ == DType::f32 ? static_cast<void*>(wide_.data()) : narrow_.data();
  return {data, dtype_, rows_, cols_, stride()};
}

float Buffer::at(int64_t r, int64_t c) const {
  const auto i = static_cast<size_t>(r * stride() + c);
  return dtype_ == DType::f32 ? wide_[i] : to_float(narrow_[i]);
}

void Buffer::set(int64_t r, int64_t c, float value) {
  const auto i = static_cast<size_t>(r * stride() + c);
  if (dtype_ == DType::f32) {
    wide_[i] = value;
  } else {
    narrow_[i] = to_bf16(value);
  }
}

std::vector<float> Buffer::rows_at(int64_t first, int64_t count) const {
  std::vector<float> values;
  for (int64_t r = first; r < first + count; ++r)
    for (int64_t c = 0; c < cols_; ++c) values.push_back(at(r, c));
  return values;
}

Buffer Buffer::narrowed() const {
  Buffer b(DType::bf16, rows_, cols_, NAN);
  for (int64_t r = 0; r < rows_; ++r)
    for (int64_t c = 0; c < cols_; ++c) b.set(r, c, at(r, c));
  return b;
}

Problem::Problem(const OpCase& op, double size, bool bf16_deltas) : op_(op) {
  Rng rng(1);
  const size_t samples = op.sample_rows().size(), inputs = op.input_cols().size();
  for (size_t i = 0; i < inputs; ++i) {
    x_.emplace_back(DType::f32, op.first_input_row(i, samples), op.input_cols()[i], NAN);
    op.fill(rng, i, x_[i].f32());
  }
  place_pairs();
  for (const Pair& pair : pairs_)
    for (size_t i = 0; i < inputs; ++i) {
      if (pair.block.in[i] == kAbsent) continue;
      const int64_t rows = op.input_rows(i, pair.sample);
      const Matrix<float> d = d_[i].f32().rows_at(pair.block.in[i], rows);
      op.perturb(rng, i, x_[i].f32().rows_at(op_.first_input_row(i, pair.sample), rows), size, d);
      for (int64_t r = 0; bf16_deltas && r < rows; ++r)
        for (int64_t c = 0; c < d.cols; ++c) d.row(r)[c] = to_float(to_bf16(d.row(r)[c]));
    }
}

// Three variants per combination of present inputs; every variant of every sample, so that the variants of
// one sample are not neighbours. Unused rows now and then: some successive variants are evenly spaced, some
// are not.
void Problem::place_pairs() {
  const size_t inputs = x_.size(), samples = op_.sample_rows().size();
  const unsigned combinations = (1u << inputs) - 1;
  std::array<int64_t, 3> next{};
  for (unsigned variant = 0; variant < 3 * combinations; ++variant)
    for (size_t s = 0; s < samples; ++s) {
      const unsigned present = 1 + (variant / 3 + static_cast<unsigned>(s)) % combinations;
      RowBlock b{.rows = op_.sample_rows()[s], .parent = op_.first_row(s), .out = result_rows_};
      for (size_t i = 0; i < inputs; ++i) {
        if ((present >> i & 1) == 0) continue;
        b.in[i] = next[i];
        next[i] += op_.input_rows(i, s) + (variant % 4 == 3 ? 2 : 0);
      }
      result_rows_ += b.rows + (variant % 5 == 2 ? 1 : 0);
      pairs_.push_back({s, b});
    }
  for (size_t i = 0; i < inputs; ++i) d_.emplace_back(DType::f32, next[i], x_[i].cols(), NAN);
}

Table Problem::table(size_t input, size_t sample, const Pair* changed) const {
  Table t(op_.input_rows(input, sample), x_[input].cols());
  const int64_t first = op_.first_input_row(input, sample);
  const int64_t delta = changed == nullptr ? kAbsent : changed->block.in[input];
  for (int64_t r = 0; r < t.rows; ++r)
    for (int64_t c = 0; c < t.cols; ++c) {
      t.row(r)[c] = x_[input].at(first + r, c);
      if (delta != kAbsent) t.row(r)[c] += d_[input].at(delta + r, c);
    }
  return t;
}

std::vector<double> Problem::exact_forward(size_t sample) const {
  std::vector<Table> x;
  for (size_t i = 0; i < x_.size(); ++i) x.push_back(table(i, sample, nullptr));
  return op_.naive(sample, x).values;
}

std::vector<std::vector<double>> Problem::exact_deltas() const {
  std::vector<std::vector<double>> before, deltas;
  for (size_t s = 0; s < op_.sample_rows().size(); ++s) before.push_back(exact_forward(s));
  for (const Pair& pair : pairs_) {
    std::vector<Table> x;
    for (size_t i = 0; i < x_.size(); ++i) x.push_back(table(i, pair.sample, &pair));
    deltas.push_back(op_.naive(pair.sample, x).values);
    for (size_t i = 0; i < deltas.back().size(); ++i) deltas.back()[i] -= before[pair.sample][i];
  }
  return deltas;
}

std::vector<Matrix<const float>> Problem::inputs(const Place::Call& at) {
  std::vector<Matrix<const float>> x;
  for (Buffer& b : x_) x.push_back(at.on(Matrix<const float>(b.f32())));
  return x;
}

Buffer Problem::forward(Place& place) {
  Buffer y(DType::f32, op_.total_rows(), op_.output_cols(), kUntouched);
  const Place::Call at(place, op_.tile_bytes());
  op_.forward(at, inputs(at), at.on(y.f32()));
  return y;
}

Buffer Problem::delta(Place& place, DType dtype, Order order) {
  std::vector<RowBlock> blocks;
  for (const Pair& pair : pairs_) blocks.push_back(pair.block);
  if (order == Order::reversed) std::ranges::reverse(blocks);
  std::vector<Buffer> narrow;
  if (dtype == DType::bf16)
    for (const Buffer& d : d_) narrow.push_back(d.narrowed());
  Buffer y(dtype, result_rows_, op_.output_cols(), kUntouched);
  const Place::Call at(place, op_.tile_bytes());
  std::vector<MatrixView> dx;
  for (Buffer& d : dtype == DType::bf16 ? narrow : d_) dx.push_back(at.on(d.view()));
  op_.delta(at, blocks, inputs(at), dx, at.on(y.view()));
  return y;
}

bool Problem::only_pairs_written(const Buffer& result) const {
  std::vector<bool> written(static_cast<size_t>(result.rows()), false);
  for (const Pair& pair : pairs_)
    for (int64_t r = 0; r < pair.block.rows; ++r) written[static_cast<size_t>(pair.block.out + r)] = true;
  for (int64_t r = 0; r < result.rows(); ++r)
    for (int64_t c = written[static_cast<size_t>(r)] ? result.cols() : 0; c < result.stride(); ++c)
      if (!(result.at(r, c) == kUntouched)) return false;
  return true;
}

}  // namespace qsweep::ops::testing
