// Sketches of what leaves of the reference do to the output, from which the inner product of any two follows.
//
// With the reference's probabilities p, a leaf's change d of the logits and random signs e, the same for all
// leaves, every row has R numbers a_r = sum_v e_rv sqrt(p_v) (d_v - p d). The mean of a_r b_r of two leaves
// is their inner product d^T (diag p - p p^T) d', twice what their KL has in common to second order. For
// squared errors a_r = sum_v e_rv d_v, whose mean product is d^T d'. (Alon, Matias, Szegedy: The space
// complexity of approximating the frequency moments.)
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "graph/scratch.h"
#include "kernels/buffer.h"
#include "pass/head_tiles.h"
#include "pass/pass.h"
#include "pass/probe_rows.h"

namespace qsweep::pass {

class HeadSketch {
 public:
  // leaf_rows: of the matrix that holds the leaves' changes. All must outlive it.
  HeadSketch(const PassInput& input, const graph::Pass& pass, const TokenRows& rows, int64_t leaf_rows);

  bool wanted() const { return width_ > 0; }
  bool of_hidden() const { return which_ == scores::Which::hidden_sse; }

  // One tile of the vocabulary. blocks: of the leaves; logits and normalizers of the reference; changes:
  // [leaf rows, columns]; sums: shifts of the changes, by the rows that blocks write.
  void add(const HeadTile& tile, std::span<const kernels::RowBlock> blocks, Matrix<const float> logits,
           std::span<const kernels::LogitsNormalizer> normalizers, Matrix<const float> changes,
           std::span<const kernels::LogitsSums> sums);
  // In place of tiles where the sketch is of the final hidden state: its changes by live pairs.
  void add_hidden(std::span<const kernels::RowBlock> blocks, Matrix<const float> hidden,
                  std::span<const kernels::LogitsNormalizer> normalizers, MatrixView changes);
  // After all of them. Of one block, [rows, width]; sums: the host's.
  std::vector<float> of(const kernels::RowBlock& block, std::span<const kernels::LogitsSums> sums);

 private:
  kernels::Device device() const { return pass_.ops.device(); }
  bool dry() const { return pass_.workspace.dry(); }

  const graph::Pass& pass_;
  scores::Which which_;
  int64_t width_;
  std::shared_ptr<void> held_;
  kernels::SharedList<kernels::ProbeRow> signs_, projections_;
  graph::Scratch products_;  // f64 [leaf rows, width]
  std::optional<kernels::HostCopy<double>> found_;
};

}  // namespace qsweep::pass
