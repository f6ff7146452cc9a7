// The bodies of the output metrics of logits. Compiled once per instruction set and for CUDA, in the words of
// lanes.h.
#include <cmath>
#include <limits>

#include "kernels/lanes.h"
#include "kernels/rows.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

using L64 = Lanes64;

QSWEEP_KERNEL void UpdateNormalizers(int64_t begin, int64_t end, Matrix<const float> logits,
                                     int64_t first_column, LogitsNormalizer* rows) {
  for (int64_t r = begin; r < end; ++r) {
    const float* z = logits.row(r);
    LogitsNormalizer row = rows[r];
    const double top = L::max(logits.cols, [&](auto at) QSWEEP_LANES { return L::load(z, at); });
    if (row.argmax < 0 || top > row.max) {
      row.sum = row.argmax < 0 ? 0 : row.sum * std::exp(row.max - top);
      row.max = top;
      const auto largest = L::set(static_cast<float>(top));
      row.argmax = first_column +
                   L::first(logits.cols - 1, [&](auto at) QSWEEP_LANES { return L::load(z, at) == largest; });
    }
    const auto shift = L64::set(row.max);
    row.sum +=
        L64::sum(logits.cols, [&](auto at) QSWEEP_LANES { return L64::exp(L64::load(z, at) - shift); });
    L::once([&]() QSWEEP_LANES { rows[r] = row; });
  }
}

QSWEEP_KERNEL void Probabilities(int64_t begin, int64_t end, Matrix<const float> logits,
                                 const LogitsNormalizer* rows, Matrix<double> p) {
  for (int64_t r = begin; r < end; ++r) {
    const auto log_sum = L64::set(rows[r].max + std::log(rows[r].sum));
    L64::each(logits.cols, [&](auto at) QSWEEP_LANES {
      L64::store(L64::exp(L64::load(logits.row(r), at) - log_sum), p.row(r), at);
    });
  }
}

// How large the changes of a row are: how e^d - 1 - d is computed.
enum class Changes { tiny, small, any };

template <Changes kChanges>
QSWEEP_KERNEL void accumulate_row(int64_t n, const float* z, const double* p, const float* d,
                                  int64_t first_column, LogitsSums& sums) {
  const auto shift = L64::set(sums.shift), lowest = L64::set(-std::numeric_limits<double>::infinity());
  auto squared = L64::zero(), mean = L64::zero(), curvature = L64::zero(), mass = L64::zero(), top = lowest;
  L64::each(n, [&](auto at) QSWEEP_LANES {
    const auto change = L64::load(d, at), weight = L64::load(p, at);
    const auto x = L64::inside(change - shift, at, L64::zero());
    squared = L64::fma(change, change, squared);
    mean = L64::fma(weight, x, mean);
    if constexpr (kChanges == Changes::tiny) {
      curvature = L64::fma(weight, L64::expm1_minus_x_tiny(x), curvature);
    } else {
      curvature = L64::fma(weight, L64::expm1_minus_x(x), curvature);
    }
    // Where every change is small the three sums add up without loss; otherwise e^d is worth its cost.
    mass = kChanges == Changes::any ? L64::fma(weight, L64::exp(x), mass) : mass + weight;
    top = L64::larger(top, L64::inside(L64::load(z, at) + change, at, lowest));
  });
  const double mean_sum = L64::sum_of(mean), curvature_sum = L64::sum_of(curvature);
  sums.squared += L64::sum_of(squared);
  sums.mean += mean_sum;
  sums.curvature += curvature_sum;
  sums.mass += L64::sum_of(mass) + (kChanges == Changes::any ? 0 : mean_sum + curvature_sum);
  const double best = L64::max_of(top);
  if (sums.argmax < 0 || best > sums.best) {
    sums.best = best;
    const int64_t column = L64::first(
        n, [&](auto at) QSWEEP_LANES { return L64::load(z, at) + L64::load(d, at) == L64::set(best); });
    if (column < n) sums.argmax = first_column + column;
  }
}

QSWEEP_KERNEL void accumulate_row(int64_t n, const float* z, const double* p, const float* d,
                                  int64_t first_column, LogitsSums& sums) {
  const auto shift = L::set(static_cast<float>(sums.shift));
  const float largest = L::max(n, [&](auto at) QSWEEP_LANES { return L::abs(L::load(d, at) - shift); });
  if (largest < 0x1p-6f) return accumulate_row<Changes::tiny>(n, z, p, d, first_column, sums);
  if (largest < 0.3f) return accumulate_row<Changes::small>(n, z, p, d, first_column, sums);
  accumulate_row<Changes::any>(n, z, p, d, first_column, sums);
}

template <class T>
QSWEEP_KERNEL void shift_along_rows(const RowBlock& b, int64_t first, int64_t count,
                                    Matrix<const float> direction, MatrixView d, LogitsSums* sums) {
  for (int64_t r = first; r < first + count; ++r) {
    const float* along = direction.row(b.parent + r);
    const T* change = d.as<T>().row(b.in[0] + r);
    const float shift =
        L::sum(d.cols, [&](auto at) QSWEEP_LANES { return L::load(along, at) * L::load(change, at); });
    L::once([&]() QSWEEP_LANES { sums[b.out + r].shift = shift; });
  }
}

QSWEEP_KERNEL void ShiftAlong(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> direction,
                              MatrixView d, LogitsSums* sums) {
  if (d.dtype == DType::bf16) {
    shift_along_rows<bf16>(b, first, count, direction, d, sums);
  } else {
    shift_along_rows<float>(b, first, count, direction, d, sums);
  }
}

QSWEEP_KERNEL void AccumulateLogits(const RowBlock& b, int64_t first, int64_t count,
                                    Matrix<const float> logits, Matrix<const double> p, Matrix<const float> d,
                                    int64_t first_column, const int32_t* target, LogitsSums* sums) {
  for (int64_t r = first; r < first + count; ++r) {
    LogitsSums row = sums[b.out + r];
    const float* change = d.row(b.in[0] + r);
    accumulate_row(logits.cols, logits.row(b.parent + r), p.row(b.parent + r), change, first_column, row);
    const int64_t column = target[b.parent + r] - first_column;
    if (column >= 0 && column < logits.cols) row.target_delta = change[column] - row.shift;
    L::once([&]() QSWEEP_LANES { sums[b.out + r] = row; });
  }
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
