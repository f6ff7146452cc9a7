// How much arithmetic passes are, by a rule and without a walk: every variant has all rows of a sample from
// the op behind its fork on.
#pragma once

#include <array>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "models/model.h"
#include "pass/variant.h"

namespace qsweep::schedule {

// Products y = x W^T of one shape.
struct ProductShape {
  DType dtype = DType::f32;
  int64_t in = 0, out = 0;
  int64_t rows = 0;  // of x, on average over the arithmetic
  double flops = 0;  // in all of them
};

// Floating-point operations of products, and the elements of all inputs and outputs of ops.
struct Amount {
  double flops = 0, elements = 0;
};

class Tally {
 public:
  // Of these variants over these samples of the data; all must outlive it.
  Tally(const models::Model& model, const std::vector<models::Sample>& data,
        std::span<const pass::Variant> variants, DType delta_dtype = DType::f32);

  // One pass: variants and their parents, the reference included.
  void add(const std::vector<int>& samples, const std::vector<pass::VariantId>& variants);

  Amount amount() const;
  // The shapes with most of the arithmetic, at most so many.
  std::vector<ProductShape> largest(size_t count) const;

 private:
  struct Sum {
    double flops = 0, weighted_rows = 0, elements = 0;
  };

  void add(DType dtype, size_t op, int64_t rows);

  const models::Model& model_;
  const std::vector<models::Sample>& data_;
  std::span<const pass::Variant> variants_;
  DType delta_dtype_;
  std::vector<graph::Rows> kinds_;  // per op
  std::map<std::tuple<DType, int64_t, int64_t>, Sum> sums_;
};

}  // namespace qsweep::schedule
