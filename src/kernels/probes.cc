#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/probes.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/probes-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(FillProbes);
QSWEEP_EXPORT(AddProjections);
QSWEEP_EXPORT(RowProducts);
QSWEEP_EXPORT(RowSquaredProducts);
QSWEEP_EXPORT(ProbeProducts);

namespace {

// Rows that meet the same probes follow each other, so that these stay in the nearest cache.
std::vector<RowBlock> rows_by_parent(std::span<const RowBlock> blocks, int64_t parents) {
  std::vector<RowBlock> rows;
  for (int64_t parent = 0; parent < parents; ++parent)
    for (const RowBlock& b : blocks) {
      const int64_t r = parent - b.parent;
      if (r < 0 || r >= b.rows) continue;
      rows.push_back({.rows = 1, .parent = parent, .in = {b.in[0] + r, kAbsent, kAbsent}, .out = b.out + r});
    }
  return rows;
}

}  // namespace

void fill_probes(Device device, ProbeKind kind, std::span<const ProbeRow> probes, Matrix<const float> logits,
                 std::span<const LogitsNormalizer> normalizers, int64_t first_column, MatrixView u) {
  run_rows(device, u.rows, QSWEEP_KERNEL_OF(FillProbes), kind, probes.data(), logits, normalizers.data(),
           first_column, u);
}

void add_projections(Device device, std::span<ProbeRow> probes, Matrix<const float> logits,
                     std::span<const LogitsNormalizer> normalizers, int64_t first_column) {
  run_rows_with_scratch(device, static_cast<int64_t>(probes.size()),
                        sign_blocks(first_column, logits.cols) * int64_t{sizeof(double)},
                        QSWEEP_KERNEL_OF(AddProjections), probes.data(), logits, normalizers.data(),
                        first_column);
}

void row_products(Device device, MatrixView g, Matrix<const float> e, std::span<double> sums) {
  run_rows(device, g.rows, QSWEEP_KERNEL_OF(RowProducts), g, e, sums.data());
}

void row_squared_products(Device device, MatrixView g, Matrix<const float> e, std::span<double> sums) {
  run_rows(device, g.rows, QSWEEP_KERNEL_OF(RowSquaredProducts), g, e, sums.data());
}

void probe_products(Device device, std::span<const RowBlock> blocks, int64_t probes, Matrix<const float> u,
                    MatrixView d, std::span<const LogitsSums> shifts, std::span<double> products) {
  std::vector<RowBlock> rows;
  if (device.gpu == nullptr) blocks = rows = rows_by_parent(blocks, u.rows / probes);
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(ProbeProducts), probes, u, d, shifts.data(), products.data());
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
