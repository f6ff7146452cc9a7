// A choice of format per op in the form that other stacks read: what each of them can express, and the
// export.
//
// Names, shapes and traps were found with the tools themselves, in the versions of kVersions (stacks.cc); the
// checks stand in tools/clients.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/format.h"
#include "scores/run.h"

namespace qsweep::stacks {

enum class Kind {
  modelopt,            // a recipe of NVIDIA ModelOpt, for mtq.quantize
  hf_quant_config,     // what vLLM and TensorRT-LLM read beside the weights of a ModelOpt checkpoint
  llm_compressor,      // a recipe of llm-compressor, for oneshot
  compressed_tensors,  // quantization_config of a checkpoint's config.json
  auto_round,          // layer_config of AutoRound
  inc,                 // op_name_dict of Intel Neural Compressor 2.x
  llama_cpp,           // tensor types for llama-quantize
  torchao,             // FqnToConfig of torchao
};
std::span<const Kind> all_kinds();
std::string_view name(Kind kind);  // "hf-quant-config"
// "modelopt, llm-compressor", for people.
std::string names_of(std::span<const Kind> kinds);
// Error that lists the kinds for any other text.
Kind parse_kind(std::string_view text);

// What an export has to know of a model.
struct Model {
  std::string family;                   // model_type
  std::optional<bool> tied_embeddings;  // empty: the scores are too old to say
  std::vector<scores::OpRecord> ops;    // in model order
};
Model model_of(const scores::Run& run);

// Why this op cannot have the format in that stack, with the nearest one that it can have; none where it can.
// A null format is float. Fusion groups are no matter of a single op: see check().
std::optional<std::string> refusal(Kind kind, const Model& model, const scores::OpRecord& op,
                                   const quant::Format* format);

// What stands against a whole choice (a format per op, null: float), and what its user should know.
struct Findings {
  std::vector<std::string> refusals, warnings;
};
Findings check(Kind kind, const Model& model, std::span<const quant::Format* const> formats);

// Mean weight bits over all weights of ops, scales included, float at 16: as qsweep eval counts them.
double effective_bits(const Model& model, std::span<const quant::Format* const> formats);

struct Choice {
  std::string name;                           // of the recipe
  std::vector<const quant::Format*> formats;  // per op of the model; null: float
  // Means per position of the metric, where they are known.
  std::string metric = "kl:all";
  std::optional<double> predicted = {}, measured = {};
};

// The choice as a recipe that qsweep eval reads: a rule for every op, under its full name.
std::string recipe_text(const Model& model, const Choice& choice);

// The model's linear ops alone, and their formats.
struct LinearPart {
  Model model;
  std::vector<const quant::Format*> formats;
};
LinearPart linear_part(const Model& model, std::span<const quant::Format* const> formats);

// Writes the folder, which must not exist: recipe.json, as qsweep eval reads it; the kind's own files; and
// README.md, which says how they are applied. Equal choices give equal bytes. Returns the warnings of
// check(). Error, with nothing written, where check() refuses or the folder exists.
std::vector<std::string> export_recipe(Kind kind, const Model& model, const Choice& choice,
                                       const std::string& folder);

}  // namespace qsweep::stacks
