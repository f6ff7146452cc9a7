#include "inc/quantized.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/embedding.h"

namespace qsweep::inc {
namespace {

constexpr float kSmallestScale = std::numeric_limits<float>::epsilon();
constexpr float kMaxCode = 255;
constexpr int64_t kPartFeatures = 64;            // granularity of QuantizedWeight::parts
constexpr int64_t kExactSum = int64_t{1} << 24;  // f32 holds all integers up to here

// Half to even. Beyond the bound it does not matter where a value lies: its code is clamped anyway.
float round_code(float x) {
  constexpr float kBound = 1024;
  constexpr float kShift = 12582912;  // 1.5 * 2^23: one unit in the last place is 1
  return (std::clamp(x, -kBound, kBound) + kShift) - kShift;
}

void store(float x, float* y) { *y = x; }
void store(float x, bf16* y) { *y = to_bf16(x); }

template <class T>
void weight_codes(Matrix<const float> w, std::span<const float> scale, int64_t row, Matrix<T> codes,
                  int32_t* part_sums) {
  const float inverse = 1.0f / scale[static_cast<size_t>(row)];
  for (int64_t c = 0; c < w.cols; ++c) {
    const float code = std::clamp(round_code(w.row(row)[c] * inverse), -128.0f, 127.0f);
    store(code, codes.row(row) + c);
    part_sums[c / kPartFeatures] += static_cast<int32_t>(std::abs(code));
  }
}

// x's codes less the zero point.
template <class T>
void activation_codes(Matrix<const float> x, const AffineU8& q, int64_t row, Matrix<T> codes) {
  const float inverse = 1.0f / q.scale;
  const auto zero = static_cast<float>(q.zero_point);
  for (int64_t c = 0; c < x.cols; ++c)
    store(std::clamp(round_code(x.row(row)[c] * inverse) + zero, 0.0f, kMaxCode) - zero, codes.row(row) + c);
}

// Calls body(Matrix) with the codes' own element type.
template <class Body>
void with_type(const MatrixView& codes, Body&& body) {
  codes.dtype == DType::f32 ? body(codes.as<float>()) : body(codes.as<bf16>());
}

MatrixView view_of_block(const graph::Workspace::Block& block, DType dtype, int64_t rows, int64_t cols) {
  return {block.data(), dtype, rows, cols, cols};
}

DType code_type(const graph::Pass& pass) { return pass.ops.gemm.native_bf16() ? DType::bf16 : DType::f32; }

// Where to cut the input features so that max |x code| times the sum of |w codes| stays exact in every run.
std::vector<int64_t> exact_parts(const std::vector<int32_t>& sums, int64_t rows, int64_t in) {
  const int64_t blocks = (in + kPartFeatures - 1) / kPartFeatures;
  std::vector<int64_t> running(static_cast<size_t>(rows)), parts;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto sum = [&](int64_t r) { return sums[static_cast<size_t>(r * blocks + block)]; };
    int64_t most = 0;
    for (int64_t r = 0; r < rows; ++r) most = std::max(most, running[static_cast<size_t>(r)] += sum(r));
    if (most * static_cast<int64_t>(kMaxCode) <= kExactSum) continue;
    parts.push_back(block * kPartFeatures);
    for (int64_t r = 0; r < rows; ++r) running[static_cast<size_t>(r)] = sum(r);
  }
  parts.push_back(in);
  return parts;
}

// The integer sums sum_k (x - zero point)_k w_k. Those of a part are exact in f32, their sums in f64.
class IntegerSums {
 public:
  // Into y, or where there are several parts into an f64 block beside it.
  IntegerSums(const graph::Pass& pass, const QuantizedWeight& weight, MatrixView x, Matrix<float> y) : y_(y) {
    const bool dry = pass.workspace.dry();  // the number of parts is not known then
    if (dry || weight.parts.size() > 1) block_ = pass.workspace.allocate(DType::f64, y.rows, y.cols);
    int64_t first = 0;
    for (const int64_t last : weight.parts) {
      const int64_t count = last - first;
      pass.ops.gemm.linear(x.cols_at(first, count), weight.codes.cols_at(first, count), view_of(y));
      if (block_) add(pass.ops.threads(), first == 0);
      first = last;
    }
  }

  // Rounded to f32 once, as an int32 is converted.
  float at(int64_t row, int64_t col) const {
    return block_ ? static_cast<float>(sums().row(row)[col]) : y_.row(row)[col];
  }

 private:
  Matrix<double> sums() const { return {static_cast<double*>(block_->data()), y_.rows, y_.cols}; }

  void add(Threads threads, bool start) {
    parallel_for(threads, y_.rows, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < y_.cols; ++c)
          sums().row(r)[c] = (start ? 0 : sums().row(r)[c]) + static_cast<double>(y_.row(r)[c]);
    });
  }

  Matrix<float> y_;
  std::shared_ptr<graph::Workspace::Block> block_;
};

}  // namespace

QuantizedWeight quantize_weight(const graph::Pass& pass, Matrix<const float> weight) {
  const int64_t out = weight.rows, in = weight.cols;
  QuantizedWeight q;
  q.block = pass.workspace.allocate(code_type(pass), out, in);
  q.codes = view_of_block(*q.block, code_type(pass), out, in);
  if (pass.workspace.dry()) return q;
  const Threads threads = pass.ops.threads();
  q.scale.resize(static_cast<size_t>(out));
  kernels::row_absmax(threads, weight, q.scale);
  for (float& s : q.scale) s = std::max(s / 127.5f, kSmallestScale);
  const int64_t blocks = (in + kPartFeatures - 1) / kPartFeatures;
  std::vector<int32_t> sums(static_cast<size_t>(out * blocks));
  with_type(q.codes, [&](auto codes) {
    parallel_for(threads, out, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) weight_codes(weight, q.scale, r, codes, sums.data() + r * blocks);
    });
  });
  q.parts = exact_parts(sums, out, in);
  return q;
}

void quantized_linear(const graph::Pass& pass, const QuantizedWeight& weight, const float* bias,
                      const LinearRanges& ranges, Matrix<const float> x, Matrix<float> y) {
  const auto block = pass.workspace.allocate(code_type(pass), x.rows, x.cols);
  const MatrixView x_codes = view_of_block(*block, code_type(pass), x.rows, x.cols);
  const Threads threads = pass.ops.threads();
  if (!pass.workspace.dry())
    with_type(x_codes, [&](auto codes) {
      parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) activation_codes(x, ranges.input, r, codes);
      });
    });
  const IntegerSums sums(pass, weight, x_codes, y);
  if (pass.workspace.dry()) return;
  // FBGEMM's requantization: the bias in units of the sum, one f32 multiplier per output channel.
  std::vector<float> offset(weight.scale.size()), multiplier(offset);
  for (size_t c = 0; c < multiplier.size(); ++c) {
    const float unit = ranges.input.scale * weight.scale[c];
    offset[c] = bias == nullptr ? 0 : bias[c] / unit;
    multiplier[c] = unit / ranges.output.scale;
  }
  const auto zero = static_cast<float>(ranges.output.zero_point);
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < y.cols; ++c) {
        const float scaled =
            (sums.at(r, c) + offset[static_cast<size_t>(c)]) * multiplier[static_cast<size_t>(c)];
        y.row(r)[c] = (std::clamp(round_code(scaled) + zero, 0.0f, kMaxCode) - zero) * ranges.output.scale;
      }
  });
}

void quantized_embedding(const graph::Pass& pass, const TensorView& table, Matrix<float> y) {
  if (pass.workspace.dry()) return;
  ops::embedding::forward(pass.ops, pass.batch.token_ids(), table, y);
  for (int64_t r = 0; r < y.rows; ++r) {
    float* row = y.row(r);
    const auto [low, high] = std::minmax_element(row, row + y.cols);
    const float span = (*high - *low) / kMaxCode, scale = span > kSmallestScale ? span : 1.0f;
    const float zero = -*low / scale, inverse = 1.0f / scale, offset = -zero * scale;
    for (int64_t c = 0; c < y.cols; ++c) {
      // Not round_code: the float zero point is added before rounding and may be large.
      const float code = std::clamp(std::nearbyint(row[c] * inverse + zero), 0.0f, kMaxCode);
      row[c] = std::fma(code, scale, offset);
    }
  }
}

}  // namespace qsweep::inc
