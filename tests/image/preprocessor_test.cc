#include "image/preprocessor.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "golden.h"
#include "io/json.h"

namespace qsweep::image {
namespace {

using ::testing::HasSubstr;

TEST(PreprocessorConfig, ReadsTheTinyModels) {
  const PatchConfig config = read_preprocessor_config(testdata("tiny-qwen2.5-vl/preprocessor_config.json"));
  EXPECT_EQ(config.patch_size, 14);
  EXPECT_EQ(config.temporal_patch_size, 2);
  EXPECT_EQ(config.merge_size, 2);
  EXPECT_EQ(config.min_pixels, 3136);
  EXPECT_EQ(config.max_pixels, 23520);
  EXPECT_EQ(config.rescale_factor, 1.0 / 255);
  EXPECT_EQ(config.mean[1], 0.4578275);
  EXPECT_EQ(config.std[2], 0.27577711);
}

// A model folder with a preprocessor_config.json, changed from the one that Qwen2.5-VL-3B ships (no do_*
// keys, no size).
class ChangedConfig : public ::testing::Test {
 protected:
  io::Json json = io::parse_json(R"({"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14,
      "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
      "image_std": [0.26862954, 0.26130258, 0.27577711], "image_processor_type": "Qwen2VLImageProcessor",
      "processor_class": "Qwen2_5_VLProcessor"})",
                                 "the shipped file");

  ChangedConfig() { std::filesystem::create_directory(folder_); }
  ~ChangedConfig() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const io::Json& content) const {
    std::ofstream(folder_ + "/" + name) << content.dump();
  }
  PatchConfig read() const {
    write("preprocessor_config.json", json);
    return read_preprocessor_config(folder_ + "/preprocessor_config.json");
  }
  std::optional<Preprocessor> find() const { return find_preprocessor(folder_); }
  template <class Body>
  static std::string error_of(Body&& body) {
    try {
      body();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  std::string error() const {
    return error_of([&] { read(); });
  }

 private:
  // Other test processes may run at the same time.
  const std::string folder_ = fmt::format("{}preprocessor-{}", ::testing::TempDir(), getpid());
};

TEST_F(ChangedConfig, DefaultsAreThoseOfTransformers) {
  EXPECT_EQ(read().max_pixels, 12845056);
  EXPECT_EQ(read().rescale_factor, 1.0 / 255);
  const PatchConfig shipped = read();
  json = io::Json::object();
  PatchConfig expected = shipped;
  expected.max_pixels = 1003520;
  EXPECT_EQ(read(), expected);
  json["min_pixels"] = 784;
  EXPECT_EQ(read().min_pixels, 784);
  EXPECT_EQ(read().max_pixels, 1003520);
}

TEST_F(ChangedConfig, PixelLimitsFromSize) {
  json["size"] = {{"shortest_edge", 100}, {"longest_edge", 200000}};
  EXPECT_EQ(read().min_pixels, 3136);
  json.erase("min_pixels");
  json["max_pixels"] = nullptr;
  EXPECT_EQ(read().min_pixels, 100);
  EXPECT_EQ(read().max_pixels, 200000);
  json["size"] = {{"min_pixels", 100}, {"max_pixels", 300000}};
  EXPECT_EQ(read().max_pixels, 300000);
  json["size"] = {{"shortest_edge", 100}};
  EXPECT_THAT(error(), HasSubstr("size: missing key \"longest_edge\""));
  json["size"] = {{"shortest_edge", 100}, {"longest_edge", 200000}, {"height", 224}};
  EXPECT_THAT(error(), HasSubstr("size: \"height\": the key is not known"));
}

TEST_F(ChangedConfig, OneProcessorHasSeveralNames) {
  for (const char* name :
       {"Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil", "Qwen2_5_VLImageProcessor"}) {
    json["image_processor_type"] = name;
    EXPECT_EQ(read().patch_size, 14);
  }
}

TEST_F(ChangedConfig, WhatIsNotImplementedIsRefused) {
  const io::Json original = json;
  const std::vector<std::pair<const char*, io::Json>> changes = {
      {"image_processor_type", "CLIPImageProcessor"},
      {"image_processor_type", 3},
      {"do_resize", false},
      {"do_rescale", false},
      {"do_normalize", false},
      {"do_convert_rgb", false},
      {"do_center_crop", true},
      {"do_pad", true},
      {"resample", 2},
      {"data_format", "channels_last"},
      {"input_data_format", "channels_last"},
      {"rescale_factor", 0},
      {"rescale_factor", "1/255"},
      {"patch_size", 0},
      {"temporal_patch_size", 1 << 20},
      {"merge_size", -1},
      {"min_pixels", 0},
      {"min_pixels", 12845057},
      {"max_pixels", 1e18},
      {"image_mean", 0.5},
      {"image_mean", {0.5, 0.5}},
      {"image_std", {0.5, 0.0, 0.5}},
      {"auto_map", {{"AutoImageProcessor", "mine.Processor"}}},
      {"do_sharpen", false},
      {"image_grid_pinpoints", {336, 672}},
  };
  for (const auto& [key, value] : changes) {
    json = original;
    json[key] = value;
    EXPECT_THAT(error(), HasSubstr(key)) << value.dump();
  }
}

TEST_F(ChangedConfig, WhatHasNoInfluenceIsIgnored) {
  const PatchConfig expected = read();
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, io::Json>>{{"crop_size", {{"height", 224}, {"width", 224}}},
                                                     {"default_to_square", true},
                                                     {"device", "cuda"},
                                                     {"do_center_crop", false},
                                                     {"return_tensors", "pt"},
                                                     {"input_data_format", nullptr},
                                                     {"unheard_of", nullptr}}) {
    json[key] = value;
    EXPECT_EQ(read(), expected) << key;
  }
}

TEST_F(ChangedConfig, AbsurdMeansAndDeviationsAreRefused) {
  const io::Json original = json;
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, io::Json>>{{"image_std", {1e-300, 1e-300, 1e-300}},
                                                     {"image_std", {0.3, 0.3, 1e-4}},
                                                     {"image_std", {1e9, 1e9, 1e9}},
                                                     {"image_mean", {1e30, 0.5, 0.5}},
                                                     {"image_mean", {0.5, -1e6, 0.5}},
                                                     {"rescale_factor", 1e6},
                                                     {"rescale_factor", 1e-9}}) {
    json = original;
    json[key] = value;
    EXPECT_THAT(error(), HasSubstr(key)) << value.dump();
    EXPECT_THAT(error(), HasSubstr("expected pixels within")) << value.dump();
  }
  json = original;  // the same pixels in other units
  json["rescale_factor"] = 1;
  json["image_mean"] = {122.77, 116.75, 104.09};
  json["image_std"] = {68.5, 66.6, 70.3};
  EXPECT_EQ(error(), "no error");
}

TEST_F(ChangedConfig, AsPartOfAWholeProcessor) {
  EXPECT_FALSE(find());
  write("processor_config.json", {{"processor_class", "Qwen2_5_VLProcessor"}});  // as transformers 4 has it
  EXPECT_FALSE(find());
  const io::Json whole{{"image_processor", json},
                       {"processor_class", "Qwen2_5_VLProcessor"},
                       {"video_processor", {{"max_pixels", 5}}}};
  write("processor_config.json", whole);
  ASSERT_TRUE(find());
  EXPECT_EQ(find()->config.max_pixels, 12845056);
  EXPECT_THAT(find()->where, ::testing::EndsWith("/processor_config.json"));
  EXPECT_EQ(find()->config, read());  // which writes the other file
  EXPECT_EQ(error_of([&] { find(); }), "no error");

  json["max_pixels"] = 12845057;
  json["min_pixels"] = 784;
  write("preprocessor_config.json", json);
  EXPECT_THAT(error_of([&] { find(); }), HasSubstr("processor_config.json: expected the image settings of"));

  io::Json unknown = whole;
  unknown["image_seq_length"] = 256;
  write("processor_config.json", unknown);
  EXPECT_THAT(error_of([&] { find(); }), HasSubstr("\"image_seq_length\": the key is not known"));
  unknown = whole;
  unknown["image_processor"]["do_resize"] = false;
  write("processor_config.json", unknown);
  EXPECT_THAT(error_of([&] { find(); }), HasSubstr("processor_config.json: image_processor: \"do_resize\""));
}

}  // namespace
}  // namespace qsweep::image
