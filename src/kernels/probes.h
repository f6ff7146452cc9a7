// Random output probes and what is summed up with them.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/rows.h"

namespace qsweep::kernels {

// What the rows of a probe are, as gradients with respect to the logits z of a row; e are random signs, p =
// softmax(z).
enum class ProbeKind {
  rademacher,  // e: the mean of (u dz)^2 is |dz|^2
  fisher,  // sqrt(p) e - p sum(sqrt(p) e): the mean of (u dz)^2 is dz (diag p - p p^T) dz, twice the KL to
           // second order
  cross_entropy,  // p - 1 at the target: the gradient of the row's negative log-likelihood
};

// One row of a probe.
struct ProbeRow {
  uint64_t stream = 0;    // of the signs: independent ones for every (stream, column)
  bool used = true;       // otherwise the row is 0
  int32_t target = -1;    // cross_entropy
  double projection = 0;  // fisher: sum(sqrt(p) e) over the whole row
};

// The random signs of as many neighbouring columns are the bits of one number.
inline constexpr int64_t kSignBlock = 64;
constexpr int64_t sign_blocks(int64_t first_column, int64_t columns) {
  return (first_column + columns + kSignBlock - 1) / kSignBlock - first_column / kSignBlock;
}

// probes holds probe after probe as many rows as the logits have; u is [probes, columns] for columns
// [first_column, first_column + columns) of the vocabulary.
void fill_probes(Device device, ProbeKind kind, std::span<const ProbeRow> probes, Matrix<const float> logits,
                 std::span<const LogitsNormalizer> normalizers, int64_t first_column, MatrixView u);
// fisher: adds these columns' part to every row's projection.
void add_projections(Device device, std::span<ProbeRow> probes, Matrix<const float> logits,
                     std::span<const LogitsNormalizer> normalizers, int64_t first_column);

// Per row r of g, with e's row r mod e.rows: sum(g e).
void row_products(Device device, MatrixView g, Matrix<const float> e, std::span<double> sums);
// sum((g e)^2).
void row_squared_products(Device device, MatrixView g, Matrix<const float> e, std::span<double> sums);

// Per row of the blocks its products with all probes: products[row, probe] += sum(u (d - shift)), [rows of d,
// probes]. u holds probe after probe as many rows as the blocks' parent has; `shifts`, by the rows that
// blocks write, are taken out of d first, where there are any.
void probe_products(Device device, std::span<const RowBlock> blocks, int64_t probes, Matrix<const float> u,
                    MatrixView d, std::span<const LogitsSums> shifts, std::span<double> products);

}  // namespace qsweep::kernels
