// Row kernels, quantizers and matrix products at the sizes of Qwen2.5-VL-3B, with the rows of some (variant,
// sample) pairs. Time is wall time; all cores take part.
#include <algorithm>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/rng.h"
#include "kernels/activations.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/rows.h"
#include "ops/delta_net.h"
#include "quant/quantizers.h"

namespace qsweep {
namespace {

using benchmark::Counter;
using benchmark::State;
using kernels::RowBlock;

constexpr int64_t kHidden = 2048, kIntermediate = 11008, kHeads = 16;                // language model
constexpr int64_t kVisionHidden = 1280, kVisionIntermediate = 3420, kMerged = 5120;  // vision tower
constexpr int64_t kPairs = 16, kTokens = 64;
constexpr int64_t kRows = kPairs * kTokens;

Threads all_cores() { return {static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))}; }

// Elements uniform in [-scale, scale).
Tensor random_tensor(DType dtype, int64_t rows, int64_t cols, double scale = 1) {
  Tensor t(dtype, {rows, cols});
  Rng rng(1);
  const auto next = [&] { return static_cast<float>(scale * (2 * rng.uniform() - 1)); };
  if (dtype == DType::bf16) {
    for (bf16& v : t.as<bf16>()) v = to_bf16(next());
  } else {
    for (float& v : t.as<float>()) v = next();
  }
  return t;
}

MatrixView view(Tensor& t) { return {t.bytes(), t.dtype(), t.shape()[0], t.shape()[1], t.shape()[1]}; }

// kPairs pairs of one sample of kTokens tokens, with all inputs present.
std::vector<RowBlock> pair_blocks() {
  std::vector<RowBlock> blocks;
  for (int64_t pair = 0; pair < kPairs; ++pair) {
    const int64_t row = pair * kTokens;
    blocks.push_back({.rows = kTokens, .parent = 0, .in = {row, row, row}, .out = row});
  }
  return blocks;
}

DType delta_dtype(const State& state) { return state.range(0) != 0 ? DType::bf16 : DType::f32; }

void count_bytes(State& state, int64_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void rms_norm_delta(State& state) {
  const DType dtype = delta_dtype(state);
  const Tensor x = random_tensor(DType::f32, kTokens, kHidden), w = random_tensor(DType::f32, 1, kHidden);
  Tensor dx = random_tensor(dtype, kRows, kHidden, 1e-2), dy = random_tensor(dtype, kRows, kHidden);
  const auto blocks = pair_blocks();
  for ([[maybe_unused]] auto _ : state)
    kernels::rms_norm_delta(all_cores(), blocks, x.matrix<float>(), view(dx), {w.as<float>(), 1e-6F},
                            view(dy));
  count_bytes(state, dx.size_bytes() + dy.size_bytes());
}

void gated_delta(State& state) {
  const DType dtype = delta_dtype(state);
  const Tensor gate = random_tensor(DType::f32, kTokens, kIntermediate, 4);
  const Tensor up = random_tensor(DType::f32, kTokens, kIntermediate);
  Tensor dgate = random_tensor(dtype, kRows, kIntermediate, 1e-2),
         dup = random_tensor(dtype, kRows, kIntermediate);
  Tensor dy = random_tensor(dtype, kRows, kIntermediate);
  const auto blocks = pair_blocks();
  for ([[maybe_unused]] auto _ : state)
    kernels::gated_delta(all_cores(), blocks, kernels::Activation::silu, gate.matrix<float>(),
                         up.matrix<float>(), view(dgate), view(dup), view(dy));
  count_bytes(state, dgate.size_bytes() + dup.size_bytes() + dy.size_bytes());
}

// One tile: all heads, 64 queries, the keys of a sequence with an image.
void softmax_delta(State& state) {
  constexpr int64_t keys = 512, queries = 64, pairs = 4;
  std::vector<kernels::KeyRange> visible;
  for (int64_t i = 0; i < queries; ++i) visible.push_back({0, keys - queries + i + 1});
  const kernels::AttentionTile tile{
      .heads = kHeads, .queries = queries, .keys = keys, .scale = 0.088F, .visible = visible.data()};
  Tensor s = random_tensor(DType::f32, kHeads * queries, keys, 30), p(DType::f32, s.shape());
  std::vector<float> lse(static_cast<size_t>(kHeads * queries));
  std::vector<int32_t> argmax(lse.size());
  kernels::softmax(all_cores(), tile, s.matrix<float>(), p.matrix<float>(), lse, argmax);
  const Tensor ds = random_tensor(DType::f32, pairs * kHeads * queries, keys, 1e-2);
  Tensor dp(delta_dtype(state), ds.shape());
  for ([[maybe_unused]] auto _ : state)
    kernels::softmax_delta(all_cores(), tile, s.matrix<float>(), p.matrix<float>(), lse, argmax,
                           ds.matrix<float>(), view(dp));
  count_bytes(state, ds.size_bytes() + dp.size_bytes());
}

// One tile of the vocabulary: the f64 sums that scores are made of.
void accumulate_logits(State& state) {
  constexpr int64_t columns = 512;
  const Tensor logits = random_tensor(DType::f32, kTokens, columns, 10);
  const Tensor d = random_tensor(DType::f32, kRows, columns, 1e-2);
  std::vector<kernels::LogitsNormalizer> normalizers(kTokens);
  kernels::update_normalizers(all_cores(), logits.matrix<float>(), 0, normalizers);
  Tensor p(DType::f64, logits.shape());
  kernels::probabilities(all_cores(), logits.matrix<float>(), normalizers, p.matrix<double>());
  const std::vector<int32_t> target(kTokens, 0);
  std::vector<kernels::LogitsSums> sums(kRows);
  const auto blocks = pair_blocks();
  for ([[maybe_unused]] auto _ : state)
    kernels::accumulate_logits(all_cores(), blocks, logits.matrix<float>(),
                               static_cast<const Tensor&>(p).matrix<double>(), d.matrix<float>(), 0, target,
                               sums);
  count_bytes(state, d.size_bytes());
}

void delta_dtypes(benchmark::internal::Benchmark* b) { b->ArgName("bf16")->Arg(0)->Arg(1); }
// Linear attention of Qwen3.5: a layer's scan over one sequence. Items are tokens of heads, for delta and vjp
// of every pair and probe.
struct DeltaNet {
  static constexpr ops::delta_net::Spec kSpec{
      .n_key_heads = 4, .n_value_heads = 8, .key_dim = 128, .value_dim = 128};
  static constexpr int64_t kValues = kSpec.n_value_heads * kSpec.value_dim;
  static constexpr int64_t kCols = 2 * kSpec.n_key_heads * kSpec.key_dim + kValues;

  explicit DeltaNet(DType dtype, int64_t copies)
      : deltas{random_tensor(dtype, copies * kTokens, kCols, 1e-3),
               random_tensor(dtype, copies * kTokens, kSpec.n_value_heads, 1e-3),
               random_tensor(dtype, copies * kTokens, kSpec.n_value_heads, 1e-3)},
        out(dtype, {copies * kTokens, kValues}) {}

  ops::delta_net::Inputs<Matrix<const float>> inputs() {
    return {x[0].matrix<float>(), x[1].matrix<float>(), x[2].matrix<float>()};
  }
  ops::delta_net::Inputs<MatrixView> views() { return {view(deltas[0]), view(deltas[1]), view(deltas[2])}; }
  ops::delta_net::Weights weights() const { return {zeros, zeros}; }
  static void count(State& state, int64_t copies) {
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * copies * kTokens *
                            kSpec.n_value_heads);
  }

  kernels::Gemm gemm{all_cores()};
  ops::Context context{gemm};
  std::vector<ops::Segment> segments{{0, kTokens}};
  std::vector<float> zeros = std::vector<float>(static_cast<size_t>(kSpec.n_value_heads), 0.0f);
  std::array<Tensor, 3> x{random_tensor(DType::f32, kTokens, kCols),
                          random_tensor(DType::f32, kTokens, kSpec.n_value_heads),
                          random_tensor(DType::f32, kTokens, kSpec.n_value_heads)};
  std::array<Tensor, 3> deltas;
  Tensor out;
};

void delta_net_forward(State& state) {
  DeltaNet net(DType::f32, 1);
  for (auto _ : state)
    ops::delta_net::forward(net.context, DeltaNet::kSpec, net.segments, net.inputs(), net.weights(),
                            net.out.matrix<float>());
  DeltaNet::count(state, 1);
}

void delta_net_delta(State& state) {
  DeltaNet net(delta_dtype(state), kPairs);
  for (auto _ : state)
    ops::delta_net::delta(net.context, DeltaNet::kSpec, net.segments, pair_blocks(), net.inputs(),
                          net.weights(), net.views(), view(net.out));
  DeltaNet::count(state, kPairs);
}

void delta_net_vjp(State& state) {
  DeltaNet net(delta_dtype(state), kPairs);
  for (auto _ : state)
    ops::delta_net::vjp(net.context, DeltaNet::kSpec, net.segments, net.inputs(), net.weights(),
                        view(net.out), kPairs, net.views());
  DeltaNet::count(state, kPairs);
}

BENCHMARK(delta_net_forward)->UseRealTime();
BENCHMARK(delta_net_delta)->Apply(delta_dtypes)->UseRealTime();
BENCHMARK(delta_net_vjp)->Apply(delta_dtypes)->UseRealTime();
BENCHMARK(rms_norm_delta)->Apply(delta_dtypes)->UseRealTime();
BENCHMARK(gated_delta)->Apply(delta_dtypes)->UseRealTime();
BENCHMARK(softmax_delta)->Apply(delta_dtypes)->UseRealTime();
BENCHMARK(accumulate_logits)->UseRealTime();

// The argument is the format's place in the table.
void every_format(benchmark::internal::Benchmark* b) {
  b->DenseRange(0, static_cast<int64_t>(quant::all_formats().size()) - 1);
}

const quant::Format& format_of(State& state) {
  const quant::Format& format = quant::all_formats()[static_cast<size_t>(state.range(0))];
  state.SetLabel(std::string(format.name));
  return format;
}

void fake_quantize_weight(State& state) {
  const quant::Format& format = format_of(state);
  const Tensor w = random_tensor(DType::f32, kIntermediate, kHidden, 0.02);
  Tensor q(DType::f32, w.shape());
  for ([[maybe_unused]] auto _ : state)
    quant::fake_quantize_weight(all_cores(), format, w.matrix<float>(), nullptr, q.matrix<float>());
  count_bytes(state, w.size_bytes() + q.size_bytes());
}

void fake_quantize_input(State& state) {
  const quant::Format& format = format_of(state);
  const Tensor x = random_tensor(DType::f32, kRows, kIntermediate);
  Tensor q(DType::f32, x.shape());
  const quant::Range range{-1, 1};
  for ([[maybe_unused]] auto _ : state)
    quant::fake_quantize_input(all_cores(), format, x.matrix<float>(), &range, q.matrix<float>());
  count_bytes(state, x.size_bytes() + q.size_bytes());
}

BENCHMARK(fake_quantize_weight)->Apply(every_format)->UseRealTime();
BENCHMARK(fake_quantize_input)->Apply(every_format)->UseRealTime();

// y = x W^T over kRows rows, as deltas take it: bf16 x bf16 -> bf16, or all in f32.
void linear(State& state) {
  const DType dtype = delta_dtype(state);
  const int64_t in = state.range(1), out = state.range(2);
  kernels::Gemm gemm(all_cores());
  Tensor x = random_tensor(dtype, kRows, in, 1e-2), w = random_tensor(dtype, out, in, 0.02);
  Tensor y(dtype, {kRows, out});
  for ([[maybe_unused]] auto _ : state) gemm.linear(view(x), view(w), view(y));
  const double flops = 2.0 * static_cast<double>(kRows * in) * static_cast<double>(out);
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate);
  if (dtype == DType::bf16 && !gemm.native_bf16()) state.SetLabel("widened to f32: " + gemm.bf16_reason());
}

void linear_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"bf16", "in", "out"});
  const std::pair<int64_t, int64_t> shapes[] = {
      {kHidden, kHidden},                    // q_proj, o_proj
      {kHidden, 256},                        // k_proj, v_proj
      {kHidden, kIntermediate},              // gate_proj, up_proj
      {kIntermediate, kHidden},              // down_proj
      {kHidden, 512},                        // one tile of lm_head
      {kVisionHidden, 3 * kVisionHidden},    // vision qkv
      {kVisionHidden, kVisionHidden},        // vision proj
      {kVisionHidden, kVisionIntermediate},  // vision gate_proj, up_proj
      {kVisionIntermediate, kVisionHidden},  // vision down_proj
      {kMerged, kMerged},                    // merger mlp.0
      {kMerged, kHidden},                    // merger mlp.2
  };
  for (const int64_t bf16 : {1, 0})
    for (const auto& [in, out] : shapes) b->Args({bf16, in, out});
}
BENCHMARK(linear)->Apply(linear_shapes)->UseRealTime();

}  // namespace
}  // namespace qsweep
