#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/logits.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/logits-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(UpdateNormalizers);
QSWEEP_EXPORT(Probabilities);
QSWEEP_EXPORT(ShiftAlong);
QSWEEP_EXPORT(AccumulateLogits);

void update_normalizers(Device device, Matrix<const float> logits, int64_t first_column,
                        std::span<LogitsNormalizer> rows) {
  run_rows(device, logits.rows, QSWEEP_KERNEL_OF(UpdateNormalizers), logits, first_column, rows.data());
}

void probabilities(Device device, Matrix<const float> logits, std::span<const LogitsNormalizer> rows,
                   Matrix<double> p) {
  run_rows(device, logits.rows, QSWEEP_KERNEL_OF(Probabilities), logits, rows.data(), p);
}

void shift_along(Device device, std::span<const RowBlock> blocks, Matrix<const float> direction, MatrixView d,
                 std::span<LogitsSums> sums) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(ShiftAlong), direction, d, sums.data());
}

void accumulate_logits(Device device, std::span<const RowBlock> blocks, Matrix<const float> logits,
                       Matrix<const double> p, Matrix<const float> d, int64_t first_column,
                       std::span<const int32_t> target, std::span<LogitsSums> sums) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(AccumulateLogits), logits, p, d, first_column, target.data(),
             sums.data());
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
