// A model folder with files of image settings that a test writes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "image/processor_config.h"
#include "io/json.h"
#include "support/temporary_folder.h"

namespace qsweep::image {

class ModelFolder {
 public:
  explicit ModelFolder(const ModelImages& images) : model(images) {}
  // A case of tools/processor_goldens.py, which must outlive the folder.
  explicit ModelFolder(const io::Json& golden) : ModelFolder(ModelImages{}) {
    const io::Json& config = golden["model"];
    model = {.processor = config["processor"].get_ref<const std::string&>(),
             .patch_size = config["patch_size"],
             .temporal_patch_size = config.value("temporal_patch_size", 1),
             .merge_size = config.value("merge_size", 1)};
    if (config.contains("image_size")) model.image_size = config["image_size"];
    if (config.contains("tokens_per_image")) model.tokens_per_image = config["tokens_per_image"];
    for (const char* file : {"preprocessor_config", "processor_config"})
      if (golden.contains(file)) write(std::string(file) + ".json", golden[file]);
  }

  void write(const std::string& name, const io::Json& content) const { folder_.write(name, content.dump()); }
  void remove(const std::string& name) const { std::filesystem::remove(folder_.at(name)); }
  std::optional<Processor> find_if_any() const { return find_processor(folder_.path(), model); }
  Processor find() const { return find_if_any().value(); }
  std::string error() const {
    try {
      find_if_any();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  ModelImages model;

 private:
  testing::TemporaryFolder folder_;
};

}  // namespace qsweep::image
