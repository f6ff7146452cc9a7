#include "sweep/rate.h"

#include <algorithm>

namespace qsweep::sweep {
namespace {

constexpr size_t kShapes = 5;
constexpr double kSecondsPerShape = 0.05;
constexpr int64_t kMostRows = 4096;  // more make a product longer, not faster

// Rows whose operands are not more than a pass holds.
int64_t measured_rows(const schedule::ProductShape& shape, const schedule::MemoryPlan& plan) {
  const int64_t held_bytes = (plan.peak_bytes() - plan.base_bytes) / size_bytes(shape.dtype);
  const int64_t fitting = (held_bytes - shape.in * shape.out) / (shape.in + shape.out);
  return std::clamp<int64_t>(std::min(shape.rows, fitting), 1, kMostRows);
}

}  // namespace

std::vector<schedule::ProductShape> main_products(const Setting& setting,
                                                  std::span<const pass::Variant> variants,
                                                  const schedule::MemoryPlan& plan) {
  // Without bf16 products, those of bf16 run in f32.
  const bool native = setting.devices.first().gemm.native_bf16();
  schedule::Tally tally(setting.model, setting.data, variants, native ? setting.delta_dtype() : DType::f32);
  for (const schedule::Chunk& chunk : plan.chunks) tally.add(chunk.samples, chunk.variants);
  return tally.largest(kShapes);
}

schedule::Amount amount_of(const Setting& setting, std::span<const pass::Variant> variants,
                           const schedule::MemoryPlan& plan) {
  schedule::Tally tally(setting.model, setting.data, variants, setting.delta_dtype());
  for (const schedule::Chunk& chunk : plan.chunks) tally.add(chunk.samples, chunk.variants);
  return tally.amount();
}

std::vector<MeasuredProduct> measure_rates(const schedule::Devices& devices,
                                           std::span<const schedule::ProductShape> shapes,
                                           const schedule::MemoryPlan& plan) {
  std::vector<MeasuredProduct> measured;
  for (schedule::ProductShape shape : shapes) {
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
