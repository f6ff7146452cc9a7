#include "pass/head.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "base/trace.h"
#include "graph/scratch.h"
#include "kernels/probes.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "pass/head_sketch.h"
#include "pass/row_metrics.h"
#include "pass/token_rows.h"

namespace qsweep::pass {
namespace {

using graph::Rows;
using graph::Scratch;
using kernels::kAbsent;
using kernels::LogitsSums;
using kernels::RowBlock;

struct Pair {
  VariantId variant;
  int64_t sample = 0;
};

// Variants whose change of the logits one matrix holds, pair by pair.
struct Group {
  std::vector<Pair> pairs;
  std::vector<RowBlock> blocks;  // per pair: its rows in the matrix (in[0]) and among the sums (out)
  int64_t rows = 0;

  // `block` has the pair's rows and its parent's.
  void add(Pair pair, RowBlock block, int64_t first_sum) {
    block.in = {rows, kAbsent, kAbsent};
    block.out = first_sum + rows;
    rows += block.rows;
    pairs.push_back(pair);
    blocks.push_back(block);
  }
};

// The same rows as inputs and as results.
std::vector<RowBlock> in_place(std::span<const RowBlock> blocks) {
  std::vector<RowBlock> same(blocks.begin(), blocks.end());
  for (RowBlock& block : same) block.out = block.in[0];
  return same;
}

// One parent at the head.
struct HeadBranch {
  VariantId variant = kReference;
  const quant::Format* format = nullptr;  // of lm_head
  graph::Value hidden;
  graph::Delta hidden_delta;  // of the leaves
  Scratch change;             // of the hidden state from the reference's; the reference itself has none
  std::vector<graph::LiveRun> live;
  std::vector<graph::ForkRows> forks;
  std::vector<VariantId> leaf_ids;
  Group leaves;   // live pairs, then every fork's
  Group self;     // the parent itself; empty for the reference
  Group squared;  // in place of leaves: live pairs of which only the squared errors are wanted
  size_t live_pairs = 0;

  bool is_reference() const { return variant == kReference; }
  // Rows of hidden_delta whose logits are looked at.
  int64_t live_rows() const { return hidden_delta.empty() || squared.rows > 0 ? 0 : hidden_delta.view.rows; }
  std::span<const RowBlock> live_blocks() const { return {leaves.blocks.data(), live_pairs}; }
};

// One call of score_head, step by step.
class Scoring {
 public:
  Scoring(const PassInput& input, const graph::Pass& pass, graph::Variants& variants,
          const std::vector<VariantId>& carried)
      : input_(input),
        pass_(pass),
        tiles_(input.setting.model, pass),
        rows_(token_rows(input.setting.samples)),
        target_(pass.ops.device(), std::span<const int32_t>(rows_.target)),
        normalizer_(pass.ops.device(), rows_.target.size()),
        ranges_(variants.ranges()) {
    for (size_t b = 0; b < carried.size(); ++b) branches_.push_back(take_branch(variants, b, carried[b]));
    lists_ = pass.workspace.hold(list_bytes());
    sum_storage_ = Scratch(pass.workspace, DType::u8, sum_rows_, sizeof(LogitsSums));
    sums_ = {static_cast<LogitsSums*>(sum_storage_.view.data), static_cast<size_t>(sum_rows_)};
    sketch_.emplace(input, pass, rows_, branches_.front().leaves.rows);
  }

  double run(const PassSinks& sinks) {
    if (!dry()) begin_sums();
    weight_range_ = tiles_.normalize(hidden(), formats(), normalizer_.for_kernels());
    set_shifts();
    tiles_.each([&](const HeadTile& tile) { score_tile(tile); });
    flops_ *= tiles_.scale();
    for (const HeadBranch& b : branches_)
      if (b.squared.rows > 0) square(b);
    if (sketch_->wanted() && sketch_->of_hidden() && branches_.front().live_rows() > 0)
      sketch_->add_hidden(branches_.front().live_blocks(), hidden(), normalizer_.for_kernels(),
                          branches_.front().hidden_delta.view);
    if (dry()) return flops_;
    pass_.workspace.deferred().settle();
    report(sinks);
    return flops_;
  }

 private:
  kernels::Device device() const { return pass_.ops.device(); }
  bool dry() const { return pass_.workspace.dry(); }
  int head_op() const { return input_.setting.head_op(); }
  Matrix<const float> hidden() const { return branches_.front().hidden.matrix; }

  RowBlock sample_rows(int64_t sample) const {
    return {.rows = pass_.batch.rows(Rows::tokens, sample),
            .parent = pass_.batch.first_row(Rows::tokens, sample)};
  }

  HeadBranch take_branch(graph::Variants& variants, size_t b, VariantId variant) {
    HeadBranch branch{.variant = variant,
                      .format = variants.branch(b).formats.back(),
                      .hidden = variants.take_value(b, "hidden"),
                      .hidden_delta = variants.take_delta(b, "hidden")};
    const auto& leaves = variants.branch(b).leaves;
    for (const graph::Leaf& leaf : leaves) branch.leaf_ids.push_back(VariantId{leaf.id});
    const int64_t live_rows = branch.live_rows();
    branch.live = variants.live_runs(b, head_op(), branch.hidden_delta);
    const bool in_float = std::ranges::all_of(branch.live, [](auto& run) { return run.format == nullptr; });
    const bool by_gram = input_.squared_errors_alone && input_.sketch.width == 0 && branch.is_reference() &&
                         in_float && live_rows > branch.hidden_delta.view.cols;
    if (by_gram) branch.live.clear();
    Group& group = by_gram ? branch.squared : branch.leaves;
    const auto live = graph::row_blocks(pass_.batch, variants.pairs(b), branch.hidden_delta, {});
    size_t places = 0;
    for (const graph::PairRange& range : branch.hidden_delta.ranges)
      for (int64_t i = range.first; i < range.last; ++i) {
        const auto [leaf, sample] = variants.pairs(b)[i];
        group.add({branch.leaf_ids[static_cast<size_t>(leaf)], sample}, live[places++], sum_rows_);
      }
    branch.live_pairs = branch.leaves.pairs.size();
    sum_rows_ += branch.squared.rows;
    for (const auto& [leaf, sample] : variants.forks(b, head_op(), Rows::tokens, branch.hidden_delta)) {
      const int id = leaves[leaf].id;
      if (branch.forks.empty() || branch.forks.back().leaf != id)
        branch.forks.push_back({.leaf = id, .format = variants.format_at(b, leaf, head_op())});
      graph::ForkRows& fork = branch.forks.back();
      fork.blocks.push_back(sample_rows(sample));
      fork.blocks.back().out = branch.leaves.rows;
      branch.leaves.add({VariantId{id}, sample}, sample_rows(sample), sum_rows_);
    }
    sum_rows_ += branch.leaves.rows;
    if (branch.is_reference()) return branch;
    for (int64_t sample = 0; sample < pass_.batch.samples(); ++sample)
      branch.self.add({variant, sample}, sample_rows(sample), sum_rows_);
    sum_rows_ += branch.self.rows;
    branch.change =
        Scratch(pass_.workspace, DType::f32, branch.hidden.matrix.rows, branch.hidden.matrix.cols);
    if (!dry())
      kernels::subtract_parent(device(), in_place(branch.self.blocks), view_of(branch.hidden.matrix),
                               hidden(), branch.change.view);
    return branch;
  }

  std::vector<const quant::Format*> formats() const {
    std::vector<const quant::Format*> used;
    for (const HeadBranch& b : branches_) {
      used.push_back(b.format);
      for (const graph::LiveRun& run : b.live) used.push_back(run.format);
      for (const graph::ForkRows& fork : b.forks) used.push_back(fork.format);
    }
    return used;
  }

  void begin_sums() {
    const std::vector<LogitsSums> none(std::min<size_t>(sums_.size(), 1024));
    for (size_t first = 0; first < sums_.size(); first += none.size()) {
      const std::span<LogitsSums> piece = sums_.subspan(first, std::min(none.size(), sums_.size() - first));
      kernels::copy_to_device(device(), piece.data(), none.data(), static_cast<int64_t>(piece.size_bytes()));
    }
  }

  // The change of the logit that the reference finds most likely is taken out of its whole row.
  void set_shifts() {
    const TensorView all_rows = tiles_.rows(0, tiles_.columns());
    const Scratch direction(pass_.workspace, DType::f32, hidden().rows, hidden().cols);
    pass_.workspace.pass_through(ops::embedding::scratch_bytes(pass_.ops, hidden().rows, all_rows));
    if (dry()) return;
    std::vector<int32_t> columns;
    for (const kernels::LogitsNormalizer& row : normalizer_.for_host())
      columns.push_back(static_cast<int32_t>(row.argmax));
    ops::embedding::forward(pass_.ops, columns, all_rows, direction.matrix<float>());
    input_.setting.model.checkpoint.release(all_rows);
    const Matrix<const float> along = direction.matrix<float>();
    for (const HeadBranch& b : branches_) {
      if (b.live_rows() > 0)
        kernels::shift_along(device(), b.live_blocks(), along, b.hidden_delta.view, sums_);
      if (b.is_reference()) continue;
      kernels::shift_along(device(), b.self.blocks, along, b.change.view, sums_);
      if (b.leaves.rows == 0) continue;
      kernels::HostCopy sums(device(), sums_);
      const auto at = [&](int64_t row) -> LogitsSums& { return sums.elements()[static_cast<size_t>(row)]; };
      const int64_t first_self = b.self.blocks.front().out;
      for (const RowBlock& block : b.leaves.blocks)
        for (int64_t r = 0; r < block.rows; ++r)
          at(block.out + r).shift += at(first_self + block.parent + r).shift;
      sums.write_back();
    }
  }

  // What one branch's matrices of a tile are: the changes of its leaves and of itself, [rows, columns].
  struct TileChanges {
    Scratch leaves, self;
  };

  void score_tile(const HeadTile& tile) {
    for (const HeadBranch& b : branches_)
      if (b.squared.rows > 0) add_gram(tile);
    const int64_t cols = tile.op.out_features();
    const Scratch logits(pass_.workspace, DType::f32, hidden().rows, cols);
    const Scratch p(pass_.workspace, DType::f64, hidden().rows, cols);
    std::vector<TileChanges> changes;
    std::vector<graph::BranchLinear> at_op;
    for (const HeadBranch& b : branches_) {
      TileChanges& c = changes.emplace_back();
      if (b.leaves.rows > 0) c.leaves = Scratch(pass_.workspace, DType::f32, b.leaves.rows, cols);
      if (!b.is_reference()) c.self = Scratch(pass_.workspace, DType::f32, hidden().rows, cols);
      at_op.push_back({.format = b.format,
                       .x = b.hidden.matrix,
                       .y = b.is_reference() ? logits.matrix<float>() : Matrix<float>(),
                       .own_error = b.format == nullptr ? Matrix<float>() : c.self.matrix<float>(),
                       .dx = b.live_rows() > 0 ? b.hidden_delta.view : MatrixView{},
                       .dy = c.leaves.view,
                       .live = b.live,
                       .forks = b.forks,
                       .stats = std::make_shared<scores::LocalStats>()});
    }
    const graph::ForkObserver observe = [this](int leaf, const scores::LocalStats& stats) {
      error_sse_[leaf] += stats.error_sse;
    };
    graph::run_linear_step({.pass = pass_,
                            .op = tile.op,
                            .weights = tile.weights,
                            .delta_dtype = input_.setting.dtype,
                            .range = ranges_.of(head_op()),
                            .weight_range = static_cast<const quant::Range*>(weight_range_.data()),
                            .observe = observe,
                            .flops = flops_},
                           at_op);
    const auto has_forks = [](const HeadBranch& b) { return !b.forks.empty(); };
    if (!dry() && std::ranges::any_of(branches_, has_forks))
      graph::sum_of_squares(pass_.workspace, logits.matrix<float>(),
                            [this](double sum) { output_sse_ += sum; });
    if (!dry())
      kernels::probabilities(device(), logits.matrix<float>(), normalizer_.for_kernels(), p.matrix<double>());
    for (size_t b = 0; b < branches_.size(); ++b)
      accumulate(tile, branches_[b], changes[b], logits.matrix<float>(), p.matrix<double>());
  }

  void accumulate(const HeadTile& tile, const HeadBranch& b, const TileChanges& changes,
                  Matrix<const float> logits, Matrix<const double> p) {
    const auto add = [&](const Group& group, const Scratch& d) {
      kernels::accumulate_logits(device(), group.blocks, logits, p, d.matrix<float>(), tile.first,
                                 target_.elements(), sums_);
    };
    if (!b.is_reference()) {
      flops_ += 2.0 * static_cast<double>(tile.op.weight.elements()) * static_cast<double>(hidden().rows);
      const MatrixView w = tile.weights.for_rows(DType::f32);
      if (dry()) return;
      ops::linear::delta(pass_.ops, b.change.view, w, changes.self.view,
                         /*accumulate=*/b.format != nullptr);
      add(b.self, changes.self);
    }
    if (b.leaves.rows == 0) return;
    if (b.is_reference() && sketch_->wanted() && !sketch_->of_hidden())
      sketch_->add(tile, b.leaves.blocks, logits, normalizer_.for_kernels(), changes.leaves.matrix<float>(),
                   sums_);
    if (dry()) return;
    if (!b.is_reference()) {
      kernels::add_to_parent(device(), in_place(b.leaves.blocks), changes.self.matrix<float>(),
                             changes.leaves.view, changes.leaves.view);
    }
    add(b.leaves, changes.leaves);
  }

  // The rows' |W d|^2 = d (W^T W) d, for far fewer products than W d has where there are more rows than
  // elements in one: the Gram form.
  void square(const HeadBranch& b) {
    const int64_t in = hidden().cols, rows = b.squared.rows;
    const double elements = static_cast<double>(in) * static_cast<double>(in);
    flops_ += 2 * elements * static_cast<double>(rows);
    constexpr int64_t kPieceRows = 2048;
    const Scratch d(pass_.workspace, DType::f32, std::min(rows, kPieceRows), in);
    const Scratch product(pass_.workspace, DType::f32, d.view.rows, in);
    if (dry()) return;
    kernels::SharedList<double> squares(device(), static_cast<size_t>(rows));
    for (int64_t first = 0; first < rows; first += kPieceRows) {
      const int64_t count = std::min(kPieceRows, rows - first);
      const MatrixView piece = d.view.rows_at(0, count), along = product.view.rows_at(0, count);
      kernels::to_f32(device(), dense(b.hidden_delta.view.rows_at(first, count)), d.f32().rows_at(0, count));
      pass_.ops.gemm.multiply(kernels::operand(piece), kernels::operand(gram_.view), kernels::operand(along),
                              {.purpose = kernels::GemmPurpose::deltas});
      kernels::row_products(
          device(), piece, product.f32().rows_at(0, count),
          squares.for_kernels().subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    }
    kernels::HostCopy sums(device(), sums_);
    for (const RowBlock& block : b.squared.blocks)
      for (int64_t r = 0; r < block.rows; ++r)
        sums.elements()[static_cast<size_t>(block.out + r)].squared =
            squares.for_host()[static_cast<size_t>(block.in[0] + r)];
    sums.write_back();
  }

  // W^T W of a tile, added to the whole.
  void add_gram(const HeadTile& tile) {
    const int64_t in = hidden().cols;
    flops_ += 2.0 * static_cast<double>(tile.op.weight.elements()) * static_cast<double>(in);
    const MatrixView w = tile.weights.for_rows(input_.setting.dtype);
    if (gram_.view.data == nullptr) {
      gram_ = Scratch(pass_.workspace, DType::f32, in, in);
      if (!dry()) kernels::clear(device(), gram_.view.data, in * in * int64_t{sizeof(float)});
    }
    if (dry()) return;
    pass_.ops.gemm.multiply(kernels::operand(w, /*transposed=*/true), kernels::operand(w),
                            kernels::operand(gram_.view),
                            {.accumulate = true, .purpose = kernels::GemmPurpose::deltas});
  }

  static TensorView dense(const MatrixView& m) {
    QSWEEP_CHECK(m.stride == m.cols, "rows {} apart", m.stride);
    return {m.dtype, {m.rows, m.cols}, static_cast<const std::byte*>(m.data)};
  }

  // Squared change of the hidden state from the reference's, per row of the branch's leaves.
  std::vector<double> leaves_hidden_sse(const HeadBranch& b, std::span<const double> self) const {
    kernels::SharedList<double> list(device(), static_cast<size_t>(b.leaves.rows));
    if (b.live_rows() > 0) {
      Scratch sum;
      MatrixView total = b.hidden_delta.view;
      if (!b.is_reference()) {
        sum = Scratch(pass_.workspace, DType::f32, b.live_rows(), hidden().cols);
        kernels::add_to_parent(device(), in_place(b.live_blocks()), b.change.matrix<float>(),
                               b.hidden_delta.view, sum.view);
        total = sum.view;
      }
      kernels::row_squared_norm(device(), total,
                                list.for_kernels().first(static_cast<size_t>(b.live_rows())));
    }
    std::vector<double> sse = std::move(list).take();
    for (size_t i = b.live_pairs; i < b.leaves.blocks.size() && !self.empty(); ++i) {
      const RowBlock& block = b.leaves.blocks[i];
      std::copy_n(self.begin() + block.parent, block.rows, sse.begin() + block.in[0]);
    }
    return sse;
  }

  std::vector<double> squared_norms(const MatrixView& m) const {
    kernels::SharedList<double> norms(device(), static_cast<size_t>(m.rows));
    if (m.rows > 0) kernels::row_squared_norm(device(), m, norms.for_kernels());
    return std::move(norms).take();
  }

  void report(const PassSinks& sinks) {
    const kernels::HostCopy copy(device(), sums_);
    sums_ = copy.elements();
    for (const HeadBranch& b : branches_) {
      const std::vector<double> self = squared_norms(b.change.view);
      const std::vector<double> leaves = leaves_hidden_sse(b, self);
      // A leaf that no row of a sample reaches does there what its parent does.
      totals(b.self, self, [&](Pair pair, const scores::ScopedSums& total) {
        sinks.metrics(pair.variant, pair.sample, total);
        for (const VariantId leaf : b.leaf_ids) sinks.metrics(leaf, pair.sample, total);
      });
      const auto tell = [&](Pair pair, const scores::ScopedSums& total) {
        sinks.metrics(pair.variant, pair.sample, total);
      };
      totals(b.leaves, leaves, tell);
      if (b.is_reference() && sketch_->wanted()) tell_sketches(b, sinks);
      if (b.squared.rows > 0) totals(b.squared, squared_norms(b.hidden_delta.view), tell);
      if (b.forks.empty()) continue;
      const std::shared_ptr<scores::LocalStats> stats =
          graph::measure_input(pass_.workspace, b.hidden.matrix);
      pass_.workspace.deferred().settle();
      for (const graph::ForkRows& fork : b.forks) {
        stats->error_sse = error_sse_[fork.leaf];
        stats->output_sse = output_sse_;
        sinks.local(VariantId{fork.leaf}, *stats);
      }
    }
  }

  void tell_sketches(const HeadBranch& b, const PassSinks& sinks) {
    for (size_t i = 0; i < b.leaves.pairs.size(); ++i)
      sinks.sketch(b.leaves.pairs[i].variant, b.leaves.pairs[i].sample,
                   sketch_->of(b.leaves.blocks[i], sums_));
  }

  // Tells every pair's. hidden_sse: per row of the group's matrix.
  template <class Tell>
  void totals(const Group& group, std::span<const double> hidden_sse, Tell&& tell) {
    const std::span<const kernels::LogitsNormalizer> normalizer = normalizer_.for_host();
    for (size_t i = 0; i < group.pairs.size(); ++i) {
      const RowBlock& block = group.blocks[i];
      const models::Sample& sample = *input_.setting.samples[static_cast<size_t>(group.pairs[i].sample)];
      scores::ScopedSums total = position_counts(input_.setting.model, sample);
      for (int64_t r = 0; r < block.rows; ++r) {
        const auto token = static_cast<size_t>(block.parent + r);
        const scores::MetricSums m = row_metrics(sums_[static_cast<size_t>(block.out + r)],
                                                 hidden_sse[static_cast<size_t>(block.in[0] + r)],
                                                 rows_.target[token], normalizer[token].argmax);
        total.all.add(m);
        if (rows_.answer[token]) total.answer.add(m);
      }
      tell(group.pairs[i], total);
    }
  }

  // Of the lists beside the matrices: pairs and blocks as they are here and at a product, and numbers per
  // row.
  int64_t list_bytes() const {
    constexpr int64_t kPairBytes = 2 * (2 * sizeof(Pair) + 6 * sizeof(RowBlock));
    constexpr int64_t kRowBytes = 2 * sizeof(double);
    constexpr int64_t kTokenBytes = sizeof(kernels::LogitsNormalizer) + 4 * sizeof(int32_t);
    int64_t pairs = 0;
    for (const HeadBranch& b : branches_)
      pairs += std::ssize(b.leaves.pairs) + std::ssize(b.self.pairs) + std::ssize(b.squared.pairs);
    return pairs * kPairBytes + sum_rows_ * kRowBytes + std::ssize(rows_.target) * kTokenBytes;
  }

  const PassInput& input_;
  const graph::Pass& pass_;
  HeadTiles tiles_;
  TokenRows rows_;
  kernels::OnDevice<int32_t> target_;
  kernels::SharedList<kernels::LogitsNormalizer> normalizer_;
  std::vector<HeadBranch> branches_;
  int64_t sum_rows_ = 0;
  std::shared_ptr<void> lists_;
  Scratch sum_storage_;
  std::span<LogitsSums> sums_;
  std::optional<HeadSketch> sketch_;
  const graph::OpRanges& ranges_;
  kernels::Buffer weight_range_;     // of lm_head, where a format asks for it
  Scratch gram_;                     // W^T W of the tiles so far, where it is needed
  std::map<int, double> error_sse_;  // of the leaves that fork at lm_head
  double output_sse_ = 0;
  double flops_ = 0;
};

}  // namespace

double score_head(const PassInput& input, const graph::Pass& pass, graph::Variants& variants,
                  const std::vector<VariantId>& carried, const PassSinks& sinks) {
  const trace::Span span("head");
  return Scoring(input, pass, variants, carried).run(sinks);
}

}  // namespace qsweep::pass
