// The machine's own matrix rate on the products that a run is going to do, against which it is measured.
#pragma once

#include "schedule/work.h"
#include "sweep/setting.h"

namespace qsweep::sweep {

// The (at most five) shapes of linear ops in which the planned passes do most of their arithmetic.
std::vector<schedule::ProductShape> main_products(const Setting& setting,
                                                  std::span<const pass::Variant> variants,
                                                  const schedule::MemoryPlan& plan);

// The arithmetic of the planned passes, by the same rule, and the elements of all inputs and outputs of ops.
schedule::Amount amount_of(const Setting& setting, std::span<const pass::Variant> variants,
                           const schedule::MemoryPlan& plan);

struct MeasuredProduct {
  schedule::ProductShape shape;
  double flops_per_s = 0;
};
// Each shape by itself, with its rows as far as the memory of a pass goes; some 50 ms each on each device,
// whose rates are added up.
std::vector<MeasuredProduct> measure_rates(const schedule::Devices& devices,
                                           std::span<const schedule::ProductShape> shapes,
                                           const schedule::MemoryPlan& plan);
// Of all of them: their arithmetic over the time that it would take at these rates, FLOP/s.
double overall_rate(std::span<const MeasuredProduct> products);

}  // namespace qsweep::sweep
