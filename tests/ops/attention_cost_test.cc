// What attention over long segments costs: memory no more than it tells of, and with a window arithmetic that
// grows with the rows and not with their square.
#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/place.h"
#include "support/random.h"
#include "tensor/usage.h"

namespace qsweep::ops::testing {
namespace {

using attention::Segment;
using kernels::GemmPurpose;

// One causal segment of random rows with all that a call needs: one pair, one probe.
class LongSegment {
 public:
  LongSegment(int64_t rows, int64_t window, std::vector<Segment> spans, int64_t tile_bytes)
      : rows_(rows), segments_{{0, rows}}, spans_(std::move(spans)), context_{gemm_, tile_bytes} {
    spec_.window = window;
    Rng rng(1);
    for (Tensor& t : tensors_) {
      t = Tensor(DType::f32, {rows, spec_.n_heads * spec_.head_dim});
      for (float& x : t.as<float>()) x = static_cast<float>(qsweep::testing::normal(rng));
    }
  }

  void forward() { attention::forward(context_, spec_, layout(), x(), tensors_[3].matrix<float>()); }
  void delta() { attention::delta(context_, spec_, layout(), blocks(), x(), dx(), view(3)); }
  void vjp() { attention::vjp(context_, spec_, layout(), x(), view(3), 1, dx()); }
  int64_t forward_bytes() const {
    return attention::scratch_bytes(context_, spec_, layout(), {}, DType::f32);
  }
  int64_t delta_bytes() const {
    return attention::scratch_bytes(context_, spec_, layout(), blocks(), DType::f32);
  }
  int64_t vjp_bytes() const { return attention::vjp_scratch_bytes(context_, spec_, layout(), 1, DType::f32); }
  double flops(GemmPurpose purpose) const { return gemm_.count(purpose).flops; }

 private:
  attention::Layout layout() const { return {segments_, spans_}; }
  std::vector<kernels::RowBlock> blocks() const {
    return {{.rows = rows_, .parent = 0, .in = {0, 0, 0}, .out = 0}};
  }
  attention::Qkv<Matrix<const float>> x() const {
    return {tensors_[0].matrix<float>(), tensors_[1].matrix<float>(), tensors_[2].matrix<float>()};
  }
  MatrixView view(size_t i) { return view_of(Matrix<const float>(tensors_[i].matrix<float>())); }
  attention::Qkv<MatrixView> dx() { return {view(4), view(5), view(6)}; }

  int64_t rows_;
  attention::Spec spec_{.n_heads = 2, .n_kv_heads = 2, .head_dim = 8, .scale = 0.25F, .causal = true};
  std::vector<Segment> segments_, spans_;
  kernels::Gemm gemm_{Threads{1}};
  Context context_;
  std::array<Tensor, 7> tensors_;  // q, k, v, o, dq, dk, dv
};

template <class Body>
int64_t bytes_taken(Body&& body) {
  release_kept_memory();
  const int64_t before = most_tensor_bytes();
  body();
  return most_tensor_bytes() - before;
}

TEST(AttentionCost, TilesTakeWhatWasTold) {
  const std::vector<Segment> spans{{300, 600}, {1700, 50}, {1750, 250}};
  for (const int64_t window : {0, 100})
    for (const int64_t tile_bytes : {int64_t{6} << 20, int64_t{256} << 20}) {
      LongSegment segment(2000, window, spans, tile_bytes);
      const auto expect = [&](const char* what, int64_t taken, int64_t told) {
        EXPECT_LE(taken, told) << what << ", window " << window << ", tiles of " << tile_bytes;
        EXPECT_GE(taken, told / 2) << what << ", window " << window << ", tiles of " << tile_bytes;
      };
      expect("forward", bytes_taken([&] { segment.forward(); }), segment.forward_bytes());
      expect("delta", bytes_taken([&] { segment.delta(); }), segment.delta_bytes());
      expect("vjp", bytes_taken([&] { segment.vjp(); }), segment.vjp_bytes());
    }
}

TEST(AttentionCost, GrowsWithTheRowsOfAWindow) {
  LongSegment shorter(1500, 100, {}, int64_t{256} << 20), longer(3000, 100, {}, int64_t{256} << 20);
  for (LongSegment* segment : {&shorter, &longer}) {
    segment->forward();
    segment->delta();
    segment->vjp();
  }
  for (const auto purpose : {GemmPurpose::reference, GemmPurpose::deltas, GemmPurpose::cotangents})
    EXPECT_LE(longer.flops(purpose), 2.2 * shorter.flops(purpose)) << static_cast<int>(purpose);
}

}  // namespace
}  // namespace qsweep::ops::testing
