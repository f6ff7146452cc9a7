#include "models/goldens.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include <gtest/gtest.h>

#include "io/json.h"
#include "support/compare.h"
#include "support/testdata.h"

namespace qsweep::models {
namespace {

// Stages whose names begin so are told by these goldens, with the rest of the name behind it; by family they
// are called differently.
constexpr struct {
  std::string_view stage, golden, value;
} kTaps[] = {
    {"visual.blocks.", "visual.blocks.", "patches"},
    {"vision_tower.transformer.layers.", "visual.blocks.", "patches"},
    {"vision_tower.encoder.layers.", "visual.blocks.", "patches"},
    {"vision_tower.post_layernorm", "visual.post_layernorm", "patches"},
    {"visual.merger", "visual.out", "image_features"},
    {"multi_modal_projector", "visual.out", "image_features"},
    {"model.embed_tokens", "layers_input", "hidden"},
    {"model.layers.", "layers.", "hidden"},
    {"model.norm", "final_norm", "hidden"},
    {"lm_head", "logits", "logits"},
};

double error_of(kernels::Device device, const graph::Value& value, const io::SafetensorsFile& golden,
                const std::string& name) {
  const auto expected = golden.view(*golden.find(name)).as<float>();
  EXPECT_TRUE(value.matrix.contiguous());
  const kernels::HostCopy found(device, std::span(value.matrix.data, expected.size()));
  return testing::relative_error(std::span<const float>(found.elements()), expected);
}

// Of an image.
struct Patches {
  int64_t high = 0, wide = 0;
};
std::vector<Patches> grids_of(const io::Json& row, const io::SafetensorsFile& golden,
                              const std::string& folder) {
  std::vector<Patches> grids;
  const io::Json config = io::read_json_file(folder + "/config.json");
  for (size_t i = 0; i < row["images"].size(); ++i) {
    if (const auto* thw = golden.find("image_grid_thw")) {
      const auto sizes = golden.view(*thw).as<int64_t>();
      grids.push_back({sizes[3 * i + 1], sizes[3 * i + 2]});
      continue;
    }
    const auto patch = config["vision_config"]["patch_size"].get<int64_t>();
    if (const auto* pixels = golden.find("image_sizes")) {
      const auto sizes = golden.view(*pixels).as<int64_t>();
      grids.push_back({sizes[2 * i] / patch, sizes[2 * i + 1] / patch});
    } else {
      const int64_t side = config["vision_config"]["image_size"].get<int64_t>() / patch;
      grids.push_back({side, side});
    }
  }
  return grids;
}

// Of a token.
int64_t patches_of_unit(const std::string& folder) {
  const io::Json config = io::read_json_file(folder + "/config.json");
  if (!config.contains("mm_tokens_per_image")) return 4;
  const io::Json& vision = config["vision_config"];
  const int64_t side = vision["image_size"].get<int64_t>() / vision["patch_size"].get<int64_t>();
  return side * side / config["mm_tokens_per_image"].get<int64_t>();
}

}  // namespace

std::string family_folder(const std::string& name) {
  return testing::testdata_folder() + "/families/" + name;
}

std::vector<Tap> taps(const Model& model) {
  std::vector<Tap> all;
  for (const graph::Stage& stage : model.stages) {
    const std::string deepstack = "visual.deepstack_merger_list.";
    if (stage.name.starts_with(deepstack)) {
      const std::string i = stage.name.substr(deepstack.size());
      all.push_back({"visual.deepstack." + i, stage.name, "deepstack_features." + i});
    }
    for (const auto& row : kTaps)
      if (stage.name.starts_with(row.stage))
        all.push_back({std::string(row.golden) + stage.name.substr(row.stage.size()), stage.name,
                       std::string(row.value)});
  }
  return all;
}

void walk(kernels::Device device, const Model& model, const Sample& sample, const EachStage& each) {
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(sample, InputBuilder::Pixels::decode));
  const graph::Batch batch(std::move(inputs), graph::Batch::Contents::values, device);
  kernels::Gemm gemm(device);
  const ops::Context context{gemm};
  graph::Workspace workspace(device);
  graph::Forward forward({context, workspace, batch, model.ops});
  graph::Values values;
  for (const graph::Stage& stage : model.stages) {
    forward.run(stage, values);
    each(stage, values);
  }
}

double run_and_compare(kernels::Device device, const Model& model, const Sample& sample,
                       const io::SafetensorsFile& golden) {
  int compared = 0;
  double worst = 0;
  walk(device, model, sample, [&](const graph::Stage& stage, const graph::Values& values) {
    for (const Tap& tap : taps(model)) {
      if (tap.stage != stage.name || golden.find(tap.golden) == nullptr) continue;
      if (values.at(tap.value).matrix.rows == 0) continue;
      const double error = error_of(device, values.at(tap.value), golden, tap.golden);
      EXPECT_TRUE(error <= kTolerance) << sample.id << " " << tap.golden << ": " << error;
      worst = std::max(worst, error);
      ++compared;
    }
  });
  EXPECT_GE(compared, 2) << sample.id;
  return worst;
}

Sample sample_of(const io::Json& row, const io::SafetensorsFile& golden, const std::string& folder) {
  Sample sample;
  sample.id = row["name"].get<std::string>();
  const auto ids = golden.view(*golden.find("input_ids")).as<int64_t>();
  sample.token_ids.assign(ids.begin(), ids.end());
  for (const io::Json& image : row["images"]) sample.images.push_back({.location = image, .folder = folder});
  int64_t patches = 0;
  for (const Patches& grid : grids_of(row, golden, folder)) {
    sample.image_grids.push_back({1, grid.high, grid.wide});
    patches += grid.high * grid.wide;
  }
  sample.rows = {std::ssize(ids), patches, patches / patches_of_unit(folder)};
  return sample;
}

void compare_family(kernels::Device device, const Model& model, const std::string& folder) {
  EXPECT_EQ(model.unused_tensors, std::vector<std::string>());
  int goldens = 0;
  for (const io::Json& row : io::read_json_file(folder + "/goldens.json")) {
    const std::string path = folder + "/" + row["file"].get<std::string>();
    if (!std::filesystem::exists(path)) continue;
    const io::SafetensorsFile golden = io::SafetensorsFile::open(path);
    run_and_compare(device, model, sample_of(row, golden, folder), golden);
    ++goldens;
  }
  EXPECT_GE(goldens, 2);
}

}  // namespace qsweep::models
