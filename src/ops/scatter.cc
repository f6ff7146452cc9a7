#include "ops/scatter.h"

#include "kernels/buffer.h"
#include "kernels/row_moves.h"
#include "ops/gather.h"
#include "ops/probes.h"

namespace qsweep::ops::scatter {

using kernels::RowBlock;

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> tokens,
             Matrix<const float> features, Matrix<float> y) {
  QSWEEP_CHECK(
      static_cast<int64_t>(source.size()) == y.rows && tokens.rows == y.rows && features.cols == y.cols,
      "{} indices for [{}, {}]", source.size(), y.rows, y.cols);
  const RowBlock whole{.rows = y.rows, .parent = 0, .in = {0, 0, kernels::kAbsent}, .out = 0};
  delta(context, {&whole, 1}, source, view_of(tokens), view_of(features), view_of(y));
}

void delta(const Context& context, std::span<const RowBlock> blocks, std::span<const int64_t> source,
           MatrixView dtokens, MatrixView dfeatures, MatrixView dy) {
  const kernels::OnDevice there(context.device(), source);
  kernels::scatter(context.device(), blocks, there.elements(), dtokens, dfeatures, dy);
}

void vjp(const Context& context, std::span<const int64_t> source, MatrixView dy, int64_t probes,
         MatrixView dtokens, MatrixView dfeatures) {
  if (dfeatures.data != nullptr) gather::vjp(context, source, dy, probes, dfeatures);
  if (dtokens.data == nullptr) return;
  std::vector<int64_t> kept;  // each row where it stays
  for (const int64_t from : source)
    kept.push_back(from == kernels::kAbsent ? std::ssize(kept) : kernels::kAbsent);
  const kernels::OnDevice there(context.device(), std::span<const int64_t>(kept));
  kernels::gather_delta(context.device(), probe_blocks(probes, std::ssize(source)), there.elements(), dy,
                        dtokens);
}

}  // namespace qsweep::ops::scatter
