// How much arithmetic passes are, by a rule and without a walk: every variant has all rows of a sample from
// the op behind its fork on. Of a mixture of experts each op has its part of the rows, the same of all, and a
// variant that forks at an expert is at no other of the mixture.
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

  struct Place {  // of an op
    graph::Rows kind;
    double share = 1;              // of the rows
    int mixture = -1, expert = 0;  // -1: of none
  };
  // Leaves that are live, by the kind of rows that they forked on: before the mixture at hand, at its expert
  // at hand, and at its other ones.
  struct Live {
    std::array<int64_t, graph::kRowKinds> before{}, here{}, beside{};
    int mixture = -1, expert = 0;

    void reach(const Place& place);
  };

  void add(DType dtype, size_t op, double rows);

  const models::Model& model_;
  const std::vector<models::Sample>& data_;
  std::span<const pass::Variant> variants_;
  DType delta_dtype_;
  std::vector<Place> places_;  // per op
  std::map<std::tuple<DType, int64_t, int64_t>, Sum> sums_;
};

}  // namespace qsweep::schedule
