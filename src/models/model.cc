#include "models/model.h"

#include <fmt/ranges.h>

#include "io/json.h"
#include "models/family.h"
#include "models/folder.h"
#include "models/outline.h"
#include "models/packing.h"

namespace qsweep::models {
namespace {

const Family& family_of(const io::Json& config, const std::string& path) {
  const std::string model_type = io::ObjectReader(config, path).string("model_type");
  std::vector<std::string_view> known;
  for (const Family& family : families()) {
    if (family.model_type == model_type) return family;
    known.push_back(family.model_type);
  }
  fail("{}: model_type \"{}\" is not supported; supported: {}", path, model_type, fmt::join(known, ", "));
}

}  // namespace

Model load(const std::string& folder, const LoadOptions& options) {
  check_folder(folder);
  const std::string path = folder + "/config.json";
  const io::Json config = io::read_json_file(path);
  const Family& family = family_of(config, path);
  refuse_quantized(config, path);
  const Packing packing = read_packing(config, path);
  io::Checkpoint checkpoint = io::Checkpoint::open(folder);
  if (packing.method == Packing::Method::none) {
    refuse_modelopt(folder);
    refuse_quantized(checkpoint, folder);
  }
  Model model = family.load({folder, config, std::move(checkpoint), options});
  model.warnings = model.checkpoint.warnings();
  if (packing.method != Packing::Method::none)
    model.warnings.insert(model.warnings.begin(), packing.sentence());
  for (std::string& warning : folder_warnings(folder)) model.warnings.push_back(std::move(warning));
  return model;
}

Model outline(const std::string& folder, const io::Json& config) {
  const Family& family = family_of(config, folder + "/config.json");
  return family.load({folder, config, io::Checkpoint::wanted(folder), {}});
}

}  // namespace qsweep::models
