#include "pass/finite.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/ranges.h>

#include "base/trace.h"
#include "graph/linear_step.h"
#include "tensor/floats.h"

namespace qsweep::pass {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;  // that a thread holds at a time

// In the order in which the stages read them, embeddings included.
std::vector<TensorView> weights_in_order(const models::Model& model) {
  std::vector<TensorView> weights;
  std::set<const std::byte*> seen;
  const auto add = [&](const TensorView& weight) {
    if (weight.elements() > 0 && seen.insert(weight.data).second) weights.push_back(weight);
  };
  for (const graph::Stage& stage : model.stages) {
    for (const graph::Node& node : stage.nodes)
      if (const auto* embedding = std::get_if<graph::Embedding>(&node.operation)) add(embedding->table);
    for (const TensorView& weight : stage.weights) add(weight);
  }
  for (const graph::LinearOp& op : model.ops) {  // the head's
    if (op.cache) continue;
    for (const TensorView& part : op.weight.parts()) add(part);
    if (op.bias) add(op.bias->parts().front());
  }
  return weights;
}

TensorView part(const TensorView& whole, int64_t first, int64_t elements) {
  return {whole.dtype, {elements}, whole.data + first * size_bytes(whole.dtype)};
}

// The place of the first element that is not finite; its pages are let go.
std::optional<int64_t> find_non_finite(const io::Checkpoint& checkpoint, const TensorView& weight,
                                       Threads threads) {
  const int64_t piece = kPieceBytes / size_bytes(weight.dtype);
  const int64_t pieces = (weight.elements() + piece - 1) / piece;
  std::vector<std::optional<int64_t>> found(static_cast<size_t>(pieces));
  parallel_for(threads, pieces, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const TensorView values = part(weight, i * piece, std::min(piece, weight.elements() - i * piece));
      checkpoint.populate(values);
      if (const auto place = first_non_finite(values)) found[static_cast<size_t>(i)] = i * piece + *place;
      checkpoint.release(values);
    }
  });
  const auto first = std::ranges::find_if(found, [](const auto& place) { return place.has_value(); });
  checkpoint.release(weight);
  return first == found.end() ? std::nullopt : *first;
}

Shape indices_of(int64_t place, const Shape& shape) {
  Shape indices(shape.size());
  for (size_t i = shape.size(); i-- > 0; place /= shape[i]) indices[i] = place % shape[i];
  return indices;
}

[[noreturn]] void refuse(const io::Checkpoint& checkpoint, const TensorView& weight, int64_t place) {
  const std::byte* at = weight.data + place * size_bytes(weight.dtype);
  std::string tensor;
  int64_t index = 0;
  for (const std::string& name : checkpoint.names())
    if (const TensorView& t = *checkpoint.find(name); t.data <= at && at < t.data + t.size_bytes()) {
      tensor = name;
      index = (at - t.data) / size_bytes(t.dtype);
    }
  const bool nan = weight.dtype == DType::f8_e4m3 || visit_floats(weight, [&](auto v) {
                     return std::isnan(to_float(v[static_cast<size_t>(place)]));
                   });
  fail(
      "tensor \"{}\": expected finite weights, found {} at {}; the checkpoint is damaged, or was saved from "
      "a training that diverged",
      tensor, nan ? "NaN" : "an infinity", to_string(indices_of(index, checkpoint.find(tensor)->shape)));
}

// Exponents of 2, less 127, from which on 6, the largest number of E2M1, overflows; 255 is NaN.
constexpr uint8_t kLargestExponent = 252;

// The place of the first scale that is 0, or no scale. In E4M3 a block of zeros may have 0.
std::optional<int64_t> find_bad_scale(const TensorView& scales) {
  const auto first = [](auto values, auto is_bad) -> std::optional<int64_t> {
    const auto found = std::ranges::find_if(values, is_bad);
    return found == values.end() ? std::nullopt : std::optional<int64_t>(found - values.begin());
  };
  if (scales.dtype == DType::u8)
    return first(scales.as<uint8_t>(), [](uint8_t e) { return e > kLargestExponent; });
  if (scales.dtype == DType::f8_e4m3)
    return first(std::span(scales.data, static_cast<size_t>(scales.size_bytes())),
                 [](std::byte code) { return (code & std::byte{0x7f}) == std::byte{0x7f}; });
  return visit_floats(scales,
                      [&](auto values) { return first(values, [](auto v) { return to_float(v) == 0; }); });
}

void check_scales(const models::Model& model) {
  for (const graph::LinearOp& op : model.ops) {
    const auto* scaled = std::get_if<graph::Scaled>(&op.weight.layout);
    const auto* by_columns = std::get_if<graph::ByColumns>(&op.weight.layout);
    if (scaled == nullptr && by_columns == nullptr) continue;
    const TensorView& scales = scaled != nullptr ? scaled->scales : by_columns->scales;
    if (const auto place = find_bad_scale(scales))
      fail("{}: the scales of its weight: expected numbers that are not 0, found {} at {}", op.name,
           scales.dtype == DType::u8        ? "a power of 2 that is too large"
           : scales.dtype == DType::f8_e4m3 ? "NaN"
                                            : "0",
           to_string(indices_of(*place, scales.shape)));
    model.checkpoint.release(scales);
  }
}

}  // namespace

void check_weights(const models::Model& model, Threads threads) {
  const trace::Span span(trace::kPhase, "load");
  for (const TensorView& weight : weights_in_order(model))
    if (const auto place = find_non_finite(model.checkpoint, weight, threads))
      refuse(model.checkpoint, weight, *place);
  check_scales(model);
  model.checkpoint.check_unchanged();
}

void ReferenceCheck::watch(const std::string& what, Matrix<const float> y) {
  if (workspace_.dry() || y.empty()) return;
  // Squares of f32 do not overflow in f64: the sum is finite if all elements are.
  graph::sum_of_squares(workspace_, y, [this, what](double sum) {
    if (!std::isfinite(sum) && first_.empty()) first_ = what;
  });
}

void ReferenceCheck::op_output(int op, Matrix<const float> y) {
  watch(setting_.model.ops[static_cast<size_t>(op)].name, y);
}

void ReferenceCheck::outputs(const graph::Stage& stage, const graph::Values& left) {
  for (const auto& [name, node] : stage.outputs) watch(stage.name, left.at(name).matrix);
}

void ReferenceCheck::tell(const graph::Stage& stage, const graph::Values& left) const {
  if (first_.empty()) return;
  for (const auto& [name, node] : stage.outputs) {
    const Matrix<float> values = left.at(name).matrix;
    const graph::Rows kind = stage.nodes[static_cast<size_t>(node)].rows;
    for (int64_t s = 0; s < batch_.samples(); ++s) {
      const int64_t rows = batch_.rows(kind, s);
      if (rows == 0) continue;
      const kernels::HostCopy<float> here(workspace_.device(), {values.row(batch_.first_row(kind, s)),
                                                                static_cast<size_t>(rows * values.cols)});
      const auto elements = here.elements();
      if (std::ranges::all_of(elements, [](float v) { return std::isfinite(v); })) continue;
      fail(
          "{}: sample \"{}\": expected finite values of the float model, found NaN or infinities; no score "
          "would mean anything",
          first_, setting_.samples[static_cast<size_t>(s)]->id);
    }
  }
  fail("{}: expected finite values of the float model, found NaN or infinities; no score would mean anything",
       first_);
}

}  // namespace qsweep::pass
