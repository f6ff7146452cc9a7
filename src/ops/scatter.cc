#include "ops/scatter.h"

#include "kernels/buffer.h"
#include "ops/gather.h"

namespace qsweep::ops::scatter {

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> tokens,
             Matrix<const float> features, Matrix<float> y) {
  QSWEEP_CHECK(
      static_cast<int64_t>(source.size()) == y.rows && tokens.rows == y.rows && features.cols == y.cols,
      "{} indices for [{}, {}]", source.size(), y.rows, y.cols);
  const kernels::OnDevice there(context.device(), source);
  kernels::scatter(context.device(), there.elements(), tokens, features, y);
}

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, std::span<const int64_t> source,
           MatrixView dfeatures, MatrixView dy) {
  gather::delta(context, blocks, source, dfeatures, dy);
}

void vjp(const Context& context, std::span<const int64_t> source, MatrixView dy, int64_t probes,
         MatrixView dfeatures) {
  gather::vjp(context, source, dy, probes, dfeatures);
}

}  // namespace qsweep::ops::scatter
