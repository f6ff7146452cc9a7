// What forward, delta and vjp of attention share: cutting a segment into tiles of queries, the operands of
// their products, and the reference's probabilities of one tile.
#pragma once

#include <functional>

#include "kernels/buffer.h"
#include "ops/attention.h"

namespace qsweep::ops::attention {

// How one segment is cut: queries per tile, and pairs (or probes) per product.
struct Tiling {
  int64_t queries = 0;
  int64_t pairs = 0;
  int64_t bytes = 0;
};
// bytes_of: the memory of a tile. Fewer queries first, then fewer pairs: products stay as large as the memory
// allows.
Tiling fit_tiling(int64_t tile_bytes, int64_t keys, int64_t pairs,
                  const std::function<int64_t(int64_t queries, int64_t pairs)>& bytes_of);

// `pairs` stacks of heads as an operand {pairs, kv heads, heads per kv head, rows, head_dim}; without grouped
// heads the third size is left out. `grouped` says that the matrix has n_heads heads, not n_kv_heads.
kernels::GemmOperand heads(const Spec& spec, MatrixView m, bool grouped, int64_t first_row, int64_t rows,
                           int64_t pairs, int64_t pair_rows, bool transposed);
// Logits-like [pairs * n_heads * queries, keys] as {pairs, kv heads, heads per kv head, queries, keys}.
kernels::GemmOperand logits(const Spec& spec, MatrixView m, int64_t queries, int64_t pairs);

// From one row of logits to the next: on a GPU, products and row kernels are faster where rows begin at
// multiples of 16 bytes.
int64_t logits_stride(const Context& context, int64_t keys);
kernels::Buffer logits_buffer(const Context& context, DType dtype, int64_t rows, int64_t keys);

// Reference logits and probabilities of one tile of queries.
struct ReferenceTile {
  kernels::AttentionTile tile;
  int64_t segment_first = 0;
  kernels::Buffer s, p;             // [heads * queries, keys]
  Matrix<const float> centered[2];  // the whole segment's k and v, less their means (delta only)
  kernels::Buffer lse, argmax;      // f32 and i32, [1, heads * queries]

  int64_t first_query() const { return segment_first + tile.first_query; }
};
ReferenceTile reference_tile(const Context& context, const Spec& spec, const Segment& segment,
                             int64_t first_query, int64_t queries, Matrix<const float> q,
                             Matrix<const float> k);

// The segment's rows of k or v, less their mean row. Softmax does not see what is common to all keys, and
// neither the changes of its probabilities nor its cotangents have a sum, so no product needs it; without it
// there is less to round.
kernels::Buffer centered_rows(const Context& context, Matrix<const float> x, const Segment& segment);

}  // namespace qsweep::ops::attention
