#include "graph/linear_step.h"

#include <algorithm>

#include "graph/scratch.h"
#include "kernels/elementwise.h"
#include "ops/linear.h"

namespace qsweep::graph {
namespace {

using kernels::kAbsent;
using kernels::RowBlock;
using quant::Format;

// All rows of a matrix, each with the same row of the parent.
RowBlock whole(int64_t rows) { return {.rows = rows, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0}; }

// Q(W), or Q(W) - W.
Scratch quantized_weight(const LinearStep& step, const Format& format, quant::WeightPart part, DType dtype) {
  Scratch result(step.pass.workspace, dtype, step.op.out_features(), step.op.in_features());
  if (!step.pass.workspace.dry())
    quant::quantize_stored_weight(step.pass.ops.device(), format, part, step.weights.stored(),
                                  step.weight_range, result.view);
  return result;
}

// One op in one format, for all branches.
class FormatStep {
 public:
  FormatStep(const LinearStep& step, const Format* format)
      : step_(step),
        format_(format),
        dtype_(step.pass.ops.gemm.operand_dtype(step.delta_dtype)),
        by_codes_(format != nullptr && !step.op.cache && step.delta_dtype == DType::bf16 &&
                  step.pass.ops.gemm.multiplies_codes(step.op.in_features(), step.op.out_features()) &&
                  quant::has_integer_products(*format, step.op.in_features())) {}

  void run(BranchLinear& branch) {
    const bool is_parents = branch.format == format_;
    quantized_x_ = branch.x;
    if (changes_input() && needs_input(branch)) {
      input_ = Scratch(step_.pass.workspace, DType::f32, branch.x.rows, branch.x.cols);
      if (!dry()) quantize(branch.x, input_.f32());
      quantized_x_ = input_.f32();
    }
    if (is_parents && branch.y.data != nullptr && !branch.y_is_known) parent_output(branch);
    for (const LiveRun& run : branch.live)
      if (run.format == format_) live(branch, run);
    if (format_ != nullptr) errors(branch);
    input_ = {};
  }

 private:
  bool dry() const { return step_.pass.workspace.dry(); }
  kernels::Device device() const { return step_.pass.ops.device(); }
  bool is_cache() const { return step_.op.cache.has_value(); }
  bool changes_input() const { return format_ != nullptr && quant::quantizes_activations(*format_); }

  void quantize(Matrix<const float> x, Matrix<float> y) const {
    if (is_cache()) {
      quant::fake_quantize_cache(device(), *format_, step_.op.cache->head_dim, x, step_.range,
                                 step_.values_range, y);
    } else {
      quant::fake_quantize_input(device(), *format_, x, step_.range, y);
    }
  }

  // Made when first asked for, and kept for all branches.
  MatrixView weight(Scratch& part, quant::WeightPart which, DType dtype) {
    if (part.view.data == nullptr) part = quantized_weight(step_, *format_, which, dtype);
    return part.view;
  }
  MatrixView weight_error() { return weight(weight_error_, quant::WeightPart::error, dtype_); }
  // For values: a hundredth of them, but bf16 would move rounding decisions of what reads them.
  MatrixView exact_weight_error() {
    if (dtype_ == DType::f32) return weight_error();
    return weight(exact_weight_error_, quant::WeightPart::error, DType::f32);
  }
  MatrixView quantized() {
    return is_cache() ? MatrixView() : weight(quantized_, quant::WeightPart::quantized, dtype_);
  }
  MatrixView float_weight() const {
    return is_cache() ? MatrixView() : step_.weights.for_rows(step_.delta_dtype);
  }

  // Q(W) in codes, made when first asked for.
  struct Codes {
    Scratch codes, scale, sums;
  };
  const Codes& weight_codes() {
    if (weight_codes_.codes.view.data != nullptr) return weight_codes_;
    const int64_t out = step_.op.out_features();
    weight_codes_ = {.codes = Scratch(step_.pass.workspace, DType::i8, out, step_.op.in_features()),
                     .scale = Scratch(step_.pass.workspace, DType::f32, 1, out),
                     .sums = Scratch(step_.pass.workspace, DType::i32, 1, out)};
    if (!dry())
      quant::weight_codes(device(), *format_, step_.weights.stored(), step_.weight_range,
                          weight_codes_.codes.matrix<int8_t>(), weight_codes_.scale.elements<float>(),
                          weight_codes_.sums.elements<int32_t>());
    return weight_codes_;
  }

  // Q(x) Q(W)^T + b - minus, of integers.
  void product_of_codes(Matrix<const float> x, Matrix<const float> minus, Matrix<float> y) {
    count(x.rows);
    const Codes& w = weight_codes();
    kernels::Gemm& gemm = step_.pass.ops.gemm;
    const DType dtype = quant::input_code_dtype(*format_, gemm.takes_uint8());
    const Scratch codes(step_.pass.workspace, dtype, x.rows, x.cols);
    const Scratch scale(step_.pass.workspace, DType::f32, 1, x.rows);
    const Scratch sums(step_.pass.workspace, DType::i32, x.rows, step_.op.out_features());
    if (dry()) return;
    const std::optional<kernels::AffineQuantizer> affine =
        quant::input_codes(device(), *format_, x, step_.range, codes.view, scale.elements<float>());
    gemm.linear_codes(codes.view, w.codes.view, sums.view, kernels::GemmPurpose::deltas);
    kernels::dequantize(device(),
                        {.products = sums.matrix<int32_t>(),
                         .row_scale = affine ? nullptr : scale.f32().data,
                         .affine = affine.value_or(kernels::AffineQuantizer{}),
                         .affine_codes = dtype,
                         .column_scale = w.scale.f32().data,
                         .column_sum = w.sums.matrix<int32_t>().data,
                         .bias = step_.weights.bias()},
                        minus, y);
  }

  bool wants_error(const BranchLinear& b) const {
    const bool is_parents = b.format == format_;
    const auto differs = [&](const LiveRun& run) { return is_parents != (run.format == format_); };
    const auto forks = [&](const ForkRows& fork) { return is_parents || fork.format == format_; };
    return (is_parents && b.own_error.data != nullptr) ||
           std::any_of(b.live.begin(), b.live.end(), differs) ||
           std::any_of(b.forks.begin(), b.forks.end(), forks);
  }
  // Of a float parent, whose output is there: float comes first.
  bool error_by_codes(const BranchLinear& b) const {
    return by_codes_ && b.format == nullptr && b.y.data != nullptr;
  }
  // Not of a parent with leaves here: its value is made of the products that their errors are made of.
  bool value_by_codes(const BranchLinear& b) const { return by_codes_ && b.live.empty() && b.forks.empty(); }
  bool has_live(const BranchLinear& b) const {
    return std::any_of(b.live.begin(), b.live.end(),
                       [&](const LiveRun& run) { return run.format == format_; });
  }
  bool needs_input(const BranchLinear& b) const {
    const bool is_parents = b.format == format_;
    return (wants_error(b) && !error_by_codes(b)) || has_live(b) ||
           (is_parents && ((b.y.data != nullptr && !value_by_codes(b)) || !b.live.empty()));
  }

  // Q(x) W^T + Q(x) (Q(W) - W)^T.
  void parent_output(const BranchLinear& b) {
    if (is_cache()) {
      if (!dry()) kernels::convert(device(), quantized_x_, view_of(b.y));
      return;
    }
    if (value_by_codes(b)) return product_of_codes(b.x, {}, b.y);
    const MatrixView w = step_.weights.for_values(b.x.rows);
    if (!dry()) ops::linear::forward(step_.pass.ops, quantized_x_, w, step_.weights.bias(), b.y);
    if (format_ == nullptr) return;
    count(b.x.rows);
    product(view_of(quantized_x_), exact_weight_error(), view_of(b.y), /*accumulate=*/true);
  }

  // The product of a run of live pairs, to which errors that a change of format makes are added later.
  void live(const BranchLinear& b, const LiveRun& run) {
    const MatrixView dx = b.dx.rows_at(run.first_row, run.rows), dy = b.dy.rows_at(run.first_row, run.rows);
    QSWEEP_CHECK(b.format == nullptr || run.format == nullptr || run.format == b.format,
                 "{}: a live pair goes from one format to another", step_.op.name);
    if (run.format == nullptr) return product(dx, float_weight(), dy);
    if (!changes_input()) return product(dx, quantized(), dy);
    change_of_quantized(b, run);
  }

  // (Q(x + dx) - Q(x)) Q(W)^T, some pairs at a time.
  void change_of_quantized(const BranchLinear& b, const LiveRun& run) {
    const int64_t row_bytes = b.x.cols * (4 + size_bytes(dtype_));
    const int64_t most_rows = std::max<int64_t>(step_.pass.ops.tile_bytes / row_bytes, 1);
    for (size_t first = 0; first < run.blocks.size();) {
      size_t last = first;
      int64_t rows = 0;
      std::vector<RowBlock> blocks;
      for (; last < run.blocks.size() && (last == first || rows + run.blocks[last].rows <= most_rows);
           ++last) {
        blocks.push_back(run.blocks[last]);
        blocks.back().out = rows;
        rows += run.blocks[last].rows;
      }
      const Scratch changed = Scratch(step_.pass.workspace, DType::f32, rows, b.x.cols);
      const Scratch difference = Scratch(step_.pass.workspace, dtype_, rows, b.x.cols);
      if (!dry()) {
        kernels::add_to_parent(device(), blocks, b.x, b.dx, changed.view);
        quantize(changed.f32(), changed.f32());
        for (RowBlock& block : blocks) block.in[0] = block.out;
        kernels::subtract_parent(device(), blocks, changed.view, quantized_x_, difference.view);
      }
      product(difference.view, quantized(), b.dy.rows_at(run.blocks[first].out, rows));
      first = last;
    }
  }

  // E_f(x), and everything that it enters.
  void errors(BranchLinear& b) {
    if (!wants_error(b)) return;
    const int64_t rows = b.x.rows;
    const Scratch e = Scratch(step_.pass.workspace, DType::f32, rows, step_.op.out_features());
    error_by_codes(b) ? product_of_codes(b.x, b.y, e.f32()) : own_error(b, e.view);
    if (dry()) return;
    if (b.format == format_) {
      if (b.own_error.data != nullptr) kernels::convert(device(), e.f32(), view_of(b.own_error));
      for (const LiveRun& run : b.live)
        if (run.format != format_) subtract_error(b, run, e);
    } else {
      for (const LiveRun& run : b.live)
        if (run.format == format_) add_error(b, run, e);
    }
    std::shared_ptr<double> error_sse;
    if (step_.observe) {
      error_sse = std::make_shared<double>();
      sum_of_squares(step_.pass.workspace, e.f32().rows_at(0, b.own_rows),
                     [error_sse](double sum) { *error_sse = sum; });
    }
    for (const ForkRows& fork : b.forks) {
      if (fork.format == format_) {
        kernels::add_to_parent(device(), fork.blocks, e.f32(), {}, b.dy);
      } else if (b.format == format_) {
        kernels::subtract_parent(device(), fork.blocks, b.dy, e.f32(), b.dy);
      } else {
        continue;
      }
      if (step_.observe) observe(b, fork.leaf, error_sse);
    }
  }

  void own_error(const BranchLinear& b, MatrixView error) {
    if (is_cache()) {
      const RowBlock all = whole(b.x.rows);
      if (!dry()) kernels::subtract_parent(device(), {&all, 1}, input_.view, b.x, error);
      return;
    }
    if (changes_input()) {
      const Scratch difference = Scratch(step_.pass.workspace, dtype_, b.x.rows, b.x.cols);
      const RowBlock all = whole(b.x.rows);
      if (!dry()) kernels::subtract_parent(device(), {&all, 1}, input_.view, b.x, difference.view);
      product(difference.view, step_.weights.for_rows(step_.delta_dtype), error);
    }
    Scratch rounded(view_of(quantized_x_));
    if (dtype_ != DType::f32) {
      rounded = Scratch(step_.pass.workspace, dtype_, b.x.rows, b.x.cols);
      if (!dry()) kernels::convert(device(), quantized_x_, rounded.view);
    }
    product(rounded.view, weight_error(), error, changes_input());
  }

  // Blocks of results that are inputs too.
  static std::vector<RowBlock> in_place(std::vector<RowBlock> blocks) {
    for (RowBlock& block : blocks) block.in[0] = block.out;
    return blocks;
  }
  void add_error(const BranchLinear& b, const LiveRun& run, const Scratch& error) const {
    kernels::add_to_parent(device(), in_place(run.blocks), error.f32(), b.dy, b.dy);
  }
  void subtract_error(const BranchLinear& b, const LiveRun& run, const Scratch& error) const {
    kernels::subtract_parent(device(), in_place(run.blocks), b.dy, error.f32(), b.dy);
  }

  void product(MatrixView x, MatrixView w, MatrixView y, bool accumulate = false) const {
    if (is_cache()) return copy(x, y);
    count(x.rows);
    if (!dry()) ops::linear::delta(step_.pass.ops, x, w, y, accumulate);
  }
  void copy(MatrixView x, MatrixView y) const {
    if (dry()) return;
    const RowBlock all = whole(x.rows);
    if (x.dtype != y.dtype) return kernels::convert(device(), x.as<float>(), y);
    kernels::scale(device(), {&all, 1}, 1, x, y);
  }
  void count(int64_t rows) const {
    step_.flops += 2.0 * static_cast<double>(rows) * static_cast<double>(step_.op.weights());
  }

  void observe(BranchLinear& b, int leaf, const std::shared_ptr<double>& error_sse) const {
    Workspace& workspace = step_.pass.workspace;
    if (!b.stats) {
      b.stats = measure_input(workspace, b.x.rows_at(0, b.own_rows));
      if (b.y.data != nullptr)
        sum_of_squares(workspace, b.y.rows_at(0, b.own_rows),
                       [stats = b.stats](double sum) { stats->output_sse = sum; });
    }
    workspace.deferred().then([observe = step_.observe, leaf, stats = b.stats, error_sse] {
      scores::LocalStats all = *stats;
      all.error_sse = *error_sse;
      observe(leaf, all);
    });
  }

  const LinearStep& step_;
  const Format* format_;
  DType dtype_;                                // of operands that are made here
  bool by_codes_;                              // products of Q(x) and Q(W) are of integers
  Scratch quantized_;                          // Q(W), once it is needed
  Scratch weight_error_, exact_weight_error_;  // Q(W) - W, once it is needed
  Codes weight_codes_;                         // Q(W), once it is needed in integers
  Scratch input_;                              // Q(x) of the branch at hand, where it is not x
  Matrix<const float> quantized_x_;
};

// The formats in use at the op, float first.
std::vector<const Format*> formats_in_use(std::span<const BranchLinear> branches) {
  std::vector<const Format*> formats{nullptr};
  const auto use = [&](const Format* format) {
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) formats.push_back(format);
  };
  for (const BranchLinear& b : branches) {
    use(b.format);
    for (const LiveRun& run : b.live) use(run.format);
    for (const ForkRows& fork : b.forks) use(fork.format);
  }
  return formats;
}

}  // namespace

void run_linear_step(const LinearStep& step, std::span<BranchLinear> branches) {
  for (const Format* format : formats_in_use(branches)) {
    FormatStep with_format(step, format);
    for (BranchLinear& branch : branches) with_format.run(branch);
  }
}

void weight_error_sse(const LinearStep& step, const Format& format, std::function<void(double)> then) {
  const Scratch error = quantized_weight(step, format, quant::WeightPart::error, DType::f32);
  if (!step.pass.workspace.dry()) sum_of_squares(step.pass.workspace, error.f32(), std::move(then));
}

std::shared_ptr<scores::LocalStats> measure_input(Workspace& workspace, Matrix<const float> x) {
  auto stats = std::make_shared<scores::LocalStats>();
  if (x.empty()) return stats;
  stats->input_elements = x.rows * x.cols;
  stats->rows = x.rows;
  kernels::find_range(workspace.device(), x,
                      workspace.deferred().ask<quant::Range>([stats](const quant::Range& range) {
                        stats->input_min = range.min;
                        stats->input_max = range.max;
                      }));
  sum_of_squares(workspace, x, [stats](double sum) { stats->input_sum_squares = sum; });
  return stats;
}

void sum_of_squares(Workspace& workspace, Matrix<const float> x, std::function<void(double)> then) {
  kernels::squared_norm(workspace.device(), view_of(x), workspace.deferred().ask<double>(std::move(then)));
}

}  // namespace qsweep::graph
