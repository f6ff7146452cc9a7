#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/unpack.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/unpack-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(CopyStrided);
QSWEEP_EXPORT(ScaleCodes);
QSWEEP_EXPORT(ScaleColumns);

void copy_strided(Device device, const void* x, int64_t row_step, int64_t column_step, MatrixView y) {
  QSWEEP_CHECK(y.dtype == DType::bf16 || y.dtype == DType::f16 || y.dtype == DType::f32, "a matrix of {}",
               name(y.dtype));
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(CopyStrided), x, row_step, column_step, y);
}

void scale_codes(Device device, const ScaledCodes& codes, MatrixView y) {
  QSWEEP_CHECK(y.dtype == DType::bf16 || y.dtype == DType::f32, "a matrix of {}", name(y.dtype));
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(ScaleCodes), codes, y);
}

void scale_columns(Device device, const ColumnCodes& codes, MatrixView y) {
  QSWEEP_CHECK(y.dtype == DType::bf16 || y.dtype == DType::f32, "a matrix of {}", name(y.dtype));
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(ScaleColumns), codes, y);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
