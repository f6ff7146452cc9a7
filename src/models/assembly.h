// Puts a model together from its checkpoint: stages in the order in which they run, each with its ops.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "models/family.h"
#include "models/scope.h"
#include "models/text_config.h"

namespace qsweep::models {

// What a decoder's stages leave for one another.
inline constexpr char kEmbeddingWeight[] = "model.embed_tokens.weight";
inline constexpr char kHidden[] = "hidden";                 // [tokens, hidden]
inline constexpr char kImageFeatures[] = "image_features";  // [units, hidden]

// The parts of a decoder that families have in common, around a layer of their own.
struct Decoder {
  // The token embeddings as the first layer reads them: other features in their place, scaled.
  std::function<Scope::Value(Scope&, Scope::Value embedded)> embed = {};
  std::function<Scope::Value(Scope&, int64_t layer, Scope::Value x)> layer;  // [tokens, hidden] to the same
  // Adds stages behind that of a layer.
  std::function<void(int64_t layer)> behind = {};
  NormWeight norm = NormWeight::as_stored;  // of the norm behind the layers
};

class Assembly {
 public:
  // family: as a run calls it. names: see Weights.
  Assembly(Source source, std::string family, std::span<const NameRow> names = {});

  // A stage to be described, and its place after the others.
  Scope stage(const std::string& name, graph::Tower tower = graph::Tower::language,
              std::optional<int64_t> block = {}) {
    return {weights_, model_.ops, name, tower, block, options_.caches && tower == graph::Tower::language};
  }
  void add(Scope&& stage) { model_.stages.push_back(stage.build()); }

  // "model.embed_tokens", "model.layers.0", ..., "model.norm" and "lm_head". Error where the configuration
  // ties the head to the embedding and the checkpoint has another head.
  void add_decoder(const TextConfig& config, const Decoder& decoder);

  // The finished model.
  Model model(std::unique_ptr<InputBuilder> inputs) &&;

  const Weights& weights() const { return weights_; }
  const std::string& folder() const { return folder_; }
  const LoadOptions& options() const { return options_; }

 private:
  void check_head(const TextConfig& config) const;

  std::string folder_;
  LoadOptions options_;
  Model model_;
  Weights weights_;
};

// Decoder::embed of a model whose image features stand where the image tokens are.
std::function<Scope::Value(Scope&, Scope::Value)> image_features(const TextConfig& config);

// A model of text alone. dialect: see TextInputs.
Model language_model(Source source, std::string family, const TextConfig& config, const Decoder& decoder,
                     std::string_view dialect);

}  // namespace qsweep::models
