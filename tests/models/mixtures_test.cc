// Layers of experts against the goldens: whom routers choose, and every layout of their weights.
#include <array>
#include <cmath>
#include <list>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/rng.h"
#include "graph/experts.h"
#include "io/atomic_file.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "io/safetensors_writer.h"
#include "models/goldens.h"
#include "support/changed_model.h"
#include "support/compare.h"

namespace qsweep::models {
namespace {

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
  const Model model = load(folder);
  const io::Json row = io::read_json_file(folder + "/goldens.json")[0];
  const auto golden = io::SafetensorsFile::open(folder + "/" + row["file"].get<std::string>());
  const Sample sample = sample_of(row, golden, folder);
  std::vector<graph::SampleInputs> inputs;
  inputs.push_back(model.inputs->load(sample, InputBuilder::Pixels::decode));
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
      load(changed.path());
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
  compare_family(Threads{2}, load(stacked.path()), folder);
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
    const Model model = load(changed_.path());
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

}  // namespace
}  // namespace qsweep::models
