// Every op kind: the cotangents of its inputs against f64 derivatives of a naive forward. Random directions v
// of every input, <vjp(dy), v> = <dy, J v>, and element by element where that is affordable.
#include <cmath>

#include <gtest/gtest.h>

#include "ops/problem.h"
#include "support/compare.h"
#include "support/random.h"
#include "support/targets.h"

namespace qsweep::ops::testing {
namespace {

using qsweep::testing::all_targets;
using qsweep::testing::normal;
using qsweep::testing::OnTarget;
using qsweep::testing::relative_error;
using qsweep::testing::target_name;

constexpr int64_t kProbes = 3;
constexpr int kDirections = 6;            // per input and sample
constexpr int64_t kMaxOutputs = 1 << 20;  // that the element by element check computes per difference
constexpr int64_t kSpareRows = 2;         // behind the cotangents; must stay as they are

// A case with inputs and random cotangents of its output.
class VjpProblem {
 public:
  explicit VjpProblem(const OpCase& op)
      : op_(op), dy_(DType::f32, kProbes * op.total_rows(), op.output_cols(), NAN) {
    Rng rng(1);
    for (size_t i = 0; i < inputs(); ++i) {
      x_.emplace_back(DType::f32, input_rows(i), op.input_cols()[i], NAN);
      op.fill(rng, i, x_[i].f32());
    }
    // bf16 numbers, so that both dtypes start from the same cotangents.
    for (int64_t r = 0; r < dy_.rows(); ++r)
      for (int64_t c = 0; c < dy_.cols(); ++c)
        dy_.set(r, c, to_float(to_bf16(static_cast<float>(normal(rng)))));
  }

  size_t inputs() const { return op_.input_cols().size(); }
  size_t samples() const { return op_.sample_rows().size(); }
  int64_t input_rows(size_t input) const { return op_.first_input_row(input, samples()); }

  // The op's own cotangents of every input, into buffers full of kUntouched.
  std::vector<Buffer> cotangents(Place& place, DType dtype) {
    std::vector<Buffer> dx;
    for (size_t i = 0; i < inputs(); ++i)
      dx.emplace_back(dtype, kProbes * input_rows(i) + kSpareRows, x_[i].cols(), kUntouched);
    Buffer narrow = dy_.narrowed();
    const Place::Call at(place, op_.tile_bytes());
    std::vector<Matrix<const float>> x;
    std::vector<MatrixView> views;
    for (size_t i = 0; i < inputs(); ++i) {
      x.push_back(at.on(Matrix<const float>(x_[i].f32())));
      views.push_back(at.on(dx[i].view()).rows_at(0, kProbes * input_rows(i)));
    }
    op_.vjp(at, x, at.on(dtype == DType::f32 ? dy_.view() : narrow.view()), kProbes, views);
    return dx;
  }

  // d/dh f(x + h v) at h = 0 for one sample: central differences, of which Richardson's extrapolation takes
  // the error from h^2 to h^4. v: a direction of one input of that sample.
  Table derivative(size_t input, size_t sample, const Table& v) const {
    const double h = op_.step();
    const Table wide = difference(input, sample, v, h), near = difference(input, sample, v, h / 2);
    Table d(near.rows, near.cols);
    for (size_t i = 0; i < d.values.size(); ++i) d.values[i] = (4 * near.values[i] - wide.values[i]) / 3;
    return d;
  }

  // <dy, d> of one row of a sample.
  double row_product(int64_t probe, size_t sample, int64_t row, const Table& d) const {
    double sum = 0;
    for (int64_t c = 0; c < d.cols; ++c)
      sum += static_cast<double>(dy_.at(probe * op_.total_rows() + op_.first_row(sample) + row, c)) *
             d.row(row)[c];
    return sum;
  }
  double product(int64_t probe, size_t sample, const Table& d) const {
    double sum = 0;
    for (int64_t r = 0; r < d.rows; ++r) sum += row_product(probe, sample, r, d);
    return sum;
  }

  Matrix<const float> sample_input(size_t input, size_t sample) {
    return x_[input].f32().rows_at(op_.first_input_row(input, sample), op_.input_rows(input, sample));
  }
  // Where a sample's row stands in the cotangents of an input.
  int64_t row_of(size_t input, int64_t probe, size_t sample, int64_t row) const {
    return probe * input_rows(input) + op_.first_input_row(input, sample) + row;
  }

 private:
  Table difference(size_t input, size_t sample, const Table& v, double h) const {
    const auto at = [&](double step) {
      std::vector<Table> x;
      for (size_t i = 0; i < inputs(); ++i) {
        x.emplace_back(op_.input_rows(i, sample), op_.input_cols()[i]);
        for (int64_t r = 0; r < x[i].rows; ++r)
          for (int64_t c = 0; c < x[i].cols; ++c)
            x[i].row(r)[c] = static_cast<double>(x_[i].at(op_.first_input_row(i, sample) + r, c)) +
                             (i == input ? step * v.row(r)[c] : 0);
      }
      return op_.naive(sample, x);
    };
    Table d = at(h);
    const Table back = at(-h);
    for (size_t i = 0; i < d.values.size(); ++i) d.values[i] = (d.values[i] - back.values[i]) / (2 * h);
    return d;
  }

  const OpCase& op_;
  std::vector<Buffer> x_;
  Buffer dy_;
};

// Random directions as large as the rows, with <dy, J v> of every probe.
struct Direction {
  size_t sample = 0;
  Table v;
  std::vector<double> want;
};

std::vector<Direction> directions(const OpCase& op, VjpProblem& problem, size_t input) {
  std::vector<Direction> all;
  Rng rng(2);
  for (size_t s = 0; s < problem.samples(); ++s)
    for (int k = 0; k < kDirections; ++k) {
      const Matrix<const float> x = problem.sample_input(input, s);
      Tensor v(DType::f32, {x.rows, x.cols});
      op.OpCase::perturb(rng, input, x, 1, v.matrix<float>());
      Direction d{s, Table(x.rows, x.cols), {}};
      std::ranges::copy(v.as<float>(), d.v.values.begin());
      const Table derivative = problem.derivative(input, s, d.v);
      for (int64_t p = 0; p < kProbes; ++p) d.want.push_back(problem.product(p, s, derivative));
      all.push_back(std::move(d));
    }
  return all;
}

// |got - want| / |want| over the inner products with all directions: an estimate of the cotangents' own
// relative error, because random directions weigh every element alike.
double direction_error(const VjpProblem& problem, size_t input, const Buffer& dx,
                       const std::vector<Direction>& all) {
  std::vector<double> got, want;
  for (const Direction& d : all)
    for (int64_t p = 0; p < kProbes; ++p) {
      double sum = 0;
      for (int64_t r = 0; r < d.v.rows; ++r)
        for (int64_t c = 0; c < d.v.cols; ++c)
          sum += static_cast<double>(dx.at(problem.row_of(input, p, d.sample, r), c)) * d.v.row(r)[c];
      got.push_back(sum);
      want.push_back(d.want[static_cast<size_t>(p)]);
    }
  return relative_error(std::span<const double>(got), std::span<const double>(want));
}

// Nothing behind the columns or the rows is written.
bool surroundings_untouched(const Buffer& dx) {
  for (int64_t r = 0; r < dx.rows(); ++r)
    for (int64_t c = r < dx.rows() - kSpareRows ? dx.cols() : 0; c < dx.stride(); ++c)
      if (!(dx.at(r, c) == kUntouched)) return false;
  return true;
}

bool every_element_is_affordable(const OpCase& op, size_t input) {
  const int64_t rows = op.row_wise() ? 1 : op.first_input_row(input, op.sample_rows().size());
  return rows * op.input_cols()[input] * op.total_rows() * op.output_cols() <= kMaxOutputs;
}

// Every element's derivative of <dy, f>, in the order of the cotangents: one element at a time, or one column
// at a time where rows do not mix.
std::vector<double> exact_elements(const OpCase& op, VjpProblem& problem, size_t input) {
  const int64_t cols = op.input_cols()[input];
  std::vector<double> want(static_cast<size_t>(kProbes * problem.input_rows(input) * cols), NAN);
  const auto at = [&](int64_t p, size_t s, int64_t r, int64_t c) -> double& {
    return want[static_cast<size_t>(problem.row_of(input, p, s, r) * cols + c)];
  };
  for (size_t s = 0; s < problem.samples(); ++s) {
    const int64_t rows = op.input_rows(input, s);
    const Matrix<const float> x = problem.sample_input(input, s);
    for (int64_t c = 0; c < cols; ++c)
      for (int64_t first = 0; first < rows; first += op.row_wise() ? rows : 1) {
        Table v(rows, cols);
        std::vector<double> size(static_cast<size_t>(rows));  // of the step, as large as the row
        for (int64_t r = first; r < (op.row_wise() ? rows : first + 1); ++r) {
          for (int64_t i = 0; i < cols; ++i)
            size[static_cast<size_t>(r)] += std::pow(static_cast<double>(x.row(r)[i]), 2);
          v.row(r)[c] = size[static_cast<size_t>(r)] =
              std::sqrt(size[static_cast<size_t>(r)] / static_cast<double>(cols));
        }
        const Table d = problem.derivative(input, s, v);
        for (int64_t p = 0; p < kProbes; ++p) {
          if (!op.row_wise())
            at(p, s, first, c) = problem.product(p, s, d) / size[static_cast<size_t>(first)];
          for (int64_t r = 0; op.row_wise() && r < rows; ++r)
            at(p, s, r, c) = problem.row_product(p, s, r, d) / size[static_cast<size_t>(r)];
        }
      }
  }
  return want;
}

Cases vjp_cases() {
  Cases cases = all_cases();
  std::erase_if(cases, [](const CasePtr& op) { return !op->has_vjp(); });
  return cases;
}

class VjpTest : public ::testing::TestWithParam<CasePtr> {};

INSTANTIATE_TEST_SUITE_P(, VjpTest, ::testing::ValuesIn(vjp_cases()),
                         [](const auto& test) { return test.param->name(); });

TEST_P(VjpTest, MatchesF64Derivatives) {
  const OpCase& op = *GetParam();
  VjpProblem problem(op);
  Place cpu(Threads{1});
  for (size_t i = 0; i < problem.inputs(); ++i) {
    const std::vector<Direction> all = directions(op, problem, i);
    std::vector<double> elements;
    if (every_element_is_affordable(op, i)) elements = exact_elements(op, problem, i);
    for (const int64_t target : all_targets()) {
      const OnTarget on(target);
      const Buffer dx = std::move(problem.cotangents(cpu, DType::f32)[i]);
      const std::string what = target_name(target) + ", input " + std::to_string(i) + ": ";
      EXPECT_TRUE(surroundings_untouched(dx)) << what;
      const double error = direction_error(problem, i, dx, all);
      EXPECT_TRUE(error <= op.vjp_bound()) << what << error;
      if (elements.empty()) continue;
      const std::vector<float> got = dx.rows_at(0, dx.rows() - kSpareRows);
      const double of_elements =
          relative_error(std::span<const float>(got), std::span<const double>(elements));
      EXPECT_TRUE(of_elements <= op.vjp_bound()) << what << "element by element: " << of_elements;
    }
  }
}

TEST_P(VjpTest, Bf16IsTheRoundedF32) {
  const OpCase& op = *GetParam();
  VjpProblem problem(op);
  Place cpu(Threads{1});
  const std::vector<Buffer> f32 = problem.cotangents(cpu, DType::f32);
  for (const auto products : {kernels::LowPrecision::always, kernels::LowPrecision::never}) {
    Place narrow(Threads{1}, products);
    const std::vector<Buffer> bf16 = problem.cotangents(narrow, DType::bf16);
    for (size_t i = 0; i < problem.inputs(); ++i) {
      const int64_t rows = f32[i].rows() - kSpareRows;
      const std::vector<float> got = bf16[i].rows_at(0, rows), want = f32[i].rows_at(0, rows);
      const double error = relative_error(std::span<const float>(got), std::span<const float>(want));
      EXPECT_TRUE(error <= op.bf16_vjp_bound())
          << (narrow.gemm().native_bf16() ? "native" : "widened") << ", input " << i << ": " << error;
      EXPECT_TRUE(surroundings_untouched(bf16[i])) << i;
    }
  }
}

// Row kernels do not depend on the number of threads; products may sum in another order.
TEST_P(VjpTest, ThreadsDoNotChangeIt) {
  const OpCase& op = *GetParam();
  VjpProblem problem(op);
  Place one(Threads{1}), three(Threads{3});
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const std::vector<Buffer> a = problem.cotangents(one, dtype), b = problem.cotangents(three, dtype);
    const bool products = one.gemm().count(kernels::GemmPurpose::cotangents).calls > 0;
    const double bound = dtype == DType::f32 ? op.vjp_bound() : op.bf16_vjp_bound();
    for (size_t i = 0; i < problem.inputs(); ++i) {
      const std::vector<float> x = a[i].rows_at(0, a[i].rows()), y = b[i].rows_at(0, b[i].rows());
      const double error = relative_error(std::span<const float>(y), std::span<const float>(x));
      EXPECT_TRUE(error <= (products ? bound : 0)) << name(dtype) << ", input " << i << ": " << error;
    }
  }
}

class CudaVjpTest : public VjpTest {
 protected:
  void SetUp() override {
    if (kernels::Runner::gpus() == 0) GTEST_SKIP() << "no GPU, or a build without CUDA";
  }
};
INSTANTIATE_TEST_SUITE_P(, CudaVjpTest, ::testing::ValuesIn(vjp_cases()),
                         [](const auto& test) { return test.param->name(); });

TEST_P(CudaVjpTest, MatchesF64Derivatives) {
  const OpCase& op = *GetParam();
  VjpProblem problem(op);
  Place gpu(Place::Gpu{});
  const std::vector<Buffer> wide = problem.cotangents(gpu, DType::f32),
                            narrow = problem.cotangents(gpu, DType::bf16);
  for (size_t i = 0; i < problem.inputs(); ++i) {
    const double error = direction_error(problem, i, wide[i], directions(op, problem, i));
    EXPECT_TRUE(error <= op.vjp_bound()) << "input " << i << ": " << error;
    const std::vector<float> got = narrow[i].rows_at(0, narrow[i].rows() - kSpareRows),
                             want = wide[i].rows_at(0, wide[i].rows() - kSpareRows);
    const double rounding = relative_error(std::span<const float>(got), std::span<const float>(want));
    EXPECT_TRUE(rounding <= op.bf16_vjp_bound()) << "input " << i << ", bf16: " << rounding;
    EXPECT_TRUE(surroundings_untouched(wide[i]) && surroundings_untouched(narrow[i])) << i;
  }
}

}  // namespace
}  // namespace qsweep::ops::testing
