#include "ops/embedding.h"

namespace qsweep::ops::embedding {

void forward(const Context& context, std::span<const int32_t> ids, const TensorView& table, Matrix<float> y) {
  const int64_t row_bytes = y.cols * size_bytes(table.dtype);
  for (int64_t r = 0; r < y.rows; ++r) {
    const int64_t id = ids[static_cast<size_t>(r)];
    QSWEEP_CHECK(id >= 0 && id < table.shape[0], "token id {} of {}", id, table.shape[0]);
    kernels::to_f32(context.threads(), {table.dtype, {1, y.cols}, table.data + id * row_bytes},
                    y.rows_at(r, 1));
  }
}

}  // namespace qsweep::ops::embedding
