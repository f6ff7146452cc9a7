// What the readers of other tools' recipes share.
#pragma once

#include <initializer_list>
#include <string>

#include "stacks/pattern.h"
#include "stacks/table.h"

namespace qsweep::stacks {

using Formats = std::vector<const quant::Format*>;

Formats read_modelopt(const Model& model, const io::Json& json, const std::string& path);
Formats read_compressed_tensors(const Model& model, const io::Json& json, const std::string& path);
Formats read_auto_round(const Model& model, const io::Json& json, const std::string& path);

// Error for a key of the object that is neither null nor known.
void only_keys(const io::ObjectReader& object, std::initializer_list<std::string_view> known);

// The first format of the kind, in the order of the table, that is spelled so.
template <class Spell>
const quant::Format& format_spelled(Kind kind, const io::Json& spelled, const std::string& where,
                                    Spell spell) {
  for (const quant::Format& format : quant::all_formats())
    if (expression_of(stack(kind), format) != nullptr && spell(format) == spelled) return format;
  fail("{}: no format here is {}", where, io::shortened(spelled));
}

// Whether a full name is this op's, in whatever layout of names.
bool is_name_of(const Model& model, const scores::OpRecord& op, const std::string& name);

}  // namespace qsweep::stacks
