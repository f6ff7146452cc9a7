#include "ops/embedding.h"

#include <algorithm>
#include <cstring>

#include "kernels/buffer.h"

namespace qsweep::ops::embedding {
namespace {

constexpr int64_t kPieceRows = 1024;  // so many are gathered on the host before they are widened
constexpr int64_t kFaultBytes = int64_t{64} << 10;  // what a fault maps of a file at once

}  // namespace

int64_t scratch_bytes(const Context& context, int64_t rows, const TensorView& table) {
  const int64_t row_bytes = table.shape[1] * size_bytes(table.dtype);
  const int64_t gathered = std::min(rows, kPieceRows) * row_bytes;
  if (context.device().gpu != nullptr) return gathered;
  return gathered + std::min(table.size_bytes(), rows * (2 * row_bytes + kFaultBytes));
}

void forward(const Context& context, std::span<const int32_t> ids, const TensorView& table, Matrix<float> y) {
  const int64_t row_bytes = y.cols * size_bytes(table.dtype);
  Tensor rows(table.dtype, {std::min(y.rows, kPieceRows), y.cols});
  for (int64_t first = 0; first < y.rows; first += kPieceRows) {
    const int64_t count = std::min(y.rows - first, kPieceRows);
    for (int64_t r = 0; r < count; ++r) {
      const int64_t id = ids[static_cast<size_t>(first + r)];
      QSWEEP_CHECK(id >= 0 && id < table.shape[0], "token id {} of {}", id, table.shape[0]);
      std::memcpy(rows.bytes() + r * row_bytes, table.data + id * row_bytes, static_cast<size_t>(row_bytes));
    }
    const kernels::OnDevice there(
        context.device(), std::span<const std::byte>(rows.bytes(), static_cast<size_t>(count * row_bytes)));
    kernels::to_f32(context.device(), {table.dtype, {count, y.cols}, there.elements().data()},
                    y.rows_at(first, count));
  }
}

}  // namespace qsweep::ops::embedding
