#include "synth/config.h"

#include <algorithm>

#include "io/json.h"

namespace qsweep::synth {
namespace {

using io::Json;
using io::ObjectReader;

constexpr const char* kTextLayers = "num_hidden_layers";
constexpr const char* kVisionLayers[] = {"depth", "num_hidden_layers"};  // one of them
constexpr const char* kListsByLayer[] = {"layer_types"};
constexpr const char* kListsOfLayers[] = {"fullatt_block_indexes", "deepstack_visual_indexes"};

// `tower` has its number of layers under `key`.
void cut(Json& tower, const std::string& where, const std::string& key, int64_t layers) {
  const int64_t all = ObjectReader(tower, where).integer(key);
  if (layers < 1 || layers > all)
    fail("{}: expected 1 to \"{}\" {} layers to keep, found {}", where, key, all, layers);
  tower[key] = layers;
  for (const char* list : kListsByLayer)
    if (ObjectReader(tower, where).has(list))
      while (tower[list].size() > static_cast<size_t>(layers)) tower[list].erase(tower[list].size() - 1);
  for (const char* list : kListsOfLayers) {
    if (!ObjectReader(tower, where).has(list)) continue;
    const std::vector<int64_t> named = ObjectReader(tower, where).integers(list);
    Json left = Json::array();
    for (const int64_t layer : named)
      if (layer < layers) left.push_back(layer);
    if (left.empty() && !named.empty()) left.push_back(layers - 1);
    tower[list] = left;
  }
}

}  // namespace

Json with_layers(Json config, const std::string& where, std::optional<int64_t> layers,
                 std::optional<int64_t> vision_layers) {
  if (layers) {
    const bool nested = ObjectReader(config, where).has("text_config");
    if (nested) cut(config["text_config"], where + ": text_config", kTextLayers, *layers);
    if (!nested || ObjectReader(config, where).has(kTextLayers)) cut(config, where, kTextLayers, *layers);
  }
  if (vision_layers) {
    const ObjectReader vision = ObjectReader(config, where).object("vision_config");
    const auto* const count =
        std::ranges::find_if(kVisionLayers, [&](const char* key) { return vision.has(key); });
    cut(config["vision_config"], where + ": vision_config",
        count == std::end(kVisionLayers) ? kVisionLayers[0] : *count, *vision_layers);
  }
  return config;
}

}  // namespace qsweep::synth
