// What each stack can express: a row per stack with a row per format, and where an op stands.
#pragma once

#include "stacks/files.h"

namespace qsweep::stacks {

struct Expression {
  std::string_view format;
  std::string_view word;  // the stack's own name for it; empty where it spells a format's parts out
  // Columns and rows of a weight that it takes are multiples of these.
  int64_t in_multiple = 1, out_multiple = 1;
  std::string_view note = "";  // what the user of this format in this stack should know
};
struct Absence {
  std::string_view format, reason;
};

enum class Head { stays_float, untied, any };  // whether lm_head can be quantized

struct Stack {
  std::string_view name;  // as on the command line
  std::string_view tool;
  std::string_view versions;     // that the exports were checked with
  std::string_view head_reason;  // why a head that cannot be quantized stays float
  Head head = Head::stays_float;
  bool convolutions = false;         // can quantize a patch embedding
  bool splits_groups = false;        // runs the ops of a fusion group one by one
  bool simulates_any_shape = false;  // multiples are asked for only where weights are packed
  std::span<const Expression> expressions;
  std::span<const Absence> absences;
  std::string_view otherwise_absent;  // why it has no other format
  // Of caches: the formats, whether those of layers may differ, and why there is no other.
  std::span<const Expression> caches = {};
  bool caches_apart = false;
  std::string_view other_cache_absent = "its file says nothing of caches";
  std::vector<File> (*write)(const Assignment&);
};
const Stack& stack(Kind kind);

// Null where the stack has no such format; of linear ops or of caches.
const Expression* expression_of(const Stack& stack, const quant::Format& format);

}  // namespace qsweep::stacks
