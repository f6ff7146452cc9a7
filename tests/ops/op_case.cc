#include "ops/op_case.h"

#include <cmath>

#include "support/random.h"

namespace qsweep::ops::testing {

void OpCase::fill(Rng& rng, size_t /*input*/, Matrix<float> x) const {
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t c = 0; c < x.cols; ++c) x.row(r)[c] = static_cast<float>(qsweep::testing::normal(rng));
}

void OpCase::perturb(Rng& rng, size_t /*input*/, Matrix<const float> x, double size, Matrix<float> d) const {
  for (int64_t r = 0; r < x.rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < x.cols; ++c) squares += static_cast<double>(x.row(r)[c]) * x.row(r)[c];
    const double scale = size * std::sqrt(squares / static_cast<double>(x.cols));
    for (int64_t c = 0; c < x.cols; ++c)
      d.row(r)[c] = static_cast<float>(scale * qsweep::testing::normal(rng));
  }
}

int64_t OpCase::first_row(size_t sample) const {
  int64_t first = 0;
  for (size_t s = 0; s < sample; ++s) first += sample_rows()[s];
  return first;
}

int64_t OpCase::first_input_row(size_t input, size_t sample) const {
  int64_t first = 0;
  for (size_t s = 0; s < sample; ++s) first += input_rows(input, s);
  return first;
}

void multiply_all(Matrix<float> x, float factor) {
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t c = 0; c < x.cols; ++c) x.row(r)[c] *= factor;
}

Cases all_cases() {
  Cases cases;
  add_linear_cases(cases);
  add_row_cases(cases);
  add_norm_cases(cases);
  add_activation_cases(cases);
  add_index_cases(cases);
  add_attention_cases(cases);
  add_sequence_cases(cases);
  return cases;
}

}  // namespace qsweep::ops::testing
