#include "ops/scatter.h"

#include <algorithm>

#include "ops/gather.h"

namespace qsweep::ops::scatter {

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> tokens,
             Matrix<const float> features, Matrix<float> y) {
  QSWEEP_CHECK(
      static_cast<int64_t>(source.size()) == y.rows && tokens.rows == y.rows && features.cols == y.cols,
      "{} indices for [{}, {}]", source.size(), y.rows, y.cols);
  parallel_for(context.threads(), y.rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t from = source[static_cast<size_t>(r)];
      std::copy_n(from >= 0 ? features.row(from) : tokens.row(r), y.cols, y.row(r));
    }
  });
}

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, std::span<const int64_t> source,
           kernels::DeltaView dfeatures, kernels::DeltaView dy) {
  kernels::gather_delta(context.threads(), blocks, source, dfeatures, dy);
}

void vjp(const Context& context, std::span<const int64_t> source, kernels::DeltaView dy, int64_t probes,
         kernels::DeltaView dfeatures) {
  gather::vjp(context, source, dy, probes, dfeatures);
}

}  // namespace qsweep::ops::scatter
