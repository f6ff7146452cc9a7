// How a checkpoint stores what a linear op multiplies by.
#pragma once

#include <variant>
#include <vector>

#include "kernels/device.h"
#include "tensor/matrix_view.h"
#include "tensor/tensor.h"

namespace qsweep::graph {

// A part of a larger tensor: element [r, c] is element first + r * row_step + c * column_step of `source`.
struct Strided {
  TensorView source;  // as little of the tensor as has all of them
  int64_t first = 0, row_step = 0, column_step = 1;
};

// A weight [out, in] or a bias [out], as a view of the numbers in that shape. Where the checkpoint stores
// them in another way, the view has no data, and the dtype in which unpack() writes them without a loss.
struct StoredWeight : TensorView {
  std::variant<std::monostate, Strided> layout;  // monostate: the view itself

  StoredWeight() = default;
  StoredWeight(TensorView plain) : TensorView(std::move(plain)) {}
  StoredWeight(DType as, Shape of, Strided strided);

  bool is_plain() const { return std::holds_alternative<std::monostate>(layout); }
  // What unpack() reads: views of the checkpoint's memory.
  std::vector<TensorView> parts() const;
  int64_t part_bytes() const;
  // Rows [from, from + count) alone; of a bias elements.
  StoredWeight rows(int64_t from, int64_t count) const;
};

// The numbers of a weight that is not plain. parts: those of weight.parts() in the device's memory. A bias is
// one row.
void unpack(kernels::Device device, const StoredWeight& weight, const std::vector<TensorView>& parts,
            MatrixView y);

}  // namespace qsweep::graph
