// Synthetic checkpoints of every family, from each form of its config.json.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "activations.h"
#include "io/json.h"
#include "models/family.h"
#include "support/temporary_folder.h"
#include "synth/synthesize.h"
#include "text/tokenizer.h"

namespace qsweep::synth {
namespace {

namespace fs = std::filesystem;

struct Form {
  std::string family, config;
};

std::vector<Form> forms() {
  std::vector<Form> forms;
  for (const models::Family& family : models::families())
    for (const char* config : {"config.json", "config-v5.json"})
      forms.push_back({std::string(family.model_type), config});
  return forms;
}

class Families : public ::testing::TestWithParam<Form> {
 protected:
  Families() : data_(std::string(QSWEEP_TESTDATA) + "/families/" + GetParam().family) {
    const std::string config = place_.at("config");
    fs::create_directory(config);
    fs::copy_file(data_ + "/" + GetParam().config, config + "/config.json");
    for (const std::string name : {"preprocessor_config.json", "processor_config.json"})
      if (fs::exists(data_ + "/" + name)) fs::copy_file(data_ + "/" + name, config + "/" + name);
  }

  models::Model make() const {
    synthesize(place_.at("config"), place_.at("model"), {});
    return models::load(place_.at("model"));
  }
  std::vector<text::Sample> samples() const { return text::read_dataset(data_ + "/samples.jsonl"); }

  const testing::TemporaryFolder place_;
  const std::string data_;
};

TEST_P(Families, HaveTheWeightsOfTheRealModel) {
  const models::Model made = make(), real = models::load(data_);
  EXPECT_EQ(made.unused_tensors, std::vector<std::string>());
  EXPECT_EQ(made.checkpoint.parameters(), real.checkpoint.parameters());
  EXPECT_EQ(made.tied_embeddings, real.tied_embeddings);
  ASSERT_EQ(made.ops.size(), real.ops.size());
  for (size_t i = 0; i < real.ops.size(); ++i) {
    EXPECT_EQ(made.ops[i].name, real.ops[i].name);
    EXPECT_EQ(made.ops[i].weight.shape, real.ops[i].weight.shape);
  }
}

TEST_P(Families, HaveTheTokensOfTheirPrompts) {
  const models::Model model = make();
  const auto tokenizer = text::Tokenizer::load(place_.at("model/tokenizer.json"));
  EXPECT_EQ(tokenizer.vocab_size(), model.vocab_size);
  std::vector<int32_t> begin;
  for (const models::PromptToken& token : model.inputs->prompt_tokens()) {
    const auto id = tokenizer.id_of(token.text);
    ASSERT_TRUE(id) << token.text;
    EXPECT_TRUE(token.key.empty() || *id == token.id) << token.text << ": " << *id;
    EXPECT_EQ(tokenizer.encode(token.text), std::vector<int32_t>{*id});
    if (token.begins) begin.push_back(*id);
  }
  EXPECT_EQ(tokenizer.with_template({}), begin);
}

// Whether the model adds 1 to what is stored or not.
TEST_P(Families, HaveNormsAroundOne) {
  const models::Model model = make();
  int64_t norms = 0;
  for (const std::string& name : model.checkpoint.names()) {
    const TensorView& weight = *model.checkpoint.find(name);
    if (weight.shape.size() != 1 || name.ends_with(".bias") || name.ends_with(".sinks")) continue;
    double mean = std::ranges::count(model.norms_less_one, name) > 0 ? 1 : 0;
    for (const bf16 value : weight.as<bf16>())
      mean += static_cast<double>(to_float(value)) / static_cast<double>(weight.elements());
    EXPECT_NEAR(mean, 1, 0.15) << name;
    ++norms;
  }
  EXPECT_GT(norms, 0);
}

// Images and dialogues.
TEST_P(Families, ReadTheirSamples) {
  const models::Model model = make(), real = models::load(data_);
  for (const text::Sample& data : samples()) {
    const models::Sample sample = model.inputs->prepare(data);
    EXPECT_EQ(sample.image_grids, real.inputs->prepare(data).image_grids);
    EXPECT_GT(std::count(sample.answer_mask.begin(), sample.answer_mask.end(), 1), 0) << data.id;
  }
}

TEST_P(Families, KeepTheirFirstLayers) {
  const bool has_tower = models::load(data_).ops.front().tower == graph::Tower::vision;
  synthesize(place_.at("config"), place_.at("shallow"),
             {.layers = 2, .vision_layers = has_tower ? std::optional<int64_t>(2) : std::nullopt});
  const models::Model model = models::load(place_.at("shallow"));
  for (const graph::LinearOp& op : model.ops) EXPECT_LT(op.block.value_or(0), 2) << op.name;
}

// What the tiny configs cannot show is in Synthesize.ActivationsStaySane.
TEST_P(Families, HaveActivationsThatStaySane) {
  for (const auto& [stage, size] : stage_sizes(make(), samples()[0]))
    EXPECT_TRUE(size > 0.02 && size < 20) << stage << ": " << size;
}

std::string name_of(const ::testing::TestParamInfo<Form>& form) {
  return form.param.family + (form.param.config == "config.json" ? "" : "_v5");
}

INSTANTIATE_TEST_SUITE_P(All, Families, ::testing::ValuesIn(forms()), name_of);

}  // namespace
}  // namespace qsweep::synth
