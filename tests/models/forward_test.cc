// The reference forward pass against the goldens of the reference implementation, stage by stage.
#include "graph/forward.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "models/model.h"
#include "models/qwen2_5_vl/inputs.h"
#include "support/compare.h"
#include "support/gpu.h"
#include "support/testdata.h"

namespace qsweep {
namespace {

const std::string kData = testing::testdata_folder();
constexpr double kTolerance = 2e-5;

// Where a golden tensor appears in our run: after which stage, under which name.
struct Tap {
  std::string golden;
  std::string stage;
  std::string value;
};

// Golden stages in the order of the run. "visual.patch_embed" is compared in its own order, before windows.
std::vector<Tap> taps(const models::Model& model) {
  std::vector<Tap> all;
  for (const graph::Stage& stage : model.stages) {
    if (stage.name.starts_with("visual.blocks.")) all.push_back({stage.name, stage.name, "patches"});
    if (stage.name == "visual.merger") all.push_back({"visual.out", stage.name, "image_features"});
    if (stage.name == "model.embed_tokens") all.push_back({"layers_input", stage.name, "hidden"});
    if (stage.name.starts_with("model.layers."))
      all.push_back({stage.name.substr(std::string("model.").size()), stage.name, "hidden"});
    if (stage.name == "model.norm") all.push_back({"final_norm", stage.name, "hidden"});
    if (stage.name == "lm_head") all.push_back({"logits", stage.name, "logits"});
  }
  return all;
}

double error_of(kernels::Device device, const graph::Value& value, const io::SafetensorsFile& golden,
                const std::string& name) {
  const auto expected = golden.view(*golden.find(name)).as<float>();
  EXPECT_TRUE(value.matrix.contiguous());
  const kernels::HostCopy found(device, std::span(value.matrix.data, expected.size()));
  return testing::relative_error(std::span<const float>(found.elements()), expected);
}

void run_and_compare(kernels::Device device, const models::Model& model, const models::Sample& sample,
                     const io::SafetensorsFile& golden) {
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
  const graph::Batch batch(std::move(inputs), graph::Batch::Contents::values, device);
  kernels::Gemm gemm(device);
  const ops::Context context{gemm};
  graph::Workspace workspace(device);
  graph::Forward forward({context, workspace, batch, model.ops});
  graph::Values values;
  int compared = 0;
  for (const graph::Stage& stage : model.stages) {
    forward.run(stage, values);
    for (const Tap& tap : taps(model)) {
      if (tap.stage != stage.name || golden.find(tap.golden) == nullptr) continue;
      if (values.at(tap.value).matrix.rows == 0) continue;
      const double error = error_of(device, values.at(tap.value), golden, tap.golden);
      EXPECT_TRUE(error <= kTolerance) << sample.id << " " << tap.golden << ": " << error;
      ++compared;
    }
  }
  EXPECT_GE(compared, 2) << sample.id;
}

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

void compare_random_model(kernels::Device device) {
  const std::string folder = kData + "/families/qwen2_5_vl";
  const models::Model model = models::load(folder);
  EXPECT_FALSE(model.tied_embeddings);
  const io::Json index = io::read_json_file(folder + "/goldens.json");
  for (const io::Json& row : index) {
    const io::SafetensorsFile golden =
        io::SafetensorsFile::open(folder + "/" + row["file"].get<std::string>());
    const auto ids = golden.view(*golden.find("input_ids")).as<int64_t>();
    // These prompts are not dialogues: the sample is put together from the golden's own tokens and images.
    models::Sample sample;
    sample.id = row["name"].get<std::string>();
    sample.token_ids.assign(ids.begin(), ids.end());
    for (const io::Json& image : row["images"])
      sample.images.push_back({.location = image, .folder = folder});
    int64_t patches = 0;
    if (const auto* grids = golden.find("image_grid_thw")) {
      const auto thw = golden.view(*grids).as<int64_t>();
      for (size_t i = 0; i < thw.size(); i += 3) {
        sample.image_grids.push_back({thw[i], thw[i + 1], thw[i + 2]});
        patches += thw[i] * thw[i + 1] * thw[i + 2];
      }
    }
    sample.rows = {patches, patches / 4, static_cast<int64_t>(ids.size())};
    run_and_compare(device, model, sample, golden);
  }
}

TEST(Forward, RandomUntiedShardedModelMatchesEveryGolden) { compare_random_model(Threads{2}); }
TEST_F(CudaForwardSlow, RandomUntiedShardedModelMatchesEveryGolden) { compare_random_model(device()); }

}  // namespace
}  // namespace qsweep
