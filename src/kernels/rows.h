// Row kernels (row_block.h) of softmax, conversions, reductions and logits.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"
#include "tensor/dtype.h"
#include "tensor/matrix_view.h"

namespace qsweep {
struct TensorView;
}

namespace qsweep::kernels {

// --- softmax of attention logits
// Keys [from, to); every query sees at least one.
struct KeyRange {
  int64_t from = 0;
  int64_t to = 0;
};
// The query rows of one tile, for all heads: row (h, i) of `heads * queries`, each over `keys` columns. Query
// i sees the columns seen(i).
struct AttentionTile {
  int64_t heads = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  float scale = 1;
  const KeyRange* visible = nullptr;  // per query, in the device's memory; null: all see all
  int64_t first_key = 0;              // of the tile, as `visible` counts them
  const float* sinks = nullptr;       // per head, in the device's memory; null: none

  constexpr KeyRange seen(int64_t query) const {
    if (visible == nullptr) return {0, keys};
    return {visible[query].from - first_key, visible[query].to - first_key};
  }
  // Of a row of all heads; e^sink is a further term of its softmax's sum.
  constexpr float sink(int64_t row) const {
    return sinks == nullptr ? -std::numeric_limits<float>::infinity() : sinks[row / queries];
  }
};
// In: s = q k^T. Out: s = scaled logits, p = probabilities (0 where invisible), and per row the log-sum-exp
// and the largest logit's column.
void softmax(Device device, const AttentionTile& tile, Matrix<float> s, Matrix<float> p, std::span<float> lse,
             std::span<int32_t> argmax);
// In: ds = the change of q k^T, [pairs * heads * queries, keys]; out: dp, the change of the probabilities, in
// the same rows (dtype of dp; f32 may be in place). Sinks do not change.
void softmax_delta(Device device, const AttentionTile& tile, Matrix<const float> s, Matrix<const float> p,
                   std::span<const float> lse, std::span<const int32_t> argmax, Matrix<const float> ds,
                   MatrixView dp);
// ds = scale P (dp - sum P dp), the cotangents of q k^T for those of the probabilities; rows and dtypes as
// above.
void softmax_vjp(Device device, const AttentionTile& tile, Matrix<const float> p, std::span<const float> lse,
                 std::span<const int32_t> argmax, Matrix<const float> dp, MatrixView ds);

// --- conversions
void to_f32(Device device, TensorView x, Matrix<float> y);  // bf16, f16 or f32, same number of elements
void convert(Device device, Matrix<const float> x, MatrixView y);
// x as a sum of bf16 matrices: parts [n * rows, cols], the first `rows` rows hold x rounded, each further
// group what the ones before leave. Three parts are exact but for underflow, two within 2^-18 of every
// element. add_parts: the rows' sums, smallest first, the same way back: y = (y if accumulate) + (bias if
// any) + parts.
void split(Device device, Matrix<const float> x, Matrix<bf16> parts);
void add_parts(Device device, Matrix<const float> parts, const float* bias, bool accumulate, Matrix<float> y);
// y = parent + d, in d's dtype or f32 (a block without delta rows copies the parent).
void add_to_parent(Device device, std::span<const RowBlock> blocks, Matrix<const float> parent, MatrixView d,
                   MatrixView y);
// y = a - parent, rounded to y's dtype; a is f32 or y's dtype, and may be y (a block without rows of a:
// minus the parent).
void subtract_parent(Device device, std::span<const RowBlock> blocks, MatrixView a,
                     Matrix<const float> parent, MatrixView y);

// y = x less its mean row. sums, [kMeanPieces, cols], is overwritten.
inline constexpr int64_t kMeanPieces = 32;
void subtract_mean(Device device, Matrix<const float> x, Matrix<double> sums, Matrix<float> y);

// --- reductions, per row
void row_absmax(Device device, Matrix<const float> x, std::span<float> absmax);
void row_min_max(Device device, Matrix<const float> x, std::span<float> min, std::span<float> max);
void row_squared_norm(Device device, MatrixView x, std::span<double> squared_norm);
// Of all rows together, in the device's memory; 0 for none.
void squared_norm(Device device, MatrixView x, double* sum);

// --- output metrics of logits, tile by tile over the vocabulary, all sums in f64
struct LogitsNormalizer {  // online log-sum-exp and argmax of a reference row
  double max = 0, sum = 0;
  int64_t argmax = -1;  // -1: no tile seen yet
};
void update_normalizers(Device device, Matrix<const float> logits, int64_t first_column,
                        std::span<LogitsNormalizer> rows);
// p = exp(logits - log-sum-exp).
void probabilities(Device device, Matrix<const float> logits, std::span<const LogitsNormalizer> rows,
                   Matrix<double> p);

// The sums of one variant's row, from which its metrics follow: p are the reference's probabilities, d the
// change of the logits, of which a shift common to the whole row is taken out first (softmax does not see it,
// but e^d would).
struct LogitsSums {
  double shift = 0;         // set by the caller, near d where p is large
  double squared = 0;       // sum d^2
  double mean = 0;          // sum p (d - shift)
  double curvature = 0;     // sum p (e^(d - shift) - 1 - (d - shift))
  double mass = 0;          // sum p e^(d - shift), exact also where it is far below 1
  double target_delta = 0;  // d - shift of the true next token
  double best = 0;          // the largest changed logit and its column
  int64_t argmax = -1;
};
// shift = the row's delta times the parent row of `direction` (a column of the head's product, found ahead of
// it).
void shift_along(Device device, std::span<const RowBlock> blocks, Matrix<const float> direction, MatrixView d,
                 std::span<LogitsSums> sums);
// target: per parent row the true next token, or -1.
void accumulate_logits(Device device, std::span<const RowBlock> blocks, Matrix<const float> logits,
                       Matrix<const double> p, Matrix<const float> d, int64_t first_column,
                       std::span<const int32_t> target, std::span<LogitsSums> sums);

}  // namespace qsweep::kernels
