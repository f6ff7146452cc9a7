#include "image/processor_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "golden.h"
#include "io/json.h"
#include "model_folder.h"

namespace qsweep::image {
namespace {

using ::testing::HasSubstr;

TEST(ProcessorConfig, ReadsTheTinyModels) {
  const Processor processor = tiny_processor();
  EXPECT_EQ(processor.patch_size, 14);
  EXPECT_EQ(processor.temporal_patch_size, 2);
  EXPECT_EQ(processor.merge_size, 2);
  EXPECT_EQ(processor.min_pixels, 3136);
  EXPECT_EQ(processor.max_pixels, 23520);
  EXPECT_EQ(processor.rescale_factor, 1.0 / 255);
  EXPECT_EQ(processor.mean[1], 0.4578275);
  EXPECT_EQ(processor.std[2], 0.27577711);
  EXPECT_EQ(processor.resample, Resample::bicubic);
}

// A model folder with a preprocessor_config.json, changed from the one that Qwen2.5-VL-3B ships (no do_*
// keys, no size).
class ChangedConfig : public ::testing::Test {
 protected:
  ModelFolder folder{kQwen2_5};
  io::Json json = io::parse_json(R"({"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14,
      "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
      "image_std": [0.26862954, 0.26130258, 0.27577711], "image_processor_type": "Qwen2VLImageProcessor",
      "processor_class": "Qwen2_5_VLProcessor"})",
                                 "the shipped file");

  Processor read() const {
    folder.write("preprocessor_config.json", json);
    return folder.find();
  }
  std::string error() const {
    folder.write("preprocessor_config.json", json);
    return folder.error();
  }
};

TEST_F(ChangedConfig, DefaultsAreThoseOfTransformers) {
  EXPECT_EQ(read().max_pixels, 12845056);
  EXPECT_EQ(read().rescale_factor, 1.0 / 255);
  const Processor shipped = read();
  json = io::Json::object();
  Processor expected = shipped;
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
      {"resample", 1},
      {"patch_size", 16},
      {"temporal_patch_size", 1},
      {"merge_size", 4},
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
  const Processor expected = read();
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

TEST_F(ChangedConfig, TheFilterIsHonoured) {
  json["resample"] = 2;
  EXPECT_EQ(read().resample, Resample::bilinear);
  json["resample"] = 3;
  EXPECT_EQ(read().resample, Resample::bicubic);
  json["resample"] = 0;
  EXPECT_THAT(error(), HasSubstr("\"resample\": 0 is not supported; supported: 2, 3"));
}

TEST_F(ChangedConfig, WhatContradictsTheModelIsRefused) {
  json["patch_size"] = 16;
  EXPECT_THAT(error(), HasSubstr("\"patch_size\": expected 14 as in config.json, found 16"));
  json.erase("patch_size");
  folder.model.patch_size = 16;
  EXPECT_THAT(error(), HasSubstr("\"patch_size\": expected 16 as in config.json, found 14, the default"));
}

TEST_F(ChangedConfig, ProcessorsOfOtherModelsAreRefused) {
  json["image_processor_type"] = "PixtralImageProcessorFast";
  EXPECT_THAT(error(),
              HasSubstr("\"image_processor_type\": expected Qwen2VLImageProcessor, the model's, found "
                        "PixtralImageProcessorFast"));
  json["image_processor_type"] = "CLIPImageProcessor";
  EXPECT_THAT(error(),
              HasSubstr("\"CLIPImageProcessor\" is not supported; supported: Qwen2VLImageProcessor, "));
  EXPECT_THAT(error(), HasSubstr("PixtralImageProcessor, "));
  EXPECT_THAT(error(), HasSubstr("Gemma3ImageProcessor, "));
}

TEST_F(ChangedConfig, AsPartOfAWholeProcessor) {
  EXPECT_FALSE(folder.find_if_any());
  folder.write("processor_config.json",
               {{"processor_class", "Qwen2_5_VLProcessor"}});  // as transformers 4 has it
  EXPECT_FALSE(folder.find_if_any());
  const io::Json whole{{"image_processor", json},
                       {"processor_class", "Qwen2_5_VLProcessor"},
                       {"video_processor", {{"max_pixels", 5}}}};
  folder.write("processor_config.json", whole);
  EXPECT_EQ(folder.find().max_pixels, 12845056);
  EXPECT_EQ(folder.find(), read());  // which writes the other file

  json["max_pixels"] = 12845057;
  json["min_pixels"] = 784;
  EXPECT_THAT(error(), HasSubstr("processor_config.json: expected the image settings of"));

  io::Json unknown = whole;
  unknown["image_seq_length"] = 256;
  folder.write("processor_config.json", unknown);
  EXPECT_THAT(folder.error(), HasSubstr("\"image_seq_length\": the key is not known"));
  unknown = whole;
  unknown["image_processor"]["do_resize"] = false;
  folder.write("processor_config.json", unknown);
  folder.remove("preprocessor_config.json");
  EXPECT_THAT(folder.error(), HasSubstr("processor_config.json: image_processor: \"do_resize\""));
}

// The published files of the other processors, one key changed: in preprocessor_config.json or, under
// "whole", in processor_config.json.
class OtherProcessor : public ::testing::Test {
 protected:
  explicit OtherProcessor(const std::string& name) : golden_(golden_of(name)), folder(golden_) {}

  std::string error(const std::string& file, const std::string& key, const io::Json& value) const {
    io::Json changed = golden_[file];
    changed[key] = value;
    folder.write(file + ".json", changed);
    std::string error = folder.error();
    folder.write(file + ".json", golden_[file]);
    return error;
  }
  std::string error(const std::string& key, const io::Json& value) const {
    return error("preprocessor_config", key, value);
  }
  // As transformers 5 writes it.
  void move_into_one_file() const {
    io::Json whole = golden_["processor_config"];
    whole["image_processor"] = golden_["preprocessor_config"];
    folder.write("processor_config.json", whole);
    folder.remove("preprocessor_config.json");
  }

  const io::Json golden_;
  ModelFolder folder;

 private:
  static io::Json golden_of(const std::string& name) {
    const Goldens goldens = processor_goldens();
    for (const io::Json& entry : goldens.index()["cases"])
      if (entry["name"] == name) return entry;
    fail("no golden {}", name);
  }
};

struct PixtralConfig : OtherProcessor {
  PixtralConfig() : OtherProcessor("mistral3") {}
};

TEST_F(PixtralConfig, IsRead) {
  const Processor processor = folder.find();
  EXPECT_EQ(processor.name, "PixtralImageProcessor");
  EXPECT_EQ(processor.longest_edge, 56);
  EXPECT_EQ(processor.patch_size, 14);
  EXPECT_EQ(processor.merge_size, 2);
  EXPECT_EQ(processor.unit_side(), 28);
  EXPECT_EQ(processor.row_elems(), 588);
  EXPECT_EQ(processor.patch_order, PatchOrder::raster);
  EXPECT_EQ(error("patch_size", {{"height", 14}, {"width", 14}}), "no error");
  EXPECT_EQ(error("do_pad", true), "no error");
  move_into_one_file();
  EXPECT_EQ(folder.find(), processor);
}

TEST_F(PixtralConfig, WhatIsNotImplementedOrContradictsIsRefused) {
  EXPECT_THAT(error("do_resize", false), HasSubstr("\"do_resize\": false is not supported; supported: true"));
  EXPECT_THAT(error("do_center_crop", true), HasSubstr("\"do_center_crop\""));
  EXPECT_THAT(error("patch_size", 16), HasSubstr("\"patch_size\": expected 14 as in config.json, found 16"));
  EXPECT_THAT(error("patch_size", {{"height", 14}, {"width", 28}}),
              HasSubstr("patch_size: expected a square, found 28 x 14"));
  EXPECT_THAT(error("size", {{"shortest_edge", 56}}),
              HasSubstr("size: \"shortest_edge\": the key is not known"));
  EXPECT_THAT(error("size", {{"longest_edge", 0}}), HasSubstr("longest_edge"));
  EXPECT_THAT(error("size", io::Json::object()), HasSubstr("size: missing key \"longest_edge\""));
  EXPECT_THAT(error("size", {{"longest_edge", 57}}),
              HasSubstr("\"longest_edge\": expected at most 56, the \"image_size\" of config.json, found 57, "
                        "which makes sides of up to 84 pixels"));
  EXPECT_THAT(error("min_pixels", 3136), HasSubstr("\"min_pixels\": the key is not known"));
  EXPECT_THAT(error("processor_config", "patch_size", 16),
              HasSubstr("processor_config.json: \"patch_size\": expected 14 as in config.json, found 16"));
  EXPECT_THAT(error("processor_config", "spatial_merge_size", 1),
              HasSubstr("\"spatial_merge_size\": expected 2 as in config.json, found 1"));
  EXPECT_THAT(error("processor_config", "spatial_merge_size", nullptr), HasSubstr("found 1, the default"));
  EXPECT_THAT(error("processor_config", "image_break_token", "[BREAK]"), HasSubstr("\"image_break_token\""));
  folder.remove("processor_config.json");
  EXPECT_THAT(folder.error(),
              HasSubstr("\"patch_size\": expected 14 as in config.json, found 16, the default"));
}

struct Gemma3Config : OtherProcessor {
  Gemma3Config() : OtherProcessor("gemma3") {}
};

TEST_F(Gemma3Config, IsRead) {
  const Processor processor = folder.find();
  EXPECT_EQ(processor.name, "Gemma3ImageProcessor");
  EXPECT_EQ(processor.fixed_size, (Size{42, 42}));
  EXPECT_EQ(processor.patch_size, 14);
  EXPECT_EQ(processor.row_elems(), 588);
  EXPECT_EQ(processor.resample, Resample::bilinear);
  EXPECT_EQ(error("do_pan_and_scan", false), "no error");
  EXPECT_EQ(error("pan_and_scan_min_crop_size", 256), "no error");
  move_into_one_file();
  EXPECT_EQ(folder.find(), processor);
  folder.remove("processor_config.json");
  folder.write("preprocessor_config.json", io::Json::object());
  folder.model.image_size = 224;
  EXPECT_EQ(folder.find().fixed_size, (Size{224, 224}));
}

TEST_F(Gemma3Config, WhatIsNotImplementedOrContradictsIsRefused) {
  EXPECT_THAT(error("do_pan_and_scan", true),
              HasSubstr("\"do_pan_and_scan\": true is not supported; supported: false"));
  EXPECT_THAT(error("do_resize", false), HasSubstr("\"do_resize\": false"));
  EXPECT_THAT(error("do_rescale", false), HasSubstr("\"do_rescale\": false"));
  EXPECT_THAT(error("size", {{"height", 56}, {"width", 56}}),
              HasSubstr("size: expected 42 x 42, the \"image_size\" of config.json, found 56 x 56"));
  EXPECT_THAT(error("size", {{"height", 42}, {"width", 56}}), HasSubstr("found 56 x 42"));
  EXPECT_THAT(error("size", {{"height", 42}}), HasSubstr("size: missing key \"width\""));
  EXPECT_THAT(error("size", {{"longest_edge", 42}}), HasSubstr("\"longest_edge\": the key is not known"));
  EXPECT_THAT(error("size", 42), HasSubstr("size"));
  EXPECT_THAT(error("image_seq_length", 256),
              HasSubstr("\"image_seq_length\": expected 9 as in config.json, found 256"));
  EXPECT_THAT(error("processor_config", "image_seq_length", 256),
              HasSubstr("processor_config.json: \"image_seq_length\": expected 9"));
  EXPECT_THAT(error("image_std", {0.5, 0.5, 0}), HasSubstr("image_std"));
  folder.model.image_size = {};
  EXPECT_THAT(error("size", {{"height", 42}, {"width", 50}}),
              HasSubstr("size: expected multiples of 14, the \"patch_size\" of config.json, found 50 x 42"));
}

}  // namespace
}  // namespace qsweep::image
