// The machine's own matrix rate on the products that a run is going to do, against which it is measured.
#pragma once

#include "sweep/variant_run.h"

namespace qsweep::sweep {

// Products y = x W^T of one shape.
struct ProductShape {
  DType dtype = DType::f32;
  int64_t in = 0, out = 0;
  int64_t rows = 0;  // of x, on average over the arithmetic
  double flops = 0;  // in all of them
};

// The (at most five) shapes of linear ops in which the planned passes do most of their arithmetic. Rows are
// counted by the rule, not by a walk: every variant with all rows of a sample from the op behind its fork on.
std::vector<ProductShape> main_products(const Setting& setting, std::span<const pass::Variant> variants,
                                        const schedule::MemoryPlan& plan);

// The arithmetic of a share of the run, by the same rule: variants and their parents, the reference included.
double arithmetic(const models::Model& model, const std::vector<models::Sample>& data,
                  std::span<const pass::Variant> variants, const schedule::Share& share);

// The same of passes as they are planned, and the elements of all inputs and outputs of ops in them.
struct Amount {
  double flops = 0, elements = 0;
};
Amount amount_of(const Setting& setting, std::span<const pass::Variant> variants,
                 const schedule::MemoryPlan& plan);

struct MeasuredProduct {
  ProductShape shape;
  double flops_per_s = 0;
};
// Each shape by itself, with its rows as far as the memory of a pass goes; some 50 ms each on each device,
// whose rates are added up.
std::vector<MeasuredProduct> measure_rates(const schedule::Devices& devices,
                                           std::span<const ProductShape> shapes,
                                           const schedule::MemoryPlan& plan);
// Of all of them: their arithmetic over the time that it would take at these rates, FLOP/s.
double overall_rate(std::span<const MeasuredProduct> products);

}  // namespace qsweep::sweep
