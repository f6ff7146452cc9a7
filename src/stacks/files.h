// The writers: the files of each kind for a choice that check() lets pass. One file of code per kind.
#pragma once

#include "io/json.h"
#include "stacks/stacks.h"

namespace qsweep::stacks {

struct File {
  std::string name, text;
};

// Where an op stands, as far as stacks treat it in a way of its own.
enum class Place {
  linear,
  patch_embedding,  // a convolution
  head,             // lm_head
  parameter,        // a matrix that is no module, so that no tool finds it
};
Place place_of(const scores::OpRecord& op);

// The attention whose cache has a format.
struct CacheFormat {
  std::string module;  // "model.language_model.layers.0.self_attn"
  const quant::Format* format = nullptr;
};

// A choice of format per linear op, and of formats of caches.
struct Assignment {
  const Model& model;  // without caches
  std::span<const quant::Format* const> formats;
  std::vector<CacheFormat> caches =
      {};  // those that are not float; alike where the stack cannot tell layers apart

  size_t size() const { return model.ops.size(); }
  // Whether there is a module that the entry for this op could name.
  bool is_module(size_t op) const { return place_of(model.ops[op]) != Place::parameter; }
  std::string module(size_t op) const;
  std::vector<std::string> float_modules() const;
};

std::vector<File> write_modelopt(const Assignment& choice);
std::vector<File> write_hf_quant_config(const Assignment& choice);
std::vector<File> write_llm_compressor(const Assignment& choice);
std::vector<File> write_compressed_tensors(const Assignment& choice);
std::vector<File> write_auto_round(const Assignment& choice);
std::vector<File> write_inc(const Assignment& choice);
std::vector<File> write_llama_cpp(const Assignment& choice);
std::vector<File> write_torchao(const Assignment& choice);

// The config_groups that compressed-tensors and llm-compressor share: one per format, in the order in which
// formats first occur. `packed` adds how the weights of a group are packed.
io::Json config_groups(const Assignment& choice, bool packed);

// The kv_cache_scheme of the same two; null where caches stay float.
io::Json cache_scheme(const Assignment& choice);

// Whether llama.cpp's names of the op are known; of vision towers they are those of qwen2_5_vl alone.
bool has_gguf_name(const Model& model, const scores::OpRecord& op);

// README.md of the folder.
std::string readme(Kind kind, const Model& model, const Choice& choice,
                   const std::vector<std::string>& warnings);

std::string json_text(const io::Json& json);
// In YAML's flow style, which is JSON but for keys that are whole numbers.
std::string yaml_flow(const io::Json& json);

}  // namespace qsweep::stacks
