// Qwen2.5-VL in double precision: what the engine's numbers are checked against. Plain loops, one sample at a
// time, and nothing of the engine but its checkpoint reader and config.json: positions, windows and rotary
// tables are worked out here again, the way the reference implementation does it.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/json.h"
#include "models/qwen2_5_vl/config.h"

namespace qsweep::testing {

struct F64Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> values;  // row-major

  F64Matrix() = default;
  F64Matrix(int64_t r, int64_t c) : rows(r), cols(c), values(static_cast<size_t>(r * c)) {}
  double* row(int64_t r) { return values.data() + r * cols; }
  const double* row(int64_t r) const { return values.data() + r * cols; }
};

// a [m, k] b [k, n].
F64Matrix multiply(const F64Matrix& a, const F64Matrix& b);
F64Matrix transposed(const F64Matrix& m);
void add_to(F64Matrix& sum, const F64Matrix& m);

struct F64Output {
  F64Matrix hidden;  // [tokens, hidden], after the final norm
  F64Matrix logits;  // [tokens, vocabulary]
};

// What is added to the output of one op, [rows of the op's input, out]; of a cache, to keys beside values.
struct F64Perturbation {
  std::string op;
  F64Matrix dy;
};

class F64Model {
 public:
  explicit F64Model(const std::string& folder);

  // A sample with the reference's own activations. pixel_values: [patches, 1176], in the images' own order.
  struct Reference {
    std::vector<int32_t> token_ids;
    std::vector<int64_t> patch_order;      // position in window order -> patch
    std::vector<int64_t> windows, images;  // lengths of the attention segments, in window order
    F64Matrix vision_cos, vision_sin;      // [patches in window order, head_dim]
    F64Matrix text_cos, text_sin;          // [tokens, head_dim]
    std::vector<F64Matrix> stage_inputs;   // of every stage
    F64Output output;
  };
  Reference reference(const std::vector<int32_t>& token_ids,
                      const std::vector<std::array<int64_t, 3>>& image_grids,
                      const F64Matrix& pixel_values) const;

  // The output with the perturbation added; computed from the op's stage on.
  F64Output perturbed(const Reference& reference, const F64Perturbation& perturbation) const;

 private:
  using Added = const F64Perturbation*;  // null: nothing

  const std::vector<double>& vector(const std::string& name) const { return at(name).values; }
  const F64Matrix& at(const std::string& name) const;
  F64Matrix linear(const F64Matrix& x, const std::string& op, Added added) const;
  F64Matrix gated(const F64Matrix& x, const std::string& mlp, Added added) const;

  void place_patches(const std::vector<std::array<int64_t, 3>>& grids, Reference& r) const;
  void place_tokens(const std::vector<std::array<int64_t, 3>>& grids, Reference& r) const;

  // Stages: patch embedding, vision blocks, merger, token embedding, decoder layers, head.
  int64_t stage_count() const { return config_.vision.depth + config_.text.n_layers + 4; }
  int64_t stage_of(const std::string& op) const;
  F64Matrix run_stage(int64_t stage, const Reference& r, const F64Matrix& x, Added added) const;
  F64Matrix patch_embedding(const Reference& r, const F64Matrix& pixels, Added added) const;
  F64Matrix vision_block(int64_t i, const Reference& r, F64Matrix x, Added added) const;
  F64Matrix merger(const Reference& r, const F64Matrix& x, Added added) const;
  F64Matrix token_embedding(const Reference& r, const F64Matrix& features) const;
  F64Matrix decoder_layer(int64_t i, const Reference& r, F64Matrix x, Added added) const;
  F64Output head(const F64Matrix& x, Added added) const;

  io::Json json_;  // in the flat layout
  models::qwen2_5_vl::Config config_;
  // Matrices are kept transposed, [in, out]; vectors have one row; the embedding table is as stored.
  std::map<std::string, F64Matrix> weights_;
};

}  // namespace qsweep::testing
