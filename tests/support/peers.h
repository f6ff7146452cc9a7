// The models and data that the peers' results in testdata/peers were made with.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "models/image_inputs.h"
#include "models/model.h"
#include "text/dataset.h"

namespace qsweep::testing {

inline const std::string kPeers = std::string(QSWEEP_TESTDATA) + "/peers";
inline const std::string kTinyVl = kPeers + "/tiny-vl";

inline std::vector<models::Sample> read_samples(const models::Model& model, const std::string& file) {
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(file)) samples.push_back(model.inputs->prepare(data));
  return samples;
}

// Three prompts with one image each, whose pixels are as the peers were given them.
struct ImageCase {
  std::vector<models::Sample> samples;
  std::map<std::string, Tensor> pixels;  // by sample id
};

inline ImageCase read_image_case() {
  const auto file = io::SafetensorsFile::open(kTinyVl + "/image_inputs.safetensors");
  const auto view = [&](const char* name) { return file.view(*file.find(name)); };
  const TensorView ids = view("input_ids"), pixels = view("pixel_values");
  const auto grids = view("image_grid_thw").as<int64_t>();
  const int64_t tokens = ids.shape[1], width = pixels.shape[1];
  ImageCase images;
  int64_t first_patch = 0;
  for (int64_t i = 0; i < ids.shape[0]; ++i) {
    const auto at = [&](int64_t axis) { return grids[static_cast<size_t>(3 * i + axis)]; };
    const int64_t patches = at(0) * at(1) * at(2);
    models::Sample& sample = images.samples.emplace_back();
    sample.id = "image-" + std::to_string(i);
    sample.image_grids = {{at(0), at(1), at(2)}};
    sample.rows = {tokens, patches, patches / 4};
    sample.answer_mask.resize(static_cast<size_t>(tokens));
    for (const int64_t id :
         ids.as<int64_t>().subspan(static_cast<size_t>(i * tokens), static_cast<size_t>(tokens)))
      sample.token_ids.push_back(static_cast<int32_t>(id));
    const auto rows = pixels.as<float>().subspan(static_cast<size_t>(first_patch * width),
                                                 static_cast<size_t>(patches * width));
    images.pixels[sample.id] = Tensor::from<float>(rows, {patches, width});
    first_patch += patches;
  }
  return images;
}

// Takes a sample's pixels from what it is given, not from image files.
class GivenPixels : public models::InputBuilder {
 public:
  GivenPixels(std::unique_ptr<InputBuilder> inputs, std::map<std::string, Tensor> pixels)
      : inputs_(std::move(inputs)), pixels_(std::move(pixels)) {}

  std::vector<models::PromptToken> prompt_tokens() const override { return inputs_->prompt_tokens(); }
  models::Sample prepare(const text::Sample& sample) const override { return inputs_->prepare(sample); }
  graph::SampleInputs load(const models::Sample& sample, Pixels wanted) const override {
    graph::SampleInputs inputs =
        inputs_->load(sample, wanted == Pixels::shapes ? Pixels::shapes : Pixels::leave_out);
    const Tensor& pixels = pixels_.at(sample.id);
    inputs.tables[models::kPixelValues] = Tensor::from(pixels.as<float>(), pixels.shape());
    return inputs;
  }

 private:
  std::unique_ptr<InputBuilder> inputs_;
  std::map<std::string, Tensor> pixels_;
};

// The random tiny model, for read_image_case().samples.
inline models::Model load_image_model() {
  models::Model model = models::load(kTinyVl);
  model.inputs = std::make_unique<GivenPixels>(std::move(model.inputs), read_image_case().pixels);
  return model;
}

}  // namespace qsweep::testing
