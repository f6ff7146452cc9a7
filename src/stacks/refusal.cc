#include <algorithm>
#include <map>

#include <fmt/ranges.h>

#include "base/error.h"
#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

constexpr double kFloatBits = 16;

std::string_view format_name(const quant::Format* format) {
  return format == nullptr ? "float" : format->name;
}

std::string absence(const Stack& stack, const quant::Format& format) {
  if (format.of_caches) return std::string(stack.other_cache_absent);
  const auto row = std::ranges::find(stack.absences, format.name, &Absence::format);
  if (row != stack.absences.end()) return std::string(row->reason);
  if (!format.imitates.empty())
    return fmt::format("the format repeats the arithmetic of {}", format.imitates);
  return std::string(stack.otherwise_absent);
}

std::optional<std::string> head_refusal(const Stack& stack, const Model& model) {
  if (stack.head == Head::stays_float) return std::string(stack.head_reason);
  if (stack.head == Head::any || model.tied_embeddings == false) return std::nullopt;
  if (model.tied_embeddings) return std::string(stack.head_reason);
  return "the scores do not say whether the head is the token embedding (they are of an older version): "
         "score "
         "again";
}

// A convolution's rows are kernels, and its inputs have no rows of their own.
std::optional<std::string> convolution_refusal(const Stack& stack, const quant::Format& format) {
  if (!stack.convolutions) return "it quantizes no convolution";
  if (format.weights.granularity == quant::Granularity::per_group && !format.weights.in_stored_rows)
    return "its groups end with the last dimension of a convolution's kernel";
  if (quantizes_activations(format) && format.activations.granularity != quant::Granularity::per_tensor)
    return "inputs of a convolution can have one scale per tensor only";
  return std::nullopt;
}

std::optional<std::string> shape_refusal(const Expression& expression, const scores::OpRecord& op) {
  if (op.in_features % expression.in_multiple != 0)
    return fmt::format("it needs columns in multiples of {}, found {}", expression.in_multiple,
                       op.in_features);
  if (op.out_features % expression.out_multiple != 0)
    return fmt::format("it needs rows in multiples of {}, found {}", expression.out_multiple,
                       op.out_features);
  return std::nullopt;
}

// Why not, in half a sentence.
std::optional<std::string> reason(Kind kind, const Model& model, const scores::OpRecord& op,
                                  const quant::Format* format) {
  const Stack& stack = stacks::stack(kind);
  if (format == nullptr) return std::nullopt;
  const Expression* expression = expression_of(stack, *format);
  if (expression == nullptr) return absence(stack, *format);
  if (op.cache) return std::nullopt;
  const Place place = place_of(op);
  if (place == Place::parameter) return "it is a matrix but no module, so the tool does not find it";
  if (place == Place::head)
    if (auto refused = head_refusal(stack, model)) return refused;
  if (place == Place::patch_embedding)
    if (auto refused = convolution_refusal(stack, *format)) return refused;
  if (kind == Kind::llama_cpp && !has_gguf_name(model, op))
    return fmt::format("its names of the vision tower of {} are not known", model.family);
  return stack.simulates_any_shape ? std::nullopt : shape_refusal(*expression, op);
}

bool is_float(const quant::Scheme& scheme) { return scheme.codec == quant::Codec::none; }
double bits_of(const quant::Scheme& scheme) {
  return is_float(scheme) ? kFloatBits : facts(scheme.codec).bits;
}
double weight_bits(const quant::Format* format, const scores::OpRecord& op) {
  if (format == nullptr || op.cache) return kFloatBits;
  return effective_weight_bits(*format, op.in_features);
}

// Bits that are missing weigh more than bits that are not needed.
double distance(double from, double to) {
  constexpr double kMissing = 4;
  return to >= from ? to - from : kMissing * (from - to);
}
// Other kinds of numbers and other groups, where both are quantized, in bits.
double unlikeness(const quant::Scheme& a, const quant::Scheme& b) {
  constexpr double kOtherNumbers = 1, kOtherGroups = 0.5;
  if (is_float(a) || is_float(b)) return 0;
  const auto integers = [](const quant::Scheme& scheme) {
    return facts(scheme.codec).grid == kernels::Grid::integers;
  };
  return (integers(a) != integers(b) ? kOtherNumbers : 0) +
         (a.granularity != b.granularity ? kOtherGroups : 0);
}

// Of the formats that the op can have the nearest in bits; the first of several in the table.
const quant::Format* nearest(Kind kind, const Model& model, const scores::OpRecord& op,
                             const quant::Format& wanted) {
  constexpr quant::Format kFloat{};
  const auto distance_to = [&](const quant::Format* format) {
    const quant::Format& other = format == nullptr ? kFloat : *format;
    return distance(weight_bits(&wanted, op), weight_bits(format, op)) +
           distance(bits_of(wanted.activations), bits_of(other.activations)) +
           unlikeness(wanted.weights, other.weights) + unlikeness(wanted.activations, other.activations);
  };
  const quant::Format* best = nullptr;
  for (const quant::Format& format : op.cache ? quant::cache_formats() : quant::all_formats())
    if (!reason(kind, model, op, &format) && distance_to(&format) < distance_to(best)) best = &format;
  return best;
}

// In model order; per group the indexes of its ops.
std::vector<std::vector<size_t>> fusion_groups(const Model& model) {
  std::map<std::string, size_t> places;
  std::vector<std::vector<size_t>> groups;
  for (size_t op = 0; op < model.ops.size(); ++op) {
    if (!model.ops[op].fusion_group) continue;
    const auto [place, is_new] = places.try_emplace(*model.ops[op].fusion_group, groups.size());
    if (is_new) groups.emplace_back();
    groups[place->second].push_back(op);
  }
  return groups;
}

void check_groups(Kind kind, const Model& model, std::span<const quant::Format* const> formats,
                  Findings& findings) {
  const bool splits = stack(kind).splits_groups;
  for (const std::vector<size_t>& ops : fusion_groups(model)) {
    if (std::ranges::all_of(ops, [&](size_t op) { return formats[op] == formats[ops.front()]; })) continue;
    std::vector<std::string> members;
    for (const size_t op : ops)
      members.push_back(fmt::format("{} {}", model.ops[op].role, format_name(formats[op])));
    (splits ? findings.warnings : findings.refusals)
        .push_back(fmt::format(
            "{}: {} as one, so they need one format, found {}", *model.ops[ops.front()].fusion_group,
            splits ? "serving stacks store its ops" : "the stack stores its ops", fmt::join(members, ", ")));
  }
}

void check_caches(Kind kind, const Model& model, std::span<const quant::Format* const> formats,
                  Findings& findings) {
  if (stack(kind).caches_apart) return;
  std::map<std::string_view, int64_t> counts;
  for (size_t op = 0; op < formats.size(); ++op)
    if (model.ops[op].cache) ++counts[format_name(formats[op])];
  if (counts.size() < 2) return;
  std::vector<std::string> found;
  for (const auto& [format, layers] : counts) found.push_back(fmt::format("{} {}", layers, format));
  findings.refusals.push_back(fmt::format("caches: {} has one format for those of all layers, found {}",
                                          name(kind), fmt::join(found, ", ")));
}

std::string counted(int64_t ops) { return fmt::format("{} op{}", ops, ops == 1 ? "" : "s"); }

// What the table says of formats that were chosen, and of shapes that are only simulated.
void add_notes(Kind kind, const Model& model, std::span<const quant::Format* const> formats,
               Findings& findings) {
  const Stack& stack = stacks::stack(kind);
  std::vector<Expression> all(stack.expressions.begin(), stack.expressions.end());
  all.insert(all.end(), stack.caches.begin(), stack.caches.end());
  for (const Expression& expression : all) {
    int64_t ops = 0, unpackable = 0;
    for (size_t op = 0; op < formats.size(); ++op) {
      if (formats[op] == nullptr || formats[op]->name != expression.format) continue;
      ++ops;
      unpackable += shape_refusal(expression, model.ops[op]) ? 1 : 0;
    }
    if (ops > 0 && !expression.note.empty())
      findings.warnings.push_back(
          fmt::format("{} ({}): {}", expression.format, counted(ops), expression.note));
    if (unpackable > 0)
      findings.warnings.push_back(fmt::format(
          "{} ({}): {} simulates their shapes, but cannot pack them: columns are no multiples of {}",
          expression.format, counted(unpackable), stack.tool, expression.in_multiple));
  }
}

// The one tower whose modules were renamed since 4.52.
void warn_of_names(const Model& model, std::span<const quant::Format* const> formats, Findings& findings) {
  if (model.family != "gemma3") return;
  for (size_t op = 0; op < formats.size(); ++op)
    if (formats[op] != nullptr && model.ops[op].tower == "vision") {
      findings.warnings.emplace_back(
          "ops of the vision tower are named as from transformers 5 on; 4.x has vision_model. after "
          "vision_tower.");
      return;
    }
}

}  // namespace

Place place_of(const scores::OpRecord& op) {
  if (op.name == "lm_head") return Place::head;
  if (op.name == "multi_modal_projector.mm_input_projection") return Place::parameter;
  return op.tower == "vision" && !op.block ? Place::patch_embedding : Place::linear;
}

std::optional<std::string> refusal(Kind kind, const Model& model, const scores::OpRecord& op,
                                   const quant::Format* format) {
  const std::optional<std::string> why = reason(kind, model, op, format);
  if (!why) return std::nullopt;
  return fmt::format("{}: {} cannot have {} here: {}; the nearest that it can is {}", op.name, name(kind),
                     format->name, *why, format_name(nearest(kind, model, op, *format)));
}

Findings check(Kind kind, const Model& model, std::span<const quant::Format* const> formats) {
  QSWEEP_CHECK(formats.size() == model.ops.size(), "{} formats for {} ops", formats.size(), model.ops.size());
  Findings findings;
  for (size_t op = 0; op < formats.size(); ++op)
    if (auto refused = refusal(kind, model, model.ops[op], formats[op]))
      findings.refusals.push_back(*refused);
  check_groups(kind, model, formats, findings);
  check_caches(kind, model, formats, findings);
  add_notes(kind, model, formats, findings);
  warn_of_names(model, formats, findings);
  return findings;
}

double effective_bits(const Model& model, std::span<const quant::Format* const> formats) {
  double bits = 0, weights = 0;
  for (size_t op = 0; op < formats.size(); ++op) {
    if (model.ops[op].cache) continue;
    const auto n = static_cast<double>(model.ops[op].in_features * model.ops[op].out_features);
    bits += n * weight_bits(formats[op], model.ops[op]);
    weights += n;
  }
  return bits / weights;
}

}  // namespace qsweep::stacks
