#include "models/model.h"

#include <filesystem>

#include <fmt/ranges.h>

#include "io/json.h"
#include "models/outline.h"
#include "models/qwen2_5_vl/model.h"

namespace qsweep::models {
namespace {

struct Family {
  std::string_view model_type;
  Model (*load)(const std::string& folder, const io::Json& config, io::Checkpoint checkpoint,
                const LoadOptions& options);
};

constexpr Family kFamilies[] = {
    {"qwen2_5_vl", qwen2_5_vl::load},
};

const Family& family_of(const io::Json& config, const std::string& path) {
  const std::string model_type = io::ObjectReader(config, path).string("model_type");
  std::vector<std::string_view> known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known.push_back(family.model_type);
  }
  fail("{}: model_type \"{}\" is not supported; supported: {}", path, model_type, fmt::join(known, ", "));
}

}  // namespace

Model load(const std::string& folder, const LoadOptions& options) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    fail("{}: expected the folder of a Hugging Face checkpoint, found {}", folder,
         std::filesystem::exists(folder, ignored) ? "a file" : "nothing of that name");
  const std::string path = folder + "/config.json";
  const io::Json config = io::read_json_file(path);
  const Family& family = family_of(config, path);
  return family.load(folder, config, io::Checkpoint::open(folder), options);
}

Model outline(const std::string& folder, const io::Json& config) {
  const Family& family = family_of(config, folder + "/config.json");
  return family.load(folder, config, io::Checkpoint::wanted(folder), {});
}

}  // namespace qsweep::models
