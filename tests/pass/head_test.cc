// The head alone, on a model of one stage: parents and leaves that move all logits of a row together, and a
// bias.
#include "pass/head.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "io/safetensors_writer.h"
#include "pass/probe_rows.h"
#include "support/temporary_folder.h"

namespace qsweep::pass {
namespace {

constexpr int64_t kWidth = 4, kTokens = 3, kVocabulary = 600;  // more than one tile of the head
constexpr int kSampleIndex = 7;                                // in the data
constexpr double kCommon = 250;                                // in every row of lm_head

using Matrices = std::vector<std::vector<float>>;

// hidden = x A^T + x B^T. The format moves the first element of the hidden state by A, by whole numbers; and
// the second by B, by 1/64 of them. lm_head hands on the first to all logits alike.
struct CommonShift {
  std::vector<float> x{8, 1, 2, -1, -8, 2, 1, 1, 16, -4, 1, 2};
  std::vector<float> a{5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  std::vector<float> b{0, 1, 0, 0, 0, 5.0f / 64, 1.0f / 64, 0, 0, 0, 1, 0, 1, 0, 0, 0};
  std::vector<float> head, bias;  // bias: zeros where it has none
  testing::TemporaryFolder folder;
  kernels::Gemm gemm{Threads{1}};
  ops::Context context{gemm};
  std::optional<models::Model> model;
  std::map<int, std::vector<float>> sketches;  // of the last score(), by variant
  models::Sample sample{
      .id = "sample", .token_ids = {3, 599, 1}, .answer_mask = {0, 1, 1}, .rows = {kTokens}};

  explicit CommonShift(bool with_bias = false) {
    Rng rng(17);
    for (int64_t i = 0; i < kVocabulary * kWidth; ++i)
      head.push_back(i % kWidth == 0 ? kCommon : static_cast<float>(rng.below(15)) / 4 - 1.75f);
    for (int64_t v = 0; v < kVocabulary; ++v)
      bias.push_back(with_bias ? static_cast<float>(rng.below(33)) / 4 - 4 : 0);
    const std::vector<io::NamedTensor> tensors{{"lm_head.weight", view(head, kVocabulary)},
                                               {"lm_head.bias", {DType::f32, {kVocabulary}, bytes(bias)}}};
    io::write_safetensors(folder.at("model.safetensors"), tensors);
    model.emplace(models::Model{.family = "small", .checkpoint = io::Checkpoint::open(folder.path())});
    graph::Builder body("body", model->ops);
    auto h = body.table("x", graph::Rows::tokens, kWidth);
    auto by_a = body.linear(h, op("a", view(a, kWidth))), by_b = body.linear(h, op("b", view(b, kWidth)));
    body.output("hidden", body.add(by_a, by_b));
    model->stages.push_back(body.build());
    model->ops.push_back(op("lm_head", *model->checkpoint.find("lm_head.weight")));
    if (with_bias) model->ops.back().bias = *model->checkpoint.find("lm_head.bias");
    model->stages.push_back({.name = "head"});
    model->hidden_size = kWidth;
    model->vocab_size = kVocabulary;
  }

  static const std::byte* bytes(const std::vector<float>& m) {
    return reinterpret_cast<const std::byte*>(m.data());
  }
  static TensorView view(const std::vector<float>& m, int64_t rows) {
    return {DType::f32, {rows, kWidth}, bytes(m)};
  }
  static graph::LinearOp op(const std::string& name, const TensorView& weight) {
    graph::LinearOp made;
    made.name = name;
    made.weight = weight;
    return made;
  }

  // By variant.
  std::map<int, scores::MetricSums> score(std::vector<graph::Branch> branches,
                                          const std::vector<VariantId>& carried,
                                          const SketchSetting& sketch = {}) {
    std::vector<graph::SampleInputs> inputs(1);
    inputs[0].rows = sample.rows;
    inputs[0].tables.emplace("x", Tensor::from<float>(x, {kTokens, kWidth}));
    const graph::Batch batch(std::move(inputs));
    graph::Workspace workspace;
    const graph::Pass pass{context, workspace, batch, model->ops};
    const Ranges none(model->ops.size());
    const graph::OpRanges ranges(Threads{1}, none);
    graph::Variants variants(pass, DType::f32, ranges, std::move(branches));
    variants.run(model->stages[0]);
    std::map<int, scores::MetricSums> metrics;
    score_head(
        {.setting = {.model = *model, .ops = context, .samples = {&sample}, .ranges = none},
         .variants = {},
         .live = {},
         .sketch = sketch,
         .sample_index = {kSampleIndex}},
        pass, variants, carried,
        {.metrics = [&](VariantId variant, int64_t,
                        const scores::ScopedSums& sums) { metrics[static_cast<int>(variant)] = sums.all; },
         .range = {},
         .sketch =
             [&](VariantId variant, int64_t, const std::vector<float>& sketched) {
               sketches[static_cast<int>(variant)] = sketched;
             },
         .local = [](auto&&...) {},
         .stage_done = {}});
    return metrics;
  }

  // Logits of a row with these weights, which f32 holds exactly.
  std::vector<double> logits(int64_t row, const std::vector<float>& of_a,
                             const std::vector<float>& of_b) const {
    std::vector<double> z(bias.begin(), bias.end());
    for (size_t i = 0; i < kWidth; ++i) {
      double hidden = 0;
      for (size_t j = 0; j < kWidth; ++j)
        hidden += static_cast<double>(x[static_cast<size_t>(row) * kWidth + j]) *
                  (static_cast<double>(of_a[i * kWidth + j]) + static_cast<double>(of_b[i * kWidth + j]));
      for (size_t v = 0; v < z.size(); ++v) z[v] += hidden * static_cast<double>(head[v * kWidth + i]);
    }
    return z;
  }

  static std::vector<double> log_softmax(std::vector<double> z) {
    const double top = *std::ranges::max_element(z);
    double sum = 0;
    for (const double value : z) sum += std::exp(value - top);
    for (double& value : z) value -= top + std::log(sum);
    return z;
  }

  void expect(const scores::MetricSums& got, const std::vector<float>& of_a,
              const std::vector<float>& of_b) const {
    double kl = 0, nll = 0, squared = 0;
    for (int64_t row = 0; row < kTokens; ++row) {
      const std::vector<double> before = logits(row, a, b), after = logits(row, of_a, of_b);
      const std::vector<double> p = log_softmax(before), q = log_softmax(after);
      for (size_t v = 0; v < p.size(); ++v) {
        kl += std::exp(p[v]) * (p[v] - q[v]);
        squared += (after[v] - before[v]) * (after[v] - before[v]);
      }
      if (row + 1 == kTokens) continue;
      const auto target = static_cast<size_t>(sample.token_ids[static_cast<size_t>(row) + 1]);
      nll += p[target] - q[target];
    }
    // What f64 loses here of logits below 2^14: two logits and two sums per row.
    constexpr double kRounding = 4 * kTokens * 0x1p-39;
    EXPECT_NEAR(got.kl, kl, 1e-9 * kl + kRounding);
    EXPECT_NEAR(got.nll_delta, nll, 1e-9 * std::abs(nll) + kRounding);
    EXPECT_NEAR(got.logits_sse, squared, 1e-9 * squared);
  }
};

// The random signs of a sketch, [width * kTokens, columns].
std::vector<float> signs_of(CommonShift& model, const SketchSetting& sketch, int64_t columns) {
  const ProbeSet set{.metric = {sketch.which, scores::Scope::all}};
  std::vector<Probe> probes;
  for (int64_t r = 0; r < sketch.width; ++r) probes.push_back({.index = r});
  std::vector<graph::SampleInputs> inputs(1);
  inputs[0].rows = model.sample.rows;
  const graph::Batch batch(std::move(inputs));
  const auto rows = probe_rows(probes, {&set, 1}, {sketch.seed, std::array{kSampleIndex}}, batch,
                               token_rows({&model.sample}));
  std::vector<float> signs(rows.size() * static_cast<size_t>(columns));
  std::vector<float> unused(static_cast<size_t>(kTokens * columns));
  const std::vector<kernels::LogitsNormalizer> normalizers(kTokens);
  kernels::fill_probes(Threads{1}, kernels::ProbeKind::rademacher, rows, {unused.data(), kTokens, columns},
                       normalizers, 0, {signs.data(), DType::f32, std::ssize(rows), columns, columns});
  return signs;
}

const quant::Format* format() { return &quant::find_format("mxfp4a16"); }

TEST(Head, AShiftOfAllLogitsTogetherIsTakenOutOfParentsAndLeaves) {
  CommonShift model;
  constexpr int kParent = 0, kWithoutB = 1, kWithoutA = 2, kA = 3, kB = 4;
  const std::vector<const quant::Format*> none(3), everywhere{format(), format(), nullptr};
  const auto got = model.score(
      {{.formats = none, .leaves = {{kA, {{0, format()}}}, {kB, {{1, format()}}}}},
       {.formats = everywhere, .leaves = {{kWithoutA, {{0, nullptr}}}, {kWithoutB, {{1, nullptr}}}}}},
      {kReference, VariantId{kParent}});
  std::vector<float> a = model.a, b = model.b;
  a[0] = 4;  // of 5: the tie goes to the even code
  b[5] = 4.0f / 64;
  ASSERT_GT(std::abs(model.logits(0, a, b)[0] - model.logits(0, model.a, model.b)[0]),
            1500);  // e^1500 is infinite
  model.expect(got.at(kParent), a, b);
  model.expect(got.at(kWithoutB), a, model.b);
  model.expect(got.at(kWithoutA), model.a, b);
  model.expect(got.at(kA), a, model.b);
  model.expect(got.at(kB), model.a, b);
  EXPECT_GT(got.at(kB).kl, 1e-6);
}

// It moves the logits of the reference, and with them what a change of the logits does; not the change
// itself.
TEST(Head, ABiasIsInTheReferencesLogitsAlone) {
  constexpr int kParent = 0, kA = 1, kHead = 2;
  const std::vector<const quant::Format*> none(3), everywhere{format(), format(), nullptr};
  const auto score = [&](CommonShift& model) {
    return model.score({{.formats = none, .leaves = {{kA, {{0, format()}}}, {kHead, {{2, format()}}}}},
                        {.formats = everywhere, .leaves = {}}},
                       {kReference, VariantId{kParent}});
  };
  CommonShift plain, biased(/*with_bias=*/true);
  const auto without = score(plain), with = score(biased);
  std::vector<float> a = biased.a, b = biased.b;
  a[0] = 4;
  biased.expect(with.at(kA), a, biased.b);
  b[5] = 4.0f / 64;
  biased.expect(with.at(kParent), a, b);
  for (const int variant : {kParent, kA, kHead})
    EXPECT_EQ(with.at(variant).logits_sse, without.at(variant).logits_sse);
  EXPECT_GT(std::abs(with.at(kParent).kl - without.at(kParent).kl), 1e-3 * without.at(kParent).kl);
}

// Of changes of the logits by ops before the head and by the head itself, under a common shift of 1500.
TEST(Head, SketchesAreProjectionsOnTheSameSignsForAll) {
  CommonShift model(/*with_bias=*/true);
  constexpr int kA = 3, kB = 4, kHead = 5;
  const auto score = [&](const SketchSetting& sketch) {
    return model.score({{.formats = std::vector<const quant::Format*>(3),
                         .leaves = {{kA, {{0, format()}}}, {kB, {{1, format()}}}, {kHead, {{2, format()}}}}}},
                       {kReference}, sketch);
  };
  std::vector<float> a = model.a, b = model.b;
  a[0] = 4;
  b[5] = 4.0f / 64;
  for (const scores::Which which : {scores::Which::kl, scores::Which::logits_sse}) {
    const SketchSetting sketch{.width = 512, .which = which, .seed = 3};
    const auto metrics = score(sketch);
    const std::vector<float> signs = signs_of(model, sketch, kVocabulary);
    ASSERT_EQ(model.sketches.size(), 3u);
    double products = 0, expected_products = 0, squares_a = 0, squares_b = 0;
    for (int64_t t = 0; t < kTokens; ++t) {
      const std::vector<double> before = model.logits(t, model.a, model.b);
      const std::vector<double> log_p = CommonShift::log_softmax(before);
      // Weights of the inner product, and changes less what it does not see.
      std::vector<double> weight(log_p.size(), 1);
      const auto change = [&](const std::vector<float>& of_a, const std::vector<float>& of_b) {
        std::vector<double> d = model.logits(t, of_a, of_b);
        double mean = 0;
        for (size_t v = 0; v < d.size(); ++v) mean += std::exp(log_p[v]) * (d[v] -= before[v]);
        for (size_t v = 0; v < d.size() && which == scores::Which::kl; ++v) {
          d[v] -= mean;
          weight[v] = std::exp(log_p[v]);
        }
        return d;
      };
      const std::vector<double> of_a = change(a, model.b), of_b = change(model.a, b);
      for (int64_t r = 0; r < sketch.width; ++r) {
        double sum_a = 0, sum_b = 0;
        for (size_t v = 0; v < weight.size(); ++v) {
          const double e =
              static_cast<double>(signs[static_cast<size_t>((r * kTokens + t) * kVocabulary) + v]);
          sum_a += e * std::sqrt(weight[v]) * of_a[v];
          sum_b += e * std::sqrt(weight[v]) * of_b[v];
        }
        const auto at = static_cast<size_t>(t * sketch.width + r);
        const double got_a = model.sketches[kA][at], got_b = model.sketches[kB][at];
        const double scale = which == scores::Which::kl ? 1 : 1e5;
        EXPECT_NEAR(got_a, sum_a, 1e-5 * std::abs(sum_a) + 1e-4 * scale);
        EXPECT_NEAR(got_b, sum_b, 1e-5 * std::abs(sum_b) + 1e-4 * scale);
        products += got_a * got_b / static_cast<double>(sketch.width);
      }
      for (size_t v = 0; v < weight.size(); ++v) {
        expected_products += weight[v] * of_a[v] * of_b[v];
        squares_a += weight[v] * of_a[v] * of_a[v];
        squares_b += weight[v] * of_b[v] * of_b[v];
      }
    }
    // Five standard errors.
    EXPECT_NEAR(products, expected_products, 5 * std::sqrt(2 * squares_a * squares_b / 512)) << name(which);
    EXPECT_EQ(metrics.size(), 3u);
  }
}

}  // namespace
}  // namespace qsweep::pass
