// A family's worth of stages with whole numbers: patches by index, merged in both orders and averaged,
// scattered among tokens and added to them, and a decoder layer of linear maps. Every value that a stage
// leaves is left a second time, under a name that no stage reads.
#pragma once

#include <string>
#include <vector>

#include "graph/forward.h"
#include "graph/small_model.h"

namespace qsweep::graph {

struct SmallStages : Model {
  // In the order in which they run. The first two are of patches and units, `up` has a bias.
  enum Op { kPatch, kMerger, kQ, kK, kV, kO, kGate, kUp, kDown, kOps };

  std::vector<Stage> stages;

  SmallStages() {
    build_vision();
    build_embedding();
    build_layer();
    build_deep();
    resolve_lifetimes(stages);
  }

  // Of all stages, by the names under which they are only left.
  std::vector<std::string> outputs() const {
    return {"units left",    "deep left",   "pooled left", "embedded left",
            "attended left", "hidden left", "added left",  "replaced left"};
  }

  Batch batch(bool images = true) const {
    Rng rng(29);
    std::vector<SampleInputs> samples = make_samples();
    for (SampleInputs& s : samples) {
      for (int32_t& id : s.token_ids) id = static_cast<int32_t>(rng.below(kVocabulary));
      Tensor pixels = Tensor::zeros<float>({s.rows[kPatches], 2});
      for (float& x : pixels.as<float>()) x = static_cast<float>(whole_number(rng, 9));
      s.tables.emplace("pixels", std::move(pixels));
    }
    if (!images) {
      samples.erase(samples.begin());
      samples.pop_back();
    }
    return Batch(std::move(samples));
  }

 private:
  static constexpr int64_t kVocabulary = 5;

  static void leave(Builder& b, const std::string& name, Builder::Value x) {
    b.output(name, x);
    b.output(name + " left", x);
  }

  // Rows of few small numbers and one 5 or 7, which 4 bits round: sums stay small from op to op.
  LinearOp op(const std::string& name, int64_t in, int64_t out) {
    std::vector<float> numbers;
    for (int64_t r = 0; r < out; ++r) {
      const auto large = static_cast<int64_t>(weights.rng.below(static_cast<uint64_t>(in)));
      for (int64_t c = 0; c < in; ++c)
        numbers.push_back(
            static_cast<float>(c == large ? (r % 2 == 0 ? 5 : -7) : whole_number(weights.rng, 1)));
    }
    LinearOp made;
    made.name = name;
    made.weight = weights.keep(std::move(numbers), out, in);
    return made;
  }

  void build_vision() {
    Builder b("vision", ops);
    auto h = b.gather(b.linear(b.table("pixels", kPatches, 2), op("patch", 2, 2)), "order");
    auto units = b.linear(b.merge(h, 4, kUnits), op("merger", 8, 4));
    leave(b, "units", units);
    auto by_channel = b.merge(h, 4, kUnits, MergeOrder::channels_first);  // [units, 8]
    auto pooled = b.mean(b.scale(h, 4), 4, kUnits);                       // [units, 2]
    leave(b, "deep", b.add(b.add(b.columns(by_channel, 0, 4), b.columns(by_channel, 4, 4)), units));
    b.output("pooled left", pooled);
    stages.push_back(b.build());
  }

  void build_embedding() {
    Builder b("embedding", ops);
    auto units = b.input("units", kUnits, 4);
    leave(b, "embedded", b.scatter(b.embedding(weights.matrix(kVocabulary, 4, 9)), units, "images"));
    stages.push_back(b.build());
  }

  void build_layer() {
    Builder b("layer", ops);
    auto x = b.input("embedded", Rows::tokens, 4);
    auto q = b.linear(x, op("q", 4, 4)), k = b.linear(x, op("k", 4, 4)), v = b.linear(x, op("v", 4, 4));
    auto h = b.add(x, b.linear(b.add(b.add(q, k), v), op("o", 4, 4)));
    leave(b, "attended", h);
    LinearOp biased = op("up", 4, 3);
    biased.bias = weights.matrix(1, 3);
    auto gate = b.linear(h, op("gate", 4, 6)), up = b.linear(h, std::move(biased));
    auto inner = b.add(b.add(b.columns(gate, 0, 3), b.columns(gate, 3, 3)), up);
    leave(b, "hidden", b.add(h, b.linear(inner, op("down", 3, 4))));
    stages.push_back(b.build());
  }

  // Features of the images once more: added to what has changed before, and in its place.
  void build_deep() {
    Builder b("deep", ops);
    auto x = b.input("hidden", Rows::tokens, 4), features = b.input("deep", kUnits, 4);
    b.output("added left", b.scatter_add(x, features, "images"));
    b.output("replaced left", b.scatter(x, features, "images"));
    stages.push_back(b.build());
  }
};

}  // namespace qsweep::graph
