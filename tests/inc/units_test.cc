// Ranges and single ops against what Intel Neural Compressor made of the same inputs.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "inc/peer.h"
#include "io/safetensors.h"
#include "support/random.h"

namespace qsweep {
namespace {

using testing::kTinyVl;

void expect_close(const inc::AffineU8& ours, const io::Json& theirs, const std::string& what) {
  const double scale = theirs[0];
  EXPECT_EQ(ours.zero_point, theirs[1].get<int>()) << what;
  EXPECT_TRUE(std::abs(static_cast<double>(ours.scale) / scale - 1) <= 1e-5) << what << ": " << ours.scale;
}

TEST(Inc, ZeroPointsAndScalesOfEveryReachedOp) {
  const io::Json theirs = testing::peer_results().at("qparams_text");
  const inc::Maps& maps = testing::tiny_text_run();
  EXPECT_EQ(maps.ranges.size(), theirs.size());
  for (const auto& [op, ranges] : maps.ranges) {
    ASSERT_TRUE(theirs.contains(op)) << op;
    expect_close(ranges.input, theirs[op]["input"], op + " input");
    expect_close(ranges.output, theirs[op]["output"], op + " output");
  }
}

inc::AffineU8 affine(const io::Json& json) { return {json[0].get<float>(), json[1].get<int32_t>()}; }

// Elements that differ from the peer's output codes.
int64_t differing(Matrix<const float> y, std::span<const uint8_t> codes, const inc::AffineU8& q) {
  int64_t differences = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    const float expected = static_cast<float>(codes[i] - q.zero_point) * q.scale;
    differences += y.data[i] == expected ? 0 : 1;
  }
  return differences;
}

// The inputs are those of the peer's run with everything quantized, the ranges its own. LowPrecision::never:
// the codes are multiplied in f32.
void expect_units_bit_exact(kernels::LowPrecision bf16) {
  const models::Model model = testing::load_image_model();
  const graph::Batch batch = testing::image_batch(model);  // its contents play no part
  const auto units = io::SafetensorsFile::open(kTinyVl + "/units.safetensors");
  const io::Json ranges = testing::peer_results().at("qparams_text");
  kernels::Gemm gemm({2}, bf16);
  const ops::Context context{gemm};
  graph::Workspace workspace;
  const graph::Pass pass{context, workspace, batch, model.ops};
  int compared = 0;
  for (const graph::LinearOp& op : model.ops) {
    const std::string name = inc::inc_name(op.name);
    if (units.find(name + ".x") == nullptr) continue;
    const TensorView x = units.view(*units.find(name + ".x"));
    const inc::LinearRanges q{affine(ranges[name]["input"]), affine(ranges[name]["output"])};
    const graph::LinearWeights weights = graph::LinearWeights(pass, op);
    Tensor y(DType::f32, {x.shape[0], op.out_features()});
    inc::quantized_linear(pass, inc::quantize_weight(pass, weights.f32().as<float>()), weights.bias(), q,
                          {x.as<float>().data(), x.shape[0], x.shape[1]}, y.matrix<float>());
    const auto codes = units.view(*units.find(name + ".y")).as<uint8_t>();
    ASSERT_EQ(static_cast<int64_t>(codes.size()), y.elements());
    EXPECT_EQ(differing(y.matrix<float>(), codes, q.output), 0) << name << " of " << codes.size();
    ++compared;
  }
  EXPECT_EQ(compared, 15);
}

TEST(Inc, EveryOpsOutputIsBitExact) { expect_units_bit_exact(kernels::LowPrecision::always); }
TEST(Inc, EveryOpsOutputIsBitExactInF32) { expect_units_bit_exact(kernels::LowPrecision::never); }

TEST(Inc, EmbeddingRowsAreBitExact) {
  const models::Model model = models::load(kTinyVl);
  std::vector<graph::SampleInputs> inputs;
  for (const models::Sample& sample : testing::read_samples(model, kTinyVl + "/text.jsonl"))
    inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::leave_out));
  const graph::Batch batch(std::move(inputs));
  kernels::Gemm gemm({1});
  const ops::Context context{gemm};
  graph::Workspace workspace;
  const TensorView table = *model.checkpoint.find("model.embed_tokens.weight");
  const auto units = io::SafetensorsFile::open(kTinyVl + "/units.safetensors");
  const auto expected = units.view(*units.find("model.language_model.embed_tokens.module.y")).as<float>();
  Tensor y(DType::f32, {batch.rows(graph::Rows::tokens), table.shape[1]});
  inc::quantized_embedding({context, workspace, batch, model.ops}, table, y.matrix<float>());
  ASSERT_EQ(static_cast<int64_t>(expected.size()), y.elements());
  int64_t differences = 0;
  for (size_t i = 0; i < expected.size(); ++i) differences += y.as<float>()[i] == expected[i] ? 0 : 1;
  EXPECT_EQ(differences, 0);
}

// PyTorch's own answers.
TEST(Inc, RangesOfConstantActivations) {
  const auto of = [](float value) {
    const std::vector<float> x(10, value);
    return inc::observe({1}, {x.data(), 2, 5});
  };
  EXPECT_EQ(of(3).scale, 3.0f / 255);
  EXPECT_EQ(of(3).zero_point, 0);
  EXPECT_EQ(of(-2).scale, 2.0f / 255);
  EXPECT_EQ(of(-2).zero_point, 255);
  EXPECT_EQ(of(0).scale, std::numeric_limits<float>::epsilon());
  EXPECT_EQ(of(0).zero_point, 0);
}

TEST(Inc, ActivationsThatAreNotFiniteAreAnError) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> x{1, 2, bad, 4};
    EXPECT_THROW(inc::observe({1}, {x.data(), 2, 2}), Error) << bad;
  }
}

TEST(Inc, RangesDoNotDependOnThreads) {
  Rng rng(3);
  const std::vector<float> x = testing::normals(rng, 64 * 100);
  const inc::AffineU8 one = inc::observe({1}, {x.data(), 64, 100}),
                      three = inc::observe({3}, {x.data(), 64, 100});
  EXPECT_EQ(one.scale, three.scale);
  EXPECT_EQ(one.zero_point, three.zero_point);
}

// Sums far beyond 2^24, where f32 does not hold every integer: the inner dimension must be cut.
void expect_long_sums_exact(kernels::LowPrecision bf16) {
  constexpr int64_t kRows = 3, kIn = 5000, kOut = 4;
  Rng rng(1);
  std::vector<float> w(kIn * kOut), x(kIn * kRows);
  for (float& v : w) v = rng.uniform() < 0.9 ? 1.0f : static_cast<float>(rng.uniform());
  for (float& v : x) v = rng.uniform() < 0.9 ? 2.55f : static_cast<float>(rng.uniform());
  const inc::LinearRanges q{{.scale = 0.01f, .zero_point = 0}, {.scale = 60.0f, .zero_point = 3}};
  const models::Model model = testing::load_image_model();
  const graph::Batch batch = testing::image_batch(model);
  kernels::Gemm gemm({2}, bf16);
  const ops::Context context{gemm};
  graph::Workspace workspace;
  const graph::Pass pass{context, workspace, batch, model.ops};
  const inc::QuantizedWeight weight = inc::quantize_weight(pass, {w.data(), kOut, kIn});
  EXPECT_GE(weight.parts.size(), 8u);
  Tensor y(DType::f32, {kRows, kOut});
  inc::quantized_linear(pass, weight, nullptr, q, {x.data(), kRows, kIn}, y.matrix<float>());
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t o = 0; o < kOut; ++o) {
      const float w_scale = weight.scale[static_cast<size_t>(o)];
      int64_t sum = 0;
      for (int64_t i = 0; i < kIn; ++i) {
        const float w_code = std::nearbyint(w[static_cast<size_t>(o * kIn + i)] * (1 / w_scale));
        const float x_code = std::nearbyint(x[static_cast<size_t>(r * kIn + i)] * (1 / q.input.scale));
        sum +=
            static_cast<int64_t>(std::min(w_code, 127.0f)) * static_cast<int64_t>(std::min(x_code, 255.0f));
      }
      EXPECT_GT(sum, int64_t{1} << 24);
      const float scaled = static_cast<float>(sum) * (q.input.scale * w_scale / q.output.scale);
      const float code = std::clamp(std::nearbyint(scaled) + 3, 0.0f, 255.0f);
      EXPECT_EQ(y.matrix<float>().row(r)[o], (code - 3) * q.output.scale);
    }
}

TEST(Inc, LongSumsAreExact) { expect_long_sums_exact(kernels::LowPrecision::always); }
TEST(Inc, LongSumsAreExactInF32) { expect_long_sums_exact(kernels::LowPrecision::never); }

TEST(Inc, NamesAreThoseOfTheTransformersModules) {
  EXPECT_EQ(inc::inc_name("visual.patch_embed.proj"), "model.visual.patch_embed.proj");
  EXPECT_EQ(inc::inc_name("visual.blocks.3.attn.qkv"), "model.visual.blocks.3.attn.qkv.module");
  EXPECT_EQ(inc::inc_name("visual.merger.mlp.0"), "model.visual.merger.mlp.0");
  EXPECT_EQ(inc::inc_name("model.layers.10.self_attn.o_proj"),
            "model.language_model.layers.10.self_attn.o_proj.module");
  EXPECT_EQ(inc::inc_name("model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
  EXPECT_EQ(inc::inc_name("lm_head"), "lm_head.module");
}

}  // namespace
}  // namespace qsweep
