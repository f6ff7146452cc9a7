#include "sweep/rate.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "pass/head_tiles.h"

namespace qsweep::sweep {
namespace {

constexpr size_t kShapes = 5;
constexpr double kSecondsPerShape = 0.05;
constexpr int64_t kMostRows = 4096;  // more make a product longer, not faster

using graph::kRowKinds;

// What the products of one pass are, op by op.
class Tally {
 public:
  Tally(const models::Model& model, const std::vector<models::Sample>& data,
        std::span<const pass::Variant> variants, DType delta_dtype)
      : model_(model),
        data_(data),
        variants_(variants),
        delta_dtype_(delta_dtype),
        kinds_(pass::row_kinds(model)) {}

  void add(const std::vector<int>& samples, const std::vector<int>& variants) {
    std::set<int> parents{pass::kReference};
    std::vector<int64_t> forks(kinds_.size());  // per op: leaves that leave their parent there
    for (const int v : variants) {
      const pass::Variant& variant = variants_[static_cast<size_t>(v)];
      parents.insert(variant.carried ? v : variant.parent);
      if (!variant.carried) ++forks[static_cast<size_t>(variant.overrides.front().op)];
    }
    std::array<int64_t, kRowKinds> live{};  // leaves by the kind of rows that they forked on
    for (size_t op = 0; op < kinds_.size(); ++op) {
      const auto kind = static_cast<size_t>(kinds_[op]);
      int64_t rows = 0, delta_rows = 0;
      for (const int s : samples) {
        const models::Sample& sample = data_[static_cast<size_t>(s)];
        rows += sample.rows[kind];
        for (size_t k = 0; k < kRowKinds; ++k)
          if (sample.rows[k] > 0) delta_rows += sample.rows[kind] * live[k];
      }
      for (size_t i = 0; i < parents.size(); ++i) add(DType::f32, op, rows);
      add(delta_dtype_, op, delta_rows);
      live[kind] += forks[op];
    }
  }

  Amount amount() const {
    Amount amount;
    for (const auto& [key, sum] : sums_) {
      amount.flops += sum.flops;
      amount.elements += sum.elements;
    }
    return amount;
  }

  std::vector<ProductShape> largest() const {
    std::vector<ProductShape> shapes;
    for (const auto& [key, sum] : sums_)
      shapes.push_back({.dtype = std::get<0>(key),
                        .in = std::get<1>(key),
                        .out = std::get<2>(key),
                        .rows = static_cast<int64_t>(sum.weighted_rows / sum.flops),
                        .flops = sum.flops});
    std::ranges::stable_sort(shapes, std::greater(), &ProductShape::flops);
    shapes.resize(std::min(shapes.size(), kShapes));
    return shapes;
  }

 private:
  struct Sum {
    double flops = 0, weighted_rows = 0, elements = 0;
  };

  void add(DType dtype, size_t op, int64_t rows) {
    if (rows == 0) return;
    const graph::LinearOp& linear = model_.ops[op];
    const bool head = &linear == &model_.lm_head();
    const int64_t in = linear.in_features(), out = linear.out_features();
    const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
    Sum& sum = sums_[{dtype, in, head ? std::min(out, pass::kHeadTile) : out}];
    sum.flops += flops;
    sum.weighted_rows += flops * static_cast<double>(rows);
    sum.elements += static_cast<double>(rows) * static_cast<double>(in + out);
  }

  const models::Model& model_;
  const std::vector<models::Sample>& data_;
  std::span<const pass::Variant> variants_;
  DType delta_dtype_;
  std::vector<graph::Rows> kinds_;
  std::map<std::tuple<DType, int64_t, int64_t>, Sum> sums_;
};

// Rows whose operands are not more than a pass holds.
int64_t measured_rows(const ProductShape& shape, const schedule::MemoryPlan& plan) {
  const int64_t held_bytes = (plan.peak_bytes() - plan.base_bytes) / size_bytes(shape.dtype);
  const int64_t fitting = (held_bytes - shape.in * shape.out) / (shape.in + shape.out);
  return std::clamp<int64_t>(std::min(shape.rows, fitting), 1, kMostRows);
}

}  // namespace

std::vector<ProductShape> main_products(const Setting& setting, std::span<const pass::Variant> variants,
                                        const schedule::MemoryPlan& plan) {
  // Without bf16 products, those of bf16 run in f32.
  const bool native = setting.devices.first().gemm.native_bf16();
  Tally tally(setting.model, setting.data, variants, native ? setting.delta_dtype() : DType::f32);
  for (const schedule::Chunk& chunk : plan.chunks) tally.add(chunk.samples, chunk.variants);
  return tally.largest();
}

double arithmetic(const models::Model& model, const std::vector<models::Sample>& data,
                  std::span<const pass::Variant> variants, const schedule::Share& share) {
  Tally tally(model, data, variants, DType::f32);
  tally.add(share.samples, share.variants);
  return tally.amount().flops;
}

Amount amount_of(const Setting& setting, std::span<const pass::Variant> variants,
                 const schedule::MemoryPlan& plan) {
  Tally tally(setting.model, setting.data, variants, setting.delta_dtype());
  for (const schedule::Chunk& chunk : plan.chunks) tally.add(chunk.samples, chunk.variants);
  return tally.amount();
}

std::vector<MeasuredProduct> measure_rates(const schedule::Devices& devices,
                                           std::span<const ProductShape> shapes,
                                           const schedule::MemoryPlan& plan) {
  std::vector<MeasuredProduct> measured;
  for (ProductShape shape : shapes) {
    shape.rows = measured_rows(shape, plan);
    MeasuredProduct& product = measured.emplace_back(MeasuredProduct{shape});
    for (size_t device = 0; device < devices.size(); ++device)
      product.flops_per_s += kernels::measure_rate(devices[device].gemm, shape.dtype, shape.rows, shape.in,
                                                   shape.out, kSecondsPerShape);
  }
  return measured;
}

double overall_rate(std::span<const MeasuredProduct> products) {
  double flops = 0, seconds = 0;
  for (const MeasuredProduct& product : products) {
    flops += product.shape.flops;
    seconds += product.shape.flops / product.flops_per_s;
  }
  return flops / seconds;
}

}  // namespace qsweep::sweep
