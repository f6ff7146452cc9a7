// The reference forward pass against the goldens of the reference implementation, stage by stage.
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/checkpoint.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "models/goldens.h"
#include "support/changed_model.h"
#include "support/gpu.h"
#include "support/testdata.h"

namespace qsweep {
namespace {

using models::compare_family;
using models::family_folder;
using models::run_and_compare;
using models::walk;

const std::string kData = testing::testdata_folder();

// Of the evaluation data that have goldens: those of these ids, or all. Returns how many.
int compare_trained_model(kernels::Device device, const std::vector<std::string>& ids = {}) {
  const models::Model model = models::load(kData + "/tiny-qwen2.5-vl");
  EXPECT_EQ(model.ops.size(), 76u);
  int samples = 0;
  for (const text::Sample& data : text::read_dataset(kData + "/data/eval.jsonl")) {
    const std::string path = kData + "/goldens/forward/" + data.id + ".safetensors";
    const bool wanted = ids.empty() || std::ranges::find(ids, data.id) != ids.end();
    if (!wanted || !std::filesystem::exists(path)) continue;
    const io::SafetensorsFile golden = io::SafetensorsFile::open(path);
    run_and_compare(device, model, model.inputs->prepare(data), golden);
    ++samples;
  }
  return samples;
}

TEST(Forward, TrainedModelMatchesEveryGolden) { EXPECT_EQ(compare_trained_model(Threads{2}), 10); }

class CudaForward : public testing::GpuTest {};
TEST_F(CudaForward, TrainedModelMatchesGoldensWithAndWithoutAnImage) {
  EXPECT_EQ(compare_trained_model(device(), {"eval-000", "eval-005"}), 2);
}

class CudaForwardSlow : public testing::GpuSlowTest {};
TEST_F(CudaForwardSlow, TrainedModelMatchesEveryGolden) { EXPECT_EQ(compare_trained_model(device()), 10); }

class Families : public ::testing::TestWithParam<const char*> {};
TEST_P(Families, MatchEveryGolden) {
  const std::string folder = family_folder(GetParam());
  compare_family(Threads{2}, models::load(folder), folder);
}

// The same model as transformers 5 writes its config.json.
TEST_P(Families, MatchEveryGoldenByTheNewerConfig) {
  const std::string folder = family_folder(GetParam());
  const testing::ChangedModel newer(folder, [&](const std::string& copy) {
    std::filesystem::copy_file(folder + "/config-v5.json", copy + "/config.json",
                               std::filesystem::copy_options::overwrite_existing);
  });
  compare_family(Threads{2}, models::load(newer.path()), folder);
}

// The same weights under the names of other versions of transformers.
struct OtherLayout {
  const char* family;
  std::vector<std::pair<std::string, std::string>> names;  // prefixes; the first that fits is changed
};

class Layouts : public ::testing::TestWithParam<OtherLayout> {};
TEST_P(Layouts, MatchEveryGolden) {
  const std::string folder = family_folder(GetParam().family);
  const testing::ChangedModel renamed(folder, [&](const std::string& copy) {
    const io::Checkpoint stored = io::Checkpoint::open(folder);
    std::vector<io::NamedTensor> tensors;
    for (const std::string& name : stored.names()) {
      const auto row = std::ranges::find_if(
          GetParam().names, [&](const auto& prefixes) { return name.starts_with(prefixes.first); });
      ASSERT_NE(row, GetParam().names.end()) << name;
      tensors.push_back({row->second + name.substr(row->first.size()), *stored.find(name)});
    }
    io::write_safetensors(copy + "/model.safetensors", tensors);
  });
  compare_family(Threads{2}, models::load(renamed.path()), folder);
}

INSTANTIATE_TEST_SUITE_P(
    All, Layouts,
    ::testing::Values(
        OtherLayout{"qwen2_vl", {{"visual.", "model.visual."}, {"model.", "model.language_model."}}},
        OtherLayout{"qwen3_vl", {{"model.visual.", "visual."}, {"model.language_model.", "model."}}},
        OtherLayout{"mistral3",
                    {{"vision_tower.", "model.vision_tower."},
                     {"multi_modal_projector.", "model.multi_modal_projector."},
                     {"language_model.lm_head.", "lm_head."},
                     {"language_model.model.", "model.language_model."}}},
        OtherLayout{"gemma3",
                    {{"vision_tower.vision_model.", "model.vision_tower."},
                     {"multi_modal_projector.", "model.multi_modal_projector."},
                     {"language_model.model.", "model.language_model."}}}),
    [](const auto& one) { return std::string(one.param.family); });

INSTANTIATE_TEST_SUITE_P(All, Families,
                         ::testing::Values("llama", "llama3_tied", "mistral", "qwen2", "qwen3", "qwen3_moe",
                                           "gemma3_text", "qwen2_vl", "qwen2_5_vl", "qwen3_vl",
                                           "qwen3_vl_moe", "gpt_oss", "mistral3", "gemma3"),
                         [](const auto& one) { return std::string(one.param); });

TEST_F(CudaForwardSlow, RandomUntiedShardedModelMatchesEveryGolden) {
  const std::string folder = family_folder("qwen2_5_vl");
  compare_family(device(), models::load(folder), folder);
}

// Of the tokens behind a sample's first, in nats.
double log_likelihood(const models::Sample& sample, const Matrix<float>& logits) {
  double sum = 0;
  for (int64_t t = 0; t + 1 < logits.rows; ++t) {
    double normalizer = 0;
    for (int64_t i = 0; i < logits.cols; ++i) normalizer += std::exp(static_cast<double>(logits.row(t)[i]));
    const int32_t target = sample.token_ids[static_cast<size_t>(t + 1)];
    sum += static_cast<double>(logits.row(t)[target]) - std::log(normalizer);
  }
  return sum;
}

double perplexity(const models::Model& model, const std::string& file) {
  double sum = 0;
  int64_t targets = 0;
  for (const text::Sample& data : text::read_dataset(file)) {
    const models::Sample sample = model.inputs->prepare(data);
    walk(Threads{2}, model, sample, [&](const graph::Stage& stage, const graph::Values& values) {
      if (stage.name == "lm_head") sum += log_likelihood(sample, values.at("logits").matrix);
    });
    targets += std::ssize(sample.token_ids) - 1;
  }
  return std::exp(-sum / static_cast<double>(targets));
}

// Of real size and trained, as tools/real_model.py makes it, which reads what is recorded here.
TEST(Forward, RealModelMatchesItsGoldens) {
  const char* const folder = std::getenv("QSWEEP_REAL_MODEL");
  if (folder == nullptr) GTEST_SKIP() << "QSWEEP_REAL_MODEL is not set";
  const models::Model model = models::load(folder);
  const auto golden = io::SafetensorsFile::open(kData + "/real/golden-real-1.safetensors");
  models::Sample sample{.id = "real-1"};
  const auto ids = golden.view(*golden.find("input_ids")).as<int64_t>();
  sample.token_ids.assign(ids.begin(), ids.end());
  sample.rows = {std::ssize(ids)};
  for (const models::Tap& tap : models::taps(model))
    EXPECT_NE(golden.find(tap.golden), nullptr) << tap.golden;
  const double worst = run_and_compare(Threads{2}, model, sample, golden);
  RecordProperty("worst_relative_error", fmt::format("{}", worst));
  RecordProperty("perplexity", fmt::format("{}", perplexity(model, kData + "/real/paragraphs.txt")));
}

}  // namespace
}  // namespace qsweep
