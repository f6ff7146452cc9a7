// How a checkpoint stores what a linear op multiplies by.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "kernels/unpack.h"
#include "tensor/tensor.h"

namespace qsweep::graph {

// A part of a larger tensor: element [r, c] is element first + r * row_step + c * column_step of `source`.
struct Strided {
  TensorView source;  // as little of the tensor as has all of them
  int64_t first = 0, row_step = 0, column_step = 1;
};

// Codes with a scale for each block, as kernels::ScaledCodes has them.
struct Scaled {
  kernels::Codes kind = {};
  TensorView codes;                 // by rows
  TensorView scales;                // [block rows, block columns]
  std::optional<TensorView> zeros;  // [rows of words, block columns]
  std::optional<TensorView> whole;  // one number, of all scales
  bool divided = false;             // by it
  int64_t block_rows = 1, block_columns = 1;
  int64_t first = 0, every = 1, above = 0;
};

// Codes by columns, as kernels::ColumnCodes has them.
struct ByColumns {
  kernels::ColumnCodes::Words words = {};
  int bits = 4;
  TensorView codes;   // of all rows
  TensorView scales;  // [groups, rows]
  TensorView zeros;
  int32_t zero_offset = 0;
  std::optional<TensorView> groups;
  int64_t columns_of_group = 1;
  int64_t first = 0;
};

// A weight [out, in] or a bias [out], as a view of the numbers in that shape. Where the checkpoint stores
// them in another way, the view has no data, and the dtype that unpack() writes.
struct StoredWeight : TensorView {
  std::variant<std::monostate, Strided, Scaled, ByColumns> layout;  // monostate: the view itself

  StoredWeight() = default;
  StoredWeight(TensorView plain) : TensorView(std::move(plain)) {}
  StoredWeight(DType as, Shape of, Strided strided);
  StoredWeight(DType as, Shape of, Scaled scaled);
  StoredWeight(DType as, Shape of, ByColumns by_columns);

  bool is_plain() const { return std::holds_alternative<std::monostate>(layout); }
  // What unpack() reads: views of the checkpoint's memory.
  std::vector<TensorView> parts() const;
  int64_t part_bytes() const;
  // Of the parts, what is this weight's alone where others are made of them too.
  int64_t own_bytes() const;
  // Rows [from, from + count) alone; of a bias elements.
  StoredWeight rows(int64_t from, int64_t count) const;
};

// The numbers of a weight that is not plain. parts: those of weight.parts() in the device's memory. A bias is
// one row.
void unpack(kernels::Device device, const StoredWeight& weight, const std::vector<TensorView>& parts,
            MatrixView y);

}  // namespace qsweep::graph
