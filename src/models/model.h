// A loaded model: its ops, its stages as graphs, and how a sample becomes its inputs. One registry row per
// family.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "text/dataset.h"

namespace qsweep::models {

// A sample as the model reads it, without its images' pixels.
struct Sample {
  std::string id;
  std::vector<int32_t> token_ids;
  std::vector<uint8_t> answer_mask;  // 1: the token is part of an answer
  std::vector<text::ImageSource> images;
  std::vector<std::array<int64_t, 3>> image_grids;  // per image: frames, and patches high and wide
  // The most memory that reading one of the images takes beside the rows of pixels: the file, the codec, the
  // resized image (image::decode_bytes). Images are read one after the other.
  int64_t decode_bytes = 0;
  std::vector<std::string> warnings;  // what the user should know of the images; once per file and run
  graph::RowCounts rows;
};

// A token that prompts are made of.
struct PromptToken {
  std::string text;
  std::string key = {};  // of config.json, which has its id; empty: the tokenizer alone knows it
  int32_t id = -1;
  bool begins = false;  // stands before every text
};

// Turns data into a family's inputs.
class InputBuilder {
 public:
  virtual ~InputBuilder() = default;
  // Those of the dialect and of images, each once: what a tokenizer of the model must know.
  virtual std::vector<PromptToken> prompt_tokens() const = 0;
  // Tokenizes, and decodes the images to check them and to learn their sizes. Errors name the sample.
  virtual Sample prepare(const text::Sample& sample) const = 0;
  // Everything the stages read; decodes the images again. Without pixels their table is there but not filled
  // in, of shapes no table is.
  enum class Pixels { decode, leave_out, shapes };
  virtual graph::SampleInputs load(const Sample& sample, Pixels pixels) const = 0;
};

struct Model {
  std::string family;
  io::Checkpoint checkpoint;
  // In model order; the head is the last. The caches that attention reads are ops where they are asked for
  // (LoadOptions::caches).
  std::vector<graph::LinearOp> ops = {};
  // In order. The last one is the head: it reads "hidden" (after the final norm) and has the one op lm_head.
  std::vector<graph::Stage> stages = {};
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = INT64_MAX;  // tokens of a sample that the model was made for
  bool tied_embeddings = false;
  std::vector<std::string> norms_less_one = {};  // tensors of the checkpoint that norms add 1 to
  std::vector<std::string> unused_tensors = {};  // of the checkpoint: nothing here reads them
  std::vector<std::string> warnings = {};        // of what the folder holds
  std::unique_ptr<InputBuilder> inputs = nullptr;

  const graph::LinearOp& lm_head() const { return ops.back(); }
};

struct LoadOptions {
  std::optional<int64_t> image_size = {};  // every image becomes this square; empty: the family's own resize
  std::vector<std::string> allow_outside = {};  // folders beside the data's own from which images may come
  std::optional<std::string> chat_template =
      {};  // the dialect of dialogues; empty: the checkpoint's template
  bool caches =
      false;  // keys and values of the language model's layers are ops, "model.layers.3.self_attn.kv"
};

// Reads config.json and the checkpoint's headers. Error for an unknown model_type, an unsupported value, a
// missing or misshapen tensor.
Model load(const std::string& folder, const LoadOptions& options = {});

}  // namespace qsweep::models
