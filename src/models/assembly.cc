#include "models/assembly.h"

#include <cstring>

#include "graph/forward.h"
#include "models/decoder_layers.h"
#include "models/image_inputs.h"
#include "tensor/floats.h"

namespace qsweep::models {
namespace {

constexpr char kHeadOp[] = "lm_head", kHead[] = "lm_head.weight";

}  // namespace

Assembly::Assembly(Source source, std::string family, std::span<const NameRow> names)
    : folder_(std::move(source.folder)),
      options_(std::move(source.options)),
      model_{.family = std::move(family), .checkpoint = std::move(source.checkpoint)},
      weights_(model_.checkpoint, names, read_packing(source.config, folder_ + "/config.json")) {}

// config.json and the checkpoint must agree on the head. A tied model uses its embedding; other numbers that
// are stored as a head would silently not be scored.
void Assembly::check_head(const TextConfig& config) const {
  const Shape shape{config.vocab_size, config.hidden_size};
  if (!model_.tied_embeddings) {
    with_context("config.json says \"tie_word_embeddings\": false",
                 [&] { weights_.linear(kHeadOp, shape[0], shape[1]); });
    return;
  }
  if (!weights_.has(kHead)) return;
  const TensorView head = weights_.get(kHead, shape), embedding = weights_.get(kEmbeddingWeight, shape);
  const bool same = head.dtype == embedding.dtype
                        ? std::memcmp(head.data, embedding.data, static_cast<size_t>(head.size_bytes())) == 0
                        : equal_values(head, embedding);
  if (!same)
    fail(
        "tensor \"lm_head.weight\" differs from the embedding, but config.json says that they are tied "
        "(\"tie_word_embeddings\": true); set it to false to score the head that is stored");
  model_.checkpoint.release(head);
  model_.checkpoint.release(embedding);
}

void Assembly::add_decoder(const TextConfig& c, const Decoder& decoder) {
  model_.hidden_size = c.hidden_size;
  model_.vocab_size = c.vocab_size;
  model_.max_positions = c.max_positions;
  model_.tied_embeddings =
      c.tie_word_embeddings.value_or(model_.checkpoint.is_stored() ? !weights_.has(kHead) : c.usually_tied);
  with_context(folder_, [&] { check_head(c); });
  const TensorView embedding = weights_.get(kEmbeddingWeight, {c.vocab_size, c.hidden_size});

  Scope embed = stage("model.embed_tokens");
  const auto embedded = embed.embedding(embedding);
  embed.output(kHidden, decoder.embed ? decoder.embed(embed, embedded) : embedded);
  add(std::move(embed));
  for (int64_t i = 0; i < c.n_layers; ++i) {
    Scope s = stage("model.layers." + std::to_string(i), graph::Tower::language, i);
    s.output(kHidden, decoder.layer(s, i, s.input(kHidden, graph::Rows::tokens, c.hidden_size)));
    add(std::move(s));
    if (decoder.behind) decoder.behind(i);
  }
  Scope norm = stage("model.norm");
  const auto last = norm.input(kHidden, graph::Rows::tokens, c.hidden_size);
  norm.output(kHidden, norm.rms_norm(last, "", c.norm_eps, decoder.norm));
  add(std::move(norm));
  Scope head = stage("lm_head");
  head.output("logits",
              head.head(head.input(kHidden, graph::Rows::tokens, c.hidden_size),
                        model_.tied_embeddings ? graph::StoredWeight(embedding)
                                               : weights_.linear(kHeadOp, c.vocab_size, c.hidden_size)));
  add(std::move(head));
}

Model Assembly::model(std::unique_ptr<InputBuilder> inputs) && {
  graph::resolve_lifetimes(model_.stages);
  graph::number_ranges(model_.ops);
  model_.norms_less_one = weights_.less_one();
  model_.unused_tensors = weights_.unused();
  model_.inputs = std::move(inputs);
  return std::move(model_);
}

Scope::Value gated_mlp(Scope& s, const TextConfig& c, Scope::Value x) {
  const auto gate = s.linear(x, "mlp.gate_proj", c.intermediate_size);
  const auto up = s.linear(x, "mlp.up_proj", c.intermediate_size);
  return s.linear(s.gated(gate, up, ops::activation::Kind::silu), "mlp.down_proj", c.hidden_size);
}

std::function<Scope::Value(Scope&, Scope::Value)> image_features(const TextConfig& config) {
  return [width = config.hidden_size](Scope& s, Scope::Value embedded) {
    return s.scatter(embedded, s.input(kImageFeatures, kUnits, width), kImageRows);
  };
}

Model language_model(Source source, std::string family, const TextConfig& config, const Decoder& decoder,
                     std::string_view dialect) {
  Assembly assembly(std::move(source), std::move(family));
  assembly.add_decoder(config, decoder);
  auto inputs = std::make_unique<TextInputs>(assembly.folder(), config, assembly.options(), dialect);
  return std::move(assembly).model(std::move(inputs));
}

}  // namespace qsweep::models
