#include "models/packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/json.h"

namespace qsweep::models {
namespace {

using enum Packing::Method;
using graph::Scaled;
using graph::StoredWeight;
using kernels::Codes;

constexpr std::string_view kGiveFloat = "give the float checkpoint that it was made from";
constexpr int64_t kMxBlock = 32, kNvBlock = 16;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  fail("{}: the checkpoint is quantized already ({}), which is not read here; {}", path, what, kGiveFloat);
}

int64_t blocks(int64_t n, int64_t block) { return block == 0 ? 1 : (n + block - 1) / block; }

bool is_float(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16 || dtype == DType::f32; }

std::vector<std::string> names_at(const io::ObjectReader& config, const std::string& key) {
  std::vector<std::string> names;
  if (!config.has(key)) return names;
  for (const io::Json& name : config.at(key))
    if (name.is_string()) names.push_back(name.get<std::string>());
  return names;
}

std::pair<int64_t, int64_t> block_at(const io::ObjectReader& config, const std::string& key) {
  const std::vector<int64_t> sizes = config.integers(key);
  if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1)
    fail("{}: \"{}\": expected two numbers of at least 1", config.path(), key);
  return {sizes[0], sizes[1]};
}

Packing read_fp8(const io::ObjectReader& config) {
  if (!config.has("weight_block_size")) refuse(config.path(), "fp8 without weight_block_size");
  const auto [rows, columns] = block_at(config, "weight_block_size");
  Packing packing{.method = block_fp8,
                  .schemes = {{.bits = 8, .block_rows = rows, .block_columns = columns}},
                  .left_out = names_at(config, "modules_to_not_convert")};
  if (config.has("activation_scheme")) packing.inputs = config.string("activation_scheme") + " fp8";
  return packing;
}

Packing::Scheme read_scheme(const io::ObjectReader& weights) {
  Packing::Scheme scheme{.bits = static_cast<int>(weights.integer_in("num_bits", 1, 8))};
  const std::string strategy = weights.has("strategy") ? weights.string("strategy") : "tensor";
  if (weights.has("symmetric")) scheme.symmetric = weights.boolean("symmetric");
  if (strategy == "channel") {
    scheme.block_rows = 1;
  } else if (strategy == "group") {
    scheme.block_rows = 1;
    scheme.block_columns = weights.integer_in("group_size", 1, INT32_MAX);
  } else if (strategy == "block") {
    std::tie(scheme.block_rows, scheme.block_columns) = block_at(weights, "block_structure");
  } else if (strategy != "tensor") {
    refuse(weights.path(), "strategy " + strategy);
  }
  if (weights.has("actorder") && weights.at("actorder") == "group")
    refuse(weights.path(), "groups of inputs in an order of their own, actorder group");
  return scheme;
}

void check_scheme(const io::ObjectReader& weights, Packing::Method method, const Packing::Scheme& scheme) {
  const bool floats = weights.has("type") && weights.string("type") == "float";
  const bool packed = method == pack_quantized;
  if (floats != (method == float_quantized) || !(scheme.bits == 8 || (packed && scheme.bits == 4)))
    refuse(weights.path(),
           fmt::format("{} of {} bits in this format", floats ? "floats" : "integers", scheme.bits));
  if (!scheme.symmetric && !packed) refuse(weights.path(), "zero points in this format");
}

Packing read_compressed_tensors(const io::ObjectReader& config) {
  const std::string format = config.has("format") ? config.string("format") : "none";
  Packing packing{.left_out = names_at(config, "ignore")};
  if (format == "pack-quantized") packing.method = pack_quantized;
  if (format == "int-quantized") packing.method = int_quantized;
  if (format == "float-quantized") packing.method = float_quantized;
  if (format == "nvfp4-pack-quantized") return {.method = nvfp4, .left_out = names_at(config, "ignore")};
  if (packing.method == none) refuse(config.path(), "compressed-tensors, format " + format);
  const io::ObjectReader groups = config.object("config_groups");
  for (const auto& [name, group] : groups.json().items()) {
    const io::ObjectReader reader(group, groups.path() + ": " + name);
    const io::ObjectReader weights = reader.object("weights");
    packing.schemes.push_back(read_scheme(weights));
    check_scheme(weights, packing.method, packing.schemes.back());
    if (reader.has("input_activations"))
      packing.inputs = fmt::format("{} bits", reader.object("input_activations").integer("num_bits"));
  }
  return packing;
}

// NVIDIA ModelOpt.
Packing read_modelopt(const io::ObjectReader& config) {
  const std::string algorithm = config.has("quant_algo") ? config.string("quant_algo") : "none";
  const std::vector<std::string> left_out = names_at(config, "ignore");
  if (algorithm == "NVFP4") return {.method = nvfp4, .left_out = left_out, .inputs = "NVFP4"};
  if (algorithm == "W4A16_NVFP4") return {.method = nvfp4, .left_out = left_out};
  if (algorithm == "FP8")
    return {.method = float_quantized, .schemes = {{}}, .left_out = left_out, .inputs = "FP8"};
  refuse(config.path(), "ModelOpt, " + algorithm);
}

Packing by_columns(const io::ObjectReader& config, Packing::Method method) {
  Packing::Scheme scheme{.bits = static_cast<int>(config.integer_in("bits", 1, 8)), .block_rows = 1};
  if (scheme.bits != 4 && (method == awq || scheme.bits != 8))
    refuse(config.path(), fmt::format("integers of {} bits", scheme.bits));
  if (config.has("group_size") && config.integer("group_size") != -1)
    scheme.block_columns = config.integer_in("group_size", 1, INT32_MAX);
  return {.method = method, .schemes = {scheme}, .left_out = names_at(config, "modules_to_not_convert")};
}

Packing read_gptq(const io::ObjectReader& config) {
  Packing packing = by_columns(config, gptq);
  const std::string format = config.has("checkpoint_format") ? config.string("checkpoint_format") : "gptq";
  if (format != "gptq" && format != "gptq_v2") refuse(config.path(), "GPTQ, format " + format);
  if (config.has("dynamic") && !config.at("dynamic").empty())
    refuse(config.path(), "GPTQ with settings by modules, dynamic");
  packing.schemes.front().zero_offset = format == "gptq" ? 1 : 0;
  return packing;
}

Packing read_awq(const io::ObjectReader& config) {
  if (config.has("version") && config.string("version") != "gemm")
    refuse(config.path(), "AWQ, version " + config.string("version"));
  if (config.has("zero_point") && !config.boolean("zero_point"))
    refuse(config.path(), "AWQ without zero points");
  return by_columns(config, awq);
}

// AutoRound packs as others do, and says as whom.
Packing read_auto_round(const io::ObjectReader& config) {
  const std::string format = config.has("packing_format") ? config.string("packing_format") : "none";
  if (format == "auto_round:auto_gptq") return read_gptq(config);
  if (format == "auto_round:auto_awq") return read_awq(config);
  refuse(config.path(), "AutoRound, packing format " + format);
}

// A matrix of codes and what is known of it.
struct Place {
  const io::Checkpoint& checkpoint;
  const std::string& codes;  // name
  const Packing::Scheme& scheme;
  int64_t out, in;

  Shape scale_shape() const { return {blocks(out, scheme.block_rows), blocks(in, scheme.block_columns)}; }
};

// A tensor of whatever numbers belong to codes.
TensorView companion(const Place& place, const std::string& name, const Shape& shape,
                     std::initializer_list<DType> dtypes) {
  if (place.checkpoint.find(name) == nullptr)
    fail("tensor \"{}\" is missing, beside the codes of \"{}\"; expected shape {}", name, place.codes,
         to_string(shape));
  TensorView tensor = place.checkpoint.as_stored(name);
  if (std::ranges::find(dtypes, tensor.dtype) == dtypes.end())
    fail("tensor \"{}\": dtype {} is not one that it can have", name, qsweep::name(tensor.dtype));
  // One number for all, or one for each row, may stand without further dimensions.
  if (tensor.elements() == element_count(shape) && tensor.shape.size() < 2 && tensor.elements() <= shape[0])
    tensor.shape = shape;
  if (tensor.shape != shape)
    fail("tensor \"{}\": expected shape {}, found {}", name, to_string(shape), to_string(tensor.shape));
  return tensor;
}

Scaled scaled(const Place& place, Codes kind, const TensorView& codes, const std::string& scales) {
  return {.kind = kind,
          .codes = codes,
          .scales = companion(place, scales, place.scale_shape(), {DType::f32, DType::bf16, DType::f16}),
          .block_rows = place.scheme.block_rows == 0 ? place.out : place.scheme.block_rows,
          .block_columns = place.scheme.block_columns == 0 ? place.in : place.scheme.block_columns};
}

// Of the schemes in config.json the first whose scales have this shape; the first of all where none has.
const Packing::Scheme& scheme_of(const Packing& packing, const TensorView* scales, int64_t out, int64_t in,
                                 const std::function<bool(const Packing::Scheme&)>& fits) {
  const Packing::Scheme* first = nullptr;
  for (const Packing::Scheme& scheme : packing.schemes) {
    if (!fits(scheme)) continue;
    if (first == nullptr) first = &scheme;
    const int64_t count = blocks(out, scheme.block_rows) * blocks(in, scheme.block_columns);
    if (scales != nullptr && scales->elements() == count) return scheme;
  }
  return first != nullptr ? *first : packing.schemes.front();
}

StoredWeight unpacked_integers(const io::Checkpoint& checkpoint, const Packing& packing,
                               const std::string& name,
                               const std::function<std::string(const std::string&)>& stored_name, int64_t out,
                               int64_t in) {
  const std::string packed = stored_name(name + ".weight_packed"),
                    scales = stored_name(name + ".weight_scale"), order = stored_name(name + ".weight_g_idx"),
                    shape = stored_name(name + ".weight_shape");
  if (checkpoint.find(order) != nullptr)
    refuse("tensor \"" + order + "\"", "groups of inputs in an order of their own");
  const TensorView codes = checkpoint.as_stored(packed);
  const auto words = [](int64_t n, int bits) { return (n * bits + 31) / 32; };
  const Packing::Scheme& scheme =
      scheme_of(packing, checkpoint.find(scales), out, in, [&](const Packing::Scheme& s) {
        return codes.shape == Shape{out, words(in, s.bits)};
      });
  const Shape expected{out, words(in, scheme.bits)};
  if (codes.dtype != DType::i32 || codes.shape != expected)
    fail("tensor \"{}\": expected I32 of shape {}, found {} of {}", packed, to_string(expected),
         qsweep::name(codes.dtype), to_string(codes.shape));
  const Place place{checkpoint, packed, scheme, out, in};
  if (checkpoint.find(shape) != nullptr)
    companion(place, shape, {2}, {DType::i64, DType::i32});  // the shape that the family asks for
  Scaled weight = scaled(place, scheme.bits == 4 ? Codes::u4 : Codes::u8, codes, scales);
  if (!scheme.symmetric)
    weight.zeros = companion(place, stored_name(name + ".weight_zero_point"),
                             {words(out, scheme.bits), place.scale_shape()[1]}, {DType::i32});
  return {DType::f32, {out, in}, std::move(weight)};
}

// By two names: of ModelOpt, whose last scale multiplies, and of compressed-tensors, whose divides.
StoredWeight nvfp4_weight(const io::Checkpoint& checkpoint, const std::string& name,
                          const std::function<std::string(const std::string&)>& stored_name, int64_t out,
                          int64_t in) {
  const bool divided = checkpoint.find(stored_name(name + ".weight_packed")) != nullptr;
  const std::string codes = stored_name(name + (divided ? ".weight_packed" : ".weight")),
                    last = stored_name(name + (divided ? ".weight_global_scale" : ".weight_scale_2"));
  if (in % kNvBlock != 0) fail("tensor \"{}\": {} inputs, no whole blocks of {}", codes, in, kNvBlock);
  const Packing::Scheme scheme{.bits = 4, .block_rows = 1, .block_columns = kNvBlock};
  const Place place{checkpoint, codes, scheme, out, in};
  Scaled weight{
      .kind = Codes::e2m1,
      .codes = companion(place, codes, {out, in / 2}, {DType::u8}),
      .scales = companion(place, stored_name(name + ".weight_scale"), place.scale_shape(), {DType::f8_e4m3}),
      .whole = companion(place, last, {1}, {DType::f32}),
      .divided = divided,
      .block_rows = 1,
      .block_columns = kNvBlock};
  if (weight.whole->data != nullptr) {
    const float number = weight.whole->as<float>()[0];
    if (!(number > 0) || !std::isfinite(number))
      fail("tensor \"{}\": expected a finite number above 0, found {}", last, number);
  }
  return {DType::f32, {out, in}, std::move(weight)};
}

// The group of every input must be one of those that there are.
void check_groups(const TensorView& of_inputs, const std::string& name, int64_t groups) {
  for (int64_t i = 0; i < of_inputs.elements(); ++i) {
    int32_t group = 0;
    std::memcpy(&group, of_inputs.data + i * int64_t{sizeof group}, sizeof group);
    if (group < 0 || group >= groups)
      fail("tensor \"{}\": expected groups from 0 to {}, found {} for input {}", name, groups - 1, group, i);
  }
}

StoredWeight integers_by_columns(const io::Checkpoint& checkpoint, const Packing& packing,
                                 const std::string& name,
                                 const std::function<std::string(const std::string&)>& stored_name,
                                 int64_t out, int64_t in) {
  const Packing::Scheme& scheme = packing.schemes.front();
  const std::string codes = stored_name(name + ".qweight"), order = stored_name(name + ".g_idx");
  const int64_t in_word = 32 / scheme.bits, groups = blocks(in, scheme.block_columns);
  const bool of_rows = packing.method == gptq;
  if ((of_rows ? in : out) % in_word != 0 || out % in_word != 0)
    fail("tensor \"{}\": {} outputs of {} inputs do not fill words of 32 bits", codes, out, in);
  const Place place{checkpoint, codes, scheme, out, in};
  graph::ByColumns weight{
      .words = of_rows ? kernels::ColumnCodes::Words::of_rows : kernels::ColumnCodes::Words::of_columns,
      .bits = scheme.bits,
      .codes = companion(place, codes, of_rows ? Shape{in / in_word, out} : Shape{in, out / in_word},
                         {DType::i32}),
      .scales = companion(place, stored_name(name + ".scales"), {groups, out},
                          {DType::f32, DType::bf16, DType::f16}),
      .zeros = companion(place, stored_name(name + ".qzeros"), {groups, out / in_word}, {DType::i32}),
      .zero_offset = scheme.zero_offset,
      .groups = {},
      .columns_of_group = scheme.block_columns == 0 ? in : scheme.block_columns};
  if (of_rows && checkpoint.find(order) != nullptr) {
    weight.groups = companion(place, order, {in}, {DType::i32});
    if (weight.groups->data != nullptr) check_groups(*weight.groups, order, groups);
  }
  return {DType::f32, {out, in}, std::move(weight)};
}

}  // namespace

std::string Packing::sentence() const {
  static constexpr const char* kWays[] = {"",
                                          "FP8 with a scale for each block",
                                          "integers of compressed-tensors, packed in words",
                                          "int8 of compressed-tensors",
                                          "FP8 of compressed-tensors",
                                          "MXFP4",
                                          "integers of GPTQ",
                                          "integers of AWQ",
                                          "NVFP4"};
  if (method == none) return "";
  return fmt::format(
      "The checkpoint is quantized already ({}): the reference is the model of its dequantized weights{}",
      kWays[static_cast<size_t>(method)],
      inputs.empty() ? "" : ", with inputs that are not quantized as its config.json asks (" + inputs + ")");
}

Packing read_packing(const io::Json& config, const std::string& path) {
  const io::ObjectReader root(config, path);
  if (!root.has("quantization_config")) return {};
  const io::ObjectReader quantization = root.object("quantization_config");
  const std::string method =
      quantization.has("quant_method") ? quantization.string("quant_method") : "unknown";
  if (method == "fp8") return read_fp8(quantization);
  if (method == "gptq") return read_gptq(quantization);
  if (method == "awq") return read_awq(quantization);
  if (method == "auto-round") return read_auto_round(quantization);
  if (method == "modelopt") return read_modelopt(quantization);
  if (method == "compressed-tensors") return read_compressed_tensors(quantization);
  if (method == "mxfp4")
    return {.method = mxfp4, .left_out = names_at(quantization, "modules_to_not_convert")};
  refuse(quantization.path(), "method " + io::shortened(io::Json(method)));
}

StoredWeight packed_weight(const io::Checkpoint& checkpoint, const Packing& packing, const std::string& name,
                           const std::function<std::string(const std::string&)>& stored_name, int64_t out,
                           int64_t in) {
  if ((packing.method == gptq || packing.method == awq) &&
      checkpoint.find(stored_name(name + ".qweight")) != nullptr)
    return integers_by_columns(checkpoint, packing, name, stored_name, out, in);
  const std::string plain = stored_name(name + ".weight");
  const TensorView* stored = checkpoint.find(plain);
  const bool packed = checkpoint.find(stored_name(name + ".weight_packed")) != nullptr;
  if (!packed && (packing.method == none || stored == nullptr || is_float(stored->dtype)))
    return checkpoint.get(plain, {out, in});
  if (packing.method == nvfp4) return nvfp4_weight(checkpoint, name, stored_name, out, in);
  if (std::ranges::find(packing.left_out, name) != packing.left_out.end())
    fail("tensor \"{}\": config.json says that it is not quantized, found codes", plain);
  if (packed && packing.method == pack_quantized)
    return unpacked_integers(checkpoint, packing, name, stored_name, out, in);
  const DType expected = packing.method == int_quantized ? DType::i8 : DType::f8_e4m3;
  if (packed || packing.method == pack_quantized || packing.method == mxfp4 || stored->dtype != expected ||
      stored->shape != Shape{out, in})
    fail("tensor \"{}\": expected {} of shape {} or floats, found {} of {}", plain, qsweep::name(expected),
         to_string({out, in}), packed ? "packed words" : qsweep::name(stored->dtype),
         packed ? "" : to_string(stored->shape));
  const std::string scales =
      stored_name(name + (packing.method == block_fp8 ? ".weight_scale_inv" : ".weight_scale"));
  const Packing::Scheme& scheme =
      scheme_of(packing, checkpoint.find(scales), out, in, [](const auto&) { return true; });
  return {DType::f32,
          {out, in},
          scaled({checkpoint, plain, scheme, out, in}, expected == DType::i8 ? Codes::i8 : Codes::e4m3,
                 checkpoint.as_stored(plain), scales)};
}

StoredWeight mxfp4_weights(const io::Checkpoint& checkpoint, const std::string& name, int64_t experts,
                           int64_t outputs, int64_t inputs) {
  const auto take = [&](const std::string& suffix, const Shape& shape) {
    if (checkpoint.find(name + suffix) == nullptr)
      fail("tensor \"{}{}\" is missing; expected shape {}", name, suffix, to_string(shape));
    const TensorView tensor = checkpoint.as_stored(name + suffix);
    if (tensor.dtype != DType::u8 || tensor.shape != shape)
      fail("tensor \"{}{}\": expected U8 of shape {}, found {} of {}", name, suffix, to_string(shape),
           qsweep::name(tensor.dtype), to_string(tensor.shape));
    return tensor;
  };
  if (inputs % kMxBlock != 0) fail("tensor \"{}_blocks\": {} inputs, no whole blocks of 32", name, inputs);
  const int64_t of_row = inputs / kMxBlock, rows = experts * outputs;
  TensorView codes = take("_blocks", {experts, outputs, of_row, kMxBlock / 2});
  TensorView scales = take("_scales", {experts, outputs, of_row});
  codes.shape = {rows, inputs / 2};
  scales.shape = {rows, of_row};
  return {DType::bf16,
          {rows, inputs},
          Scaled{.kind = Codes::e2m1, .codes = codes, .scales = scales, .block_columns = kMxBlock}};
}

}  // namespace qsweep::models
