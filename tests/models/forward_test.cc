// The reference forward pass against the goldens of the reference implementation, stage by stage.
#include "graph/forward.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <list>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/rng.h"
#include "graph/experts.h"
#include "io/atomic_file.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "models/model.h"
#include "support/changed_model.h"
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

// Golden stages in the order of the run.
std::vector<Tap> taps(const models::Model& model) {
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

double error_of(kernels::Device device, const graph::Value& value, const io::SafetensorsFile& golden,
                const std::string& name) {
  const auto expected = golden.view(*golden.find(name)).as<float>();
  EXPECT_TRUE(value.matrix.contiguous());
  const kernels::HostCopy found(device, std::span(value.matrix.data, expected.size()));
  return testing::relative_error(std::span<const float>(found.elements()), expected);
}

// Calls each(stage, values) after every stage.
template <class Each>
void walk(kernels::Device device, const models::Model& model, const models::Sample& sample, Each&& each) {
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
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

// The largest error.
double run_and_compare(kernels::Device device, const models::Model& model, const models::Sample& sample,
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

// Patches of an image.
struct Grid {
  int64_t high = 0, wide = 0;
};
std::vector<Grid> grids_of(const io::Json& row, const io::SafetensorsFile& golden,
                           const std::string& folder) {
  std::vector<Grid> grids;
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

// These prompts are not dialogues: the sample is put together from the golden's own tokens and images.
models::Sample sample_of(const io::Json& row, const io::SafetensorsFile& golden, const std::string& folder) {
  models::Sample sample;
  sample.id = row["name"].get<std::string>();
  const auto ids = golden.view(*golden.find("input_ids")).as<int64_t>();
  sample.token_ids.assign(ids.begin(), ids.end());
  for (const io::Json& image : row["images"]) sample.images.push_back({.location = image, .folder = folder});
  int64_t patches = 0;
  for (const Grid& grid : grids_of(row, golden, folder)) {
    sample.image_grids.push_back({1, grid.high, grid.wide});
    patches += grid.high * grid.wide;
  }
  sample.rows = {std::ssize(ids), patches, patches / patches_of_unit(folder)};
  return sample;
}

void compare_family(kernels::Device device, const models::Model& model, const std::string& folder) {
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

std::string family_folder(const std::string& name) { return kData + "/families/" + name; }

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

// --- mixtures of experts
// What the stage's router reads, as a stage's output.
graph::Stage up_to_experts(const graph::Stage& stage, const graph::Experts** experts) {
  graph::Stage part = stage;
  const auto node = std::ranges::find_if(
      part.nodes, [](const graph::Node& n) { return std::holds_alternative<graph::Experts>(n.operation); });
  if (node == part.nodes.end()) return part;
  *experts = &std::get<graph::Experts>(stage.nodes[static_cast<size_t>(node - part.nodes.begin())].operation);
  part.outputs = {{"routed", node->inputs[0]}};
  part.nodes.erase(node, part.nodes.end());
  return part;
}

class Mixtures : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string folder = family_folder(GetParam());
};

TEST_P(Mixtures, RoutersChooseAsTheGoldensDo) {
  const models::Model model = models::load(folder);
  const io::Json row = io::read_json_file(folder + "/goldens.json")[0];
  const auto golden = io::SafetensorsFile::open(folder + "/" + row["file"].get<std::string>());
  const models::Sample sample = sample_of(row, golden, folder);
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
  const graph::Batch batch(inputs);
  kernels::Gemm gemm(Threads{2});
  const ops::Context context{gemm};
  graph::Workspace workspace;
  const graph::Pass pass{context, workspace, batch, model.ops};
  graph::Forward forward(pass);
  graph::Values values;
  int routers = 0;
  for (const graph::Stage& stage : model.stages) {
    const graph::Experts* experts = nullptr;
    const graph::Stage part = up_to_experts(stage, &experts);
    if (experts != nullptr) {
      graph::Values routed = values;
      forward.run(part, routed);
      const graph::Routing routing(pass, *experts, routed.at("routed").matrix);
      const std::string name = stage.name.substr(6) + ".router.";  // behind "model."
      const auto logits = golden.view(*golden.find(name + "logits")).as<float>();
      const auto weights = golden.view(*golden.find(name + "weights")).as<float>();
      const auto chosen = golden.view(*golden.find(name + "experts")).as<int64_t>();
      size_t i = 0;
      for (int64_t t = 0; t < batch.rows(graph::Rows::tokens); ++t) {
        const size_t n = experts->experts.size();
        EXPECT_LE(testing::relative_error(routing.logits(t), logits.subspan(static_cast<size_t>(t) * n, n)),
                  kTolerance);
        for (const auto& [expert, weight] : routing.shares(t)) {
          EXPECT_EQ(expert, chosen[i]) << name << ", token " << t;
          EXPECT_NEAR(weight, static_cast<double>(weights[i++]), kTolerance);
        }
      }
      EXPECT_EQ(i, chosen.size());
      ++routers;
    }
    forward.run(stage, values);
  }
  const io::Json config = io::read_json_file(folder + "/config.json");
  const io::Json& text = config.contains("text_config") ? config["text_config"] : config;
  EXPECT_EQ(routers, text["num_hidden_layers"].get<int>());
}

INSTANTIATE_TEST_SUITE_P(All, Mixtures, ::testing::Values("qwen3_moe", "qwen3_vl_moe", "gpt_oss"),
                         [](const auto& one) { return std::string(one.param); });

TEST(MixtureLayers, SomeHaveOneMlp) {
  const std::string folder = family_folder("qwen3_moe");
  const auto missing = [&](const char* key, const io::Json& value) {
    const testing::ChangedModel changed(folder, [&](const std::string& copy) {
      io::Json config = io::read_json_file(copy + "/config.json");
      config[key] = value;
      io::write_file_atomically(copy + "/config.json", config.dump());
    });
    try {
      models::load(changed.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(missing("mlp_only_layers", {1}), ::testing::HasSubstr("model.layers.1.mlp.gate_proj.weight"));
  EXPECT_THAT(missing("decoder_sparse_step", 2), ::testing::HasSubstr("model.layers.0.mlp.gate_proj.weight"));
  EXPECT_THAT(missing("mlp_only_layers", {3}), ::testing::HasSubstr("expected some of 3 layers, found 3"));
  EXPECT_THAT(missing("num_experts_per_tok", 9), ::testing::HasSubstr("num_experts_per_tok"));
  EXPECT_THAT(missing("num_local_experts", 4), ::testing::HasSubstr("expected one number, found 8 and 4"));
}

// One tensor for all experts of a layer, as later versions of transformers write them; of each expert [out,
// in] or [in, out].
void compare_stacked(bool transposed) {
  const std::string folder = family_folder("qwen3_moe");
  constexpr int64_t kExperts = 8, kWidth = 40, kHidden = 64;
  const testing::ChangedModel stacked(folder, [&](const std::string& copy) {
    const io::Checkpoint stored = io::Checkpoint::open(folder);
    std::vector<io::NamedTensor> tensors;
    for (const std::string& name : stored.names())
      if (name.find(".experts.") == std::string::npos) tensors.push_back({name, *stored.find(name)});
    std::list<Tensor> kept;
    // The maps of every expert, one behind the other.
    const auto stack = [&](const std::string& layer, const std::vector<std::string>& maps, int64_t out,
                           int64_t in) {
      const auto all_out = std::ssize(maps) * out;
      Tensor& all = kept.emplace_back(
          DType::bf16, transposed ? Shape{kExperts, in, all_out} : Shape{kExperts, all_out, in});
      for (int64_t e = 0; e < kExperts; ++e)
        for (int64_t r = 0; r < all_out; ++r) {
          const std::string& map = maps[static_cast<size_t>(r / out)];
          const auto one = stored.find(layer + std::to_string(e) + "." + map + ".weight")->as<bf16>();
          for (int64_t c = 0; c < in; ++c)
            all.as<bf16>()[static_cast<size_t>(e * all_out * in +
                                               (transposed ? c * all_out + r : r * in + c))] =
                one[static_cast<size_t>(r % out * in + c)];
        }
      return all.view();
    };
    for (int64_t i = 0; i < 3; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".mlp.experts.";
      tensors.push_back({layer + "gate_up_proj", stack(layer, {"gate_proj", "up_proj"}, kWidth, kHidden)});
      tensors.push_back({layer + "down_proj", stack(layer, {"down_proj"}, kHidden, kWidth)});
    }
    io::write_safetensors(copy + "/model.safetensors", tensors);
  });
  compare_family(Threads{2}, models::load(stacked.path()), folder);
}
TEST(MixtureLayers, ExpertsInOneTensorMatchEveryGolden) { compare_stacked(false); }
TEST(MixtureLayers, TransposedExpertsInOneTensorMatchEveryGolden) { compare_stacked(true); }

// gpt-oss with experts of random blocks in MXFP4, as published, or with what they stand for in bfloat16; 32
// of the 48 hidden values of every expert.
class Mxfp4Experts {
 public:
  explicit Mxfp4Experts(bool blocks)
      : changed_(folder_, [&](const std::string& copy) { write(copy, blocks); }) {}

  std::vector<float> logits() const {
    const models::Model model = models::load(changed_.path());
    const io::Json row = io::read_json_file(folder_ + "/goldens.json")[0];
    const auto golden = io::SafetensorsFile::open(folder_ + "/" + row["file"].get<std::string>());
    std::vector<float> found;
    walk(Threads{2}, model, sample_of(row, golden, folder_),
         [&](const graph::Stage& stage, const graph::Values& values) {
           if (stage.name != "lm_head") return;
           const Matrix<float>& all = values.at("logits").matrix;
           found.assign(all.data, all.data + all.rows * all.cols);
         });
    return found;
  }

 private:
  static constexpr int64_t kExperts = 6, kWidth = 32, kHidden = 64, kBlock = 32;

  void write(const std::string& copy, bool blocks) {
    io::Json config = io::read_json_file(copy + "/config.json");
    config["intermediate_size"] = kWidth;
    if (blocks)
      config["quantization_config"] = {{"quant_method", "mxfp4"}, {"modules_to_not_convert", {"lm_head"}}};
    io::write_file_atomically(copy + "/config.json", config.dump());
    const io::Checkpoint stored = io::Checkpoint::open(folder_);
    std::vector<io::NamedTensor> tensors;
    for (const std::string& name : stored.names())
      if (name.find(".experts.") == std::string::npos) tensors.push_back({name, *stored.find(name)});
    for (int64_t i = 0; i < config["num_hidden_layers"].get<int64_t>(); ++i) {
      const std::string experts = "model.layers." + std::to_string(i) + ".mlp.experts.";
      add(experts + "gate_up_proj", 2 * kWidth, kHidden, blocks, tensors);
      add(experts + "down_proj", kHidden, kWidth, blocks, tensors);
      // The first hidden values' biases: gate and up in turns.
      const TensorView all = *stored.find(experts + "gate_up_proj_bias");
      Tensor& bias = kept_.emplace_back(DType::bf16, Shape{kExperts, 2 * kWidth});
      for (int64_t e = 0; e < kExperts; ++e)
        for (int64_t c = 0; c < 2 * kWidth; ++c)
          bias.as<bf16>()[static_cast<size_t>(e * 2 * kWidth + c)] =
              all.as<bf16>()[static_cast<size_t>(e * all.shape[1] + c)];
      tensors.push_back({experts + "gate_up_proj_bias", bias.view()});
      tensors.push_back({experts + "down_proj_bias", *stored.find(experts + "down_proj_bias")});
    }
    io::write_safetensors(copy + "/model.safetensors", tensors);
  }

  // In blocks the outputs come first, in bfloat16 the inputs.
  void add(const std::string& name, int64_t out, int64_t in, bool blocks,
           std::vector<io::NamedTensor>& tensors) {
    constexpr std::array<float, 8> kMagnitudes{0, 0.5, 1, 1.5, 2, 3, 4, 6};
    Tensor& codes = kept_.emplace_back(DType::u8, Shape{kExperts, out, in / kBlock, kBlock / 2});
    Tensor& scales = kept_.emplace_back(DType::u8, Shape{kExperts, out, in / kBlock});
    for (uint8_t& code : codes.as<uint8_t>()) code = static_cast<uint8_t>(rng_.below(256));
    for (uint8_t& scale : scales.as<uint8_t>()) scale = static_cast<uint8_t>(119 + rng_.below(4));
    if (blocks) {
      tensors.push_back({name + "_blocks", codes.view()});
      tensors.push_back({name + "_scales", scales.view()});
      return;
    }
    Tensor& plain = kept_.emplace_back(DType::bf16, Shape{kExperts, in, out});
    for (int64_t e = 0; e < kExperts; ++e)
      for (int64_t r = 0; r < out; ++r)
        for (int64_t c = 0; c < in; ++c) {
          const int64_t at = (e * out + r) * in + c;
          const uint8_t pair = codes.as<uint8_t>()[static_cast<size_t>(at / 2)];
          const int code = c % 2 == 0 ? pair & 15 : pair >> 4;
          const float magnitude = std::ldexp(kMagnitudes[static_cast<size_t>(code & 7)],
                                             scales.as<uint8_t>()[static_cast<size_t>(at / kBlock)] - 127);
          plain.as<bf16>()[static_cast<size_t>((e * in + c) * out + r)] =
              to_bf16(code < 8 ? magnitude : -magnitude);
        }
    tensors.push_back({name, plain.view()});
  }

  const std::string folder_ = family_folder("gpt_oss");
  Rng rng_{7};
  std::list<Tensor> kept_;
  testing::ChangedModel changed_;
};

TEST(MixtureLayers, BlocksInMxfp4AreWhatTheyStandFor) {
  const std::vector<float> blocks = Mxfp4Experts(true).logits(), plain = Mxfp4Experts(false).logits();
  EXPECT_GT(plain.size(), 0u);
  EXPECT_EQ(blocks, plain);
}

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
  for (const Tap& tap : taps(model)) EXPECT_NE(golden.find(tap.golden), nullptr) << tap.golden;
  const double worst = run_and_compare(Threads{2}, model, sample, golden);
  RecordProperty("worst_relative_error", fmt::format("{}", worst));
  RecordProperty("perplexity", fmt::format("{}", perplexity(model, kData + "/real/paragraphs.txt")));
}

}  // namespace
}  // namespace qsweep
