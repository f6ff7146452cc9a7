// What forward, delta and vjp of attention share: which keys are seen, cutting a segment into tiles of
// queries, the operands of their products, and the reference's probabilities of one tile.
#pragma once

#include <functional>
#include <vector>

#include "kernels/buffer.h"
#include "ops/attention.h"

namespace qsweep::ops::attention {

using kernels::KeyRange;

// Which keys the queries of one segment see. Both are counted from the segment's first row.
class Visible {
 public:
  Visible(const Spec& spec, const Layout& layout, const Segment& segment);

  const Segment& segment() const { return segment_; }
  int64_t rows() const { return segment_.rows; }
  // The keys that any of these queries sees, and those between.
  KeyRange of(int64_t first_query, int64_t queries) const;
  // The largest number of them in a tile.
  int64_t most_keys(int64_t tile_queries) const;
  // In one tile; more would see more keys in vain than there is to gain.
  int64_t most_queries() const;

  std::vector<KeyRange> per_query() const;  // empty: all see all
  int64_t bytes() const;                    // of that list

 private:
  Segment segment_;
  bool causal_;
  int64_t window_;
  std::vector<KeyRange> spans_;
};

// How one segment is cut: queries per tile, and pairs (or probes) per product.
struct Tiling {
  int64_t queries = 0;
  int64_t pairs = 0;
  int64_t bytes = 0;  // of a tile, and what there is once per segment
};
// bytes_of: the memory of a tile. Fewer queries first, then fewer pairs: products stay as large as the memory
// allows.
Tiling fit_tiling(const Context& context, const Visible& visible, int64_t pairs,
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
  int64_t first_query = 0, first_key = 0;  // rows of q and of k
  kernels::Buffer s, p;                    // [heads * queries, keys]
  Matrix<const float> centered[2];         // the whole segment's k and v, less their means (delta only)
  kernels::Buffer lse, argmax;             // f32 and i32, [1, heads * queries]
};

// The tiles of one segment. What it is made of must outlive it.
class Reference {
 public:
  Reference(const Context& context, const Spec& spec, const Visible& visible, Matrix<const float> q,
            Matrix<const float> k)
      : context_(context),
        spec_(spec),
        visible_(visible),
        q_(q),
        k_(k),
        per_query_(visible.per_query()),
        for_kernels_(context.device(), per_query_) {}

  // The queries are counted from the segment's first row.
  ReferenceTile tile(int64_t first_query, int64_t queries) const;
  const Visible& visible() const { return visible_; }

 private:
  const Context& context_;
  const Spec& spec_;
  const Visible& visible_;
  Matrix<const float> q_, k_;
  std::vector<KeyRange> per_query_;
  kernels::OnDevice<KeyRange> for_kernels_;
};

// The segment's rows of k or v, less their mean row. Softmax does not see what is common to all keys, and
// neither the changes of its probabilities nor its cotangents have a sum, so no product needs it; without it
// there is less to round. With sinks, which see it, the rows as they are.
kernels::Buffer centered_rows(const Context& context, const Spec& spec, Matrix<const float> x,
                              const Segment& segment);

}  // namespace qsweep::ops::attention
