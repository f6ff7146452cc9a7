// Isolated scores of the strict sweep against a propagation of the same local errors in double precision.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "pass/f64_model.h"
#include "pass/pass.h"
#include "support/compare.h"
#include "support/gpu.h"

namespace qsweep::pass {
namespace {

using testing::F64Matrix;
using testing::F64Model;
using testing::F64Output;

const std::string kData = QSWEEP_TESTDATA;
const std::string kModel = kData + "/tiny-qwen2.5-vl";
constexpr Threads kThreads{2};
constexpr double kMedianBound = 1e-5, kWorstBound = 1e-4;
// Propagation does not know codecs: calibrated, dynamic and float activations, and scales of two levels.
constexpr const char* kFormats[] = {"w8a8", "w8a8_dynamic", "w4a16_g32", "nvfp4"};
constexpr const char* kCacheFormats[] = {"kv_fp8", "kv_int8_token_head", "kv_nvfp4"};
constexpr double kSmallestKl = 1e-9;  // nats: far above what the f64 sums can lose

F64Matrix widened(Matrix<const float> m) {
  F64Matrix wide(m.rows, m.cols);
  for (int64_t r = 0; r < m.rows; ++r) std::copy_n(m.row(r), m.cols, wide.row(r));
  return wide;
}

F64Matrix difference(Matrix<const float> a, Matrix<const float> b) {
  F64Matrix d = widened(a);
  for (int64_t r = 0; r < d.rows; ++r)
    for (int64_t c = 0; c < d.cols; ++c) d.row(r)[c] -= static_cast<double>(b.row(r)[c]);
  return d;
}

// Of caches, which the record does not have; some numbers are beyond them.
constexpr quant::Range kOfKeys{-6, 5}, kOfValues{-1.5f, 2};

// From the calibration record that comes with the reference scores.
Ranges recorded_ranges(const models::Model& model) {
  const io::Json record = io::read_json_file(kData + "/scores/ops.json");
  std::map<std::string, quant::Range> by_name;
  for (const io::Json& row : record["ops"])
    by_name[row["name"].get<std::string>()] = {row["calibration"]["min"].get<float>(),
                                               row["calibration"]["max"].get<float>()};
  Ranges ranges;
  for (const graph::LinearOp& op : model.ops) ranges.push_back(op.cache ? kOfKeys : by_name.at(op.name));
  ranges.resize(graph::count_ranges(model.ops), kOfValues);
  return ranges;
}

// A text-only sample, one with an image, and one with two.
struct Data {
  models::Model model = models::load(kModel, {.caches = true});
  Ranges ranges = recorded_ranges(model);
  std::vector<models::Sample> samples;
  F64Model f64{kModel};
  std::vector<F64Model::Reference> references;

  Data() {
    const auto dataset = text::read_dataset(kData + "/data/eval.jsonl");
    for (const std::string id : {"eval-005", "eval-000", "eval-004"}) {
      const auto named =
          std::find_if(dataset.begin(), dataset.end(), [&](const auto& s) { return s.id == id; });
      samples.push_back(model.inputs->prepare(*named));
      const models::Sample& sample = samples.back();
      const auto inputs = model.inputs->load(sample, models::InputBuilder::Pixels::decode);
      references.push_back(f64.reference(sample.token_ids, sample.image_grids,
                                         widened(inputs.tables.at("pixel_values").matrix<float>())));
    }
  }

  PassSetting setting(const ops::Context& context) const {
    PassSetting setting{.model = model, .ops = context, .samples = {}, .ranges = ranges};
    for (const models::Sample& s : samples) setting.samples.push_back(&s);
    return setting;
  }
  PassInput pass(const ops::Context& context, std::span<const Variant> variants) const {
    PassInput input{.setting = setting(context), .variants = variants, .live = {}};
    for (size_t v = 0; v < variants.size(); ++v) input.live.push_back(VariantId{static_cast<int>(v)});
    return input;
  }
};

std::span<const char* const> formats_of(const graph::LinearOp& op) {
  return op.cache ? std::span<const char* const>(kCacheFormats) : std::span<const char* const>(kFormats);
}

// Every op in every format of its kind.
std::vector<Variant> all_variants(const models::Model& model) {
  std::vector<Variant> variants;
  for (size_t op = 0; op < model.ops.size(); ++op)
    for (const char* format : formats_of(model.ops[op]))
      variants.push_back({.overrides = {{static_cast<int>(op), &quant::find_format(format)}}});
  return variants;
}

// Rows of the op's input that each sample brings.
int64_t input_rows(const std::string& op, const models::Sample& sample) {
  graph::Rows kind = graph::Rows::tokens;
  if (op.starts_with("visual.")) kind = op.starts_with("visual.merger.") ? models::kUnits : models::kPatches;
  return sample.rows[kind];
}

// What an output differs by from the reference's, over all positions.
struct Errors {
  double hidden_sse = 0, logits_sse = 0, kl = 0;

  void add(const Errors& e) {
    hidden_sse += e.hidden_sse;
    logits_sse += e.logits_sse;
    kl += e.kl;
  }
};

double squared_distance(const F64Matrix& a, const F64Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i)
    sum += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
  return sum;
}

std::vector<double> log_softmax(const double* z, int64_t n) {
  const double top = *std::max_element(z, z + n);
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += std::exp(z[i] - top);
  std::vector<double> log_p(z, z + n);
  for (double& v : log_p) v -= top + std::log(total);
  return log_p;
}

// sum p (log p - log q), as sum p (e^d - 1 - d) with d = log q - log p: every term is positive.
double kl_divergence(const double* reference, const double* variant, int64_t n) {
  const auto log_p = log_softmax(reference, n), log_q = log_softmax(variant, n);
  double sum = 0;
  for (size_t i = 0; i < log_p.size(); ++i) {
    const double d = log_q[i] - log_p[i];
    sum += std::exp(log_p[i]) * (std::expm1(d) - d);
  }
  return sum;
}

Errors errors_of(const F64Output& reference, const F64Output& variant) {
  Errors e;
  e.hidden_sse = squared_distance(reference.hidden, variant.hidden);
  e.logits_sse = squared_distance(reference.logits, variant.logits);
  for (int64_t t = 0; t < reference.logits.rows; ++t)
    e.kl += kl_divergence(reference.logits.row(t), variant.logits.row(t), reference.logits.cols);
  return e;
}

// The inputs of all ops, as the sweep's reference sees them: rows of all samples.
std::vector<Tensor> op_inputs(kernels::Device device, const Data& data) {
  kernels::Gemm gemm(device);
  const ops::Context context{gemm};
  graph::Workspace workspace(device);
  std::vector<Tensor> inputs(data.model.ops.size());
  run_reference(data.setting(context), workspace, [&](int op, Matrix<const float> x) {
    Tensor copy(DType::f32, {x.rows, x.cols});
    const int64_t extent = x.rows == 0 ? 0 : (x.rows - 1) * x.stride + x.cols;
    const kernels::HostCopy there(device, std::span(const_cast<float*>(x.data), static_cast<size_t>(extent)));
    for (int64_t r = 0; r < x.rows; ++r)
      std::copy_n(there.elements().data() + r * x.stride, x.cols, copy.matrix<float>().row(r));
    inputs[static_cast<size_t>(op)] = std::move(copy);
  });
  return inputs;
}

struct EngineScores {
  std::vector<Errors> sums;      // by variant
  std::vector<int> samples_hit;  // metrics reported, by variant
};

EngineScores engine_scores(kernels::Device device, const Data& data, std::span<const Variant> variants) {
  kernels::Gemm gemm(device);
  const ops::Context context{gemm};
  graph::Workspace workspace(device);
  EngineScores scores{std::vector<Errors>(variants.size()), std::vector<int>(variants.size())};
  PassSinks sinks;
  sinks.metrics = [&](VariantId variant, int64_t, const scores::ScopedSums& sums) {
    const auto v = static_cast<size_t>(variant);
    scores.sums[v].add({sums.all.hidden_sse, sums.all.logits_sse, sums.all.kl});
    ++scores.samples_hit[v];
  };
  sinks.local = [](VariantId, const scores::LocalStats&) {};
  run_pass(data.pass(context, variants), workspace, sinks);
  return scores;
}

// (Q(x) - x) W^T + Q(x) (Q(W) - W)^T.
F64Matrix local_error(const quant::Format& format, const std::optional<quant::Range>& range,
                      const F64Matrix& weight_t, const F64Matrix& weight_error_t, Matrix<const float> x) {
  Tensor quantized(DType::f32, {x.rows, x.cols});
  quant::fake_quantize_input(Threads{1}, format, x, range ? &*range : nullptr, quantized.matrix<float>());
  const Matrix<const float> q = quantized.matrix<float>();
  F64Matrix error = testing::multiply(difference(q, x), weight_t);
  testing::add_to(error, testing::multiply(widened(q), weight_error_t));
  return error;
}

// Q(x) - x.
F64Matrix cache_error(const quant::Format& format, int64_t head_dim, Matrix<const float> x) {
  Tensor quantized(DType::f32, {x.rows, x.cols});
  quant::fake_quantize_cache(Threads{1}, format, head_dim, x, &kOfKeys, &kOfValues,
                             quantized.matrix<float>());
  return difference(quantized.matrix<float>(), x);
}

// What the op's format changes in its output, by its input.
using LocalError = std::function<F64Matrix(Matrix<const float> x)>;

LocalError local_error_of(const Data& data, const graph::Override& quantized_op) {
  const auto op_index = static_cast<size_t>(quantized_op.op);
  const graph::LinearOp& op = data.model.ops[op_index];
  const quant::Format& format = *quantized_op.format;
  if (op.cache)
    return [&, n = op.cache->head_dim](Matrix<const float> x) { return cache_error(format, n, x); };
  Tensor weight(DType::f32, {op.out_features(), op.in_features()}), quantized(DType::f32, weight.shape());
  kernels::to_f32(Threads{1}, op.weight, weight.matrix<float>());
  quant::fake_quantize_weight(Threads{1}, format, weight.matrix<float>(), nullptr, quantized.matrix<float>());
  return [&format, range = data.ranges[op_index],
          weight_t = testing::transposed(widened(weight.matrix<float>())),
          error_t = testing::transposed(difference(quantized.matrix<float>(), weight.matrix<float>()))](
             Matrix<const float> x) { return local_error(format, range, weight_t, error_t, x); };
}

Errors f64_score(const Data& data, const graph::Override& quantized_op, const Tensor& input) {
  const graph::LinearOp& op = data.model.ops[static_cast<size_t>(quantized_op.op)];
  const LocalError error_of = local_error_of(data, quantized_op);
  Errors total;
  int64_t first = 0;
  for (size_t s = 0; s < data.samples.size(); ++s) {
    const int64_t rows = input_rows(op.name, data.samples[s]);
    if (rows == 0) continue;
    const Matrix<const float> x = input.matrix<float>().rows_at(first, rows);
    const F64Output output = data.f64.perturbed(data.references[s], {op.name, error_of(x)});
    total.add(errors_of(data.references[s].output, output));
    first += rows;
  }
  EXPECT_EQ(first, input.shape()[0]) << op.name;
  return total;
}

struct Deviation {
  double relative = 0;
  std::string what;
};

// NaN counts as infinitely far off.
double relative_deviation(double engine, double exact) {
  const double d = std::abs(engine - exact) / exact;
  return std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
}

void expect_small(const std::string& metric, std::vector<Deviation> deviations) {
  std::sort(deviations.begin(), deviations.end(),
            [](const Deviation& a, const Deviation& b) { return a.relative < b.relative; });
  const double median = deviations[deviations.size() / 2].relative, worst = deviations.back().relative;
  std::cout << metric << ": median " << median << ", worst";
  for (size_t i = 1; i <= 3; ++i) {
    const Deviation& d = deviations[deviations.size() - i];
    std::cout << " " << d.relative << " (" << d.what << ")";
  }
  std::cout << "\n";
  EXPECT_TRUE(median <= kMedianBound) << metric << ": median deviation " << median;
  EXPECT_TRUE(worst <= kWorstBound) << metric << ": " << deviations.back().what << " deviates by " << worst;
}

// The engine's list of ops is in the order in which the reference implementation meets them.
TEST(ModelOrder, IsTheReferenceScoresOrder) {
  const models::Model model = models::load(kModel);
  std::vector<std::string> names, expected;
  for (const graph::LinearOp& op : model.ops) names.push_back(op.name);
  const io::Json record = io::read_json_file(kData + "/scores/ops.json");
  for (const io::Json& row : record["ops"]) expected.push_back(row["name"].get<std::string>());
  EXPECT_EQ(names, expected);
}

TEST(F64Model, MatchesGoldens) {
  const Data data;
  for (size_t s = 0; s < data.samples.size(); ++s) {
    const auto golden =
        io::SafetensorsFile::open(kData + "/goldens/forward/" + data.samples[s].id + ".safetensors");
    const auto compare = [&](const F64Matrix& computed, const std::string& name) {
      const auto expected = golden.view(*golden.find(name)).as<float>();
      const double error = testing::relative_error(std::span<const double>(computed.values), expected);
      EXPECT_TRUE(error <= 1e-5) << data.samples[s].id << " " << name << ": " << error;
    };
    compare(data.references[s].output.hidden, "final_norm");
    compare(data.references[s].output.logits, "logits");
  }
}

void expect_isolated_scores(kernels::Device device) {
  const Data data;
  const std::vector<Variant> variants = all_variants(data.model);
  const auto quantized_op = [&](size_t v) -> const graph::Override& { return variants[v].overrides.front(); };
  const std::vector<Tensor> inputs = op_inputs(device, data);
  const EngineScores engine = engine_scores(device, data, variants);
  std::vector<Errors> exact(variants.size());
  // Early ops take longest: each thread takes every n-th.
  const auto stride = static_cast<size_t>(kThreads.count);
  parallel_for(kThreads, kThreads.count, [&](int64_t begin, int64_t end) {
    for (auto first = static_cast<size_t>(begin); first < static_cast<size_t>(end); ++first)
      for (size_t v = first; v < variants.size(); v += stride)
        exact[v] = f64_score(data, quantized_op(v), inputs[static_cast<size_t>(quantized_op(v).op)]);
  });

  std::vector<Deviation> hidden, logits, kl;
  for (size_t v = 0; v < variants.size(); ++v) {
    const std::string& op = data.model.ops[static_cast<size_t>(quantized_op(v).op)].name;
    const std::string what = op + " " + std::string(quantized_op(v).format->name);
    EXPECT_EQ(engine.samples_hit[v], op.starts_with("visual.") ? 2 : 3) << what;  // one has no image
    EXPECT_TRUE(exact[v].kl >= kSmallestKl) << what << ": " << exact[v].kl;
    if (op == "lm_head") {
      EXPECT_EQ(engine.sums[v].hidden_sse, 0) << what;
    } else {
      hidden.push_back({relative_deviation(engine.sums[v].hidden_sse, exact[v].hidden_sse), what});
    }
    logits.push_back({relative_deviation(engine.sums[v].logits_sse, exact[v].logits_sse), what});
    kl.push_back({relative_deviation(engine.sums[v].kl, exact[v].kl), what});
  }
  EXPECT_EQ(hidden.size(), 300u + 18);
  EXPECT_EQ(kl.size(), 304u + 18);
  expect_small("hidden_sse", std::move(hidden));
  expect_small("logits_sse", std::move(logits));
  expect_small("kl", std::move(kl));
}

TEST(F64PropagationSlow, IsolatedScoresOfEveryOp) { expect_isolated_scores(kThreads); }

class CudaF64PropagationSlow : public testing::GpuSlowTest {};
TEST_F(CudaF64PropagationSlow, IsolatedScoresOfEveryOp) { expect_isolated_scores(device()); }

}  // namespace
}  // namespace qsweep::pass
