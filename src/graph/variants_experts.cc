// Experts, for all branches at once. Expert by expert, the rows that it works on are gathered: the parents'
// own, those that only a leaf sends there, and the deltas of the live pairs. With f(x) what an expert makes
// of a row, w its weight there (0 where it is not chosen), a prime for the leaf's, a row's delta is the sum
// over the experts of
//   w' f'(x') - w f(x) = w' df + (w' - w) f(x),
// where the parent computes f(x) for rows that a leaf alone sends to the expert, too: so the delta of a row
// that goes elsewhere is made of the same products as everybody's.
#include <algorithm>
#include <numeric>
#include <optional>

#include "base/trace.h"
#include "graph/experts.h"
#include "graph/variants.h"
#include "ops/gated.h"
#include "ops/gather.h"
#include "ops/linear.h"

namespace qsweep::graph {

using kernels::kAbsent;
using kernels::RowBlock;
using kernels::RowTerm;

class Variants::ExpertsStep {
 public:
  ExpertsStep(Variants& variants, const Node& node, size_t index)
      : v_(variants), node_(node), experts_(std::get<Experts>(node.operation)), index_(index) {}

  void run() {
    for (size_t b = 0; b < v_.states_.size(); ++b) prepare(b);
    for (const size_t e : visited()) expert(e);
    for (AtBranch& at : branches_) finish(at);
  }

 private:
  // Consecutive rows of one pair at an expert.
  struct Span {
    Fork pair;
    int64_t rows = 0;
    int64_t parent = 0;  // first row in the parent's values here
    int64_t row = 0;     // first row in the delta
  };

  // A delta at an expert: first the rows of pairs that are live at its input, then of those that fork here.
  struct ExpertDelta {
    std::vector<Span> spans;
    Scratch delta;

    int64_t rows() const { return spans.empty() ? 0 : spans.back().row + spans.back().rows; }
    // Of the pair's rows that begin at the same one; null where there are none.
    const Span* find(const Span& other, size_t from) const {
      const auto it =
          std::find_if(spans.begin() + static_cast<std::ptrdiff_t>(from), spans.end(), [&](const Span& s) {
            return s.pair.leaf == other.pair.leaf && s.pair.sample == other.pair.sample &&
                   s.parent == other.parent;
          });
      return it == spans.end() ? nullptr : &*it;
    }
  };

  // A row of a live pair that an expert works on, or whose weight changes there.
  struct LiveRow {
    uint32_t block = 0;  // of the node's delta
    uint32_t row = 0;    // within the block
    float weight = 0;
  };
  // A branch at the node.
  struct AtBranch {
    size_t b = 0;
    State& state;
    Value x;
    Delta dx;
    Routing routing;
    bool known = false;  // y is the reference's
    Value y = {};
    Delta dy = {};
    Scratch sum = {};                   // dy in f32
    std::vector<RowBlock> blocks = {};  // of dy; in[0]: rows of dx
    std::vector<Fork> pairs = {};       // per block
    std::vector<int64_t> out = {};      // (leaf, sample) -> first row in dy, or -1
    std::vector<bool> live = {};        // (leaf, sample): has rows in dx
    // Per expert: rows that it works on, with the leaf's weights; rows whose weight changes, with the change;
    // rows that leaves send there, and the parent does not.
    std::vector<std::vector<LiveRow>> working = {}, moved = {};
    std::vector<std::vector<RoutedRow>> sent = {};
    std::shared_ptr<void> lists = {};  // metered
  };
  // And at one of the experts.
  struct AtExpert {
    AtBranch& at;
    std::vector<RoutedRow> rows;  // of the parent: its own, then those that leaves alone send
    int64_t own_rows = 0;
    std::vector<int64_t> place;  // row of x -> its place in `rows`, or -1
    Value x, gate = {}, up = {}, hidden = {}, result = {};
    ExpertDelta dx = {}, dgate = {}, dup = {}, dhidden = {}, dresult = {};
  };

  bool dry() const { return v_.pass_.workspace.dry(); }
  kernels::Device device() const { return v_.pass_.ops.device(); }
  Workspace& workspace() const { return v_.pass_.workspace; }
  const Batch& batch() const { return v_.pass_.batch; }
  size_t place(const Fork& pair) const {
    return pair.leaf * static_cast<size_t>(batch().samples()) + static_cast<size_t>(pair.sample);
  }
  std::vector<size_t> overriding(const State& state, int op) const {
    const auto it = state.overriding.find(op);
    return it == state.overriding.end() ? std::vector<size_t>() : it->second;
  }

  // --- the node
  void prepare(size_t b) {
    State& state = v_.states_[b];
    const auto input = static_cast<size_t>(node_.inputs[0]);
    AtBranch at{.b = b,
                .state = state,
                .x = state.local[input],
                .dx = state.local_deltas[input],
                .routing = Routing(v_.pass_, experts_, state.local[input].matrix),
                .known = v_.same_as_reference(state, node_)};
    if (!at.known && !dry()) tell_flips(at);
    at.live.assign(state.pair_of.size(), false);
    at.out.assign(state.pair_of.size(), -1);
    for (const PairRange& range : at.dx.ranges)
      for (int64_t i = range.first; i < range.last; ++i)
        at.live[place({static_cast<size_t>(state.pairs[i].variant), state.pairs[i].sample})] = true;
    fork(at);
    if (!at.dy.empty()) route_leaves(at);
    if (!at.known) {
      at.y = v_.forward_.allocate(node_);
      clear_rows(v_.pass_, at.y.matrix);
    }
    branches_.push_back(std::move(at));
  }

  // Of a parent, against the reference.
  void tell_flips(const AtBranch& at) const {
    if (branches_.empty() || !v_.flips_) return;
    for (int64_t s = 0; s < batch().samples(); ++s)
      for (int64_t r = 0; r < batch().rows(node_.rows, s); ++r) {
        const int64_t row = batch().first_row(node_.rows, s) + r;
        const auto before = branches_.front().routing.shares(row), after = at.routing.shares(row);
        if (ops::router::flipped(before, after))
          v_.flips_({at.state.branch.id, experts_.router, s, r, before, after});
      }
  }

  // Adds the pairs that fork at one of the experts, on rows of the parent.
  void fork(AtBranch& at) {
    State& state = at.state;
    std::vector<PairRange> ranges = at.dx.ranges;
    for (size_t e = 0; e < experts_.experts.size(); ++e) {
      const auto& [gate, up, down] = experts_.experts[e];
      const std::vector<int64_t> first = first_rows(batch(), node_.rows, at.routing.rows_of(dry() ? 0 : e));
      for (const int op : {gate, up, down})
        for (const size_t leaf : overriding(state, op)) fork(at, leaf, first, ranges);
    }
    if (ranges.empty()) return;
    at.dy = allocate_delta(workspace(), v_.dtype_, state.pairs, node_.rows, node_.cols, std::move(ranges));
    at.sum = Scratch(workspace(), DType::f32, at.dy.view.rows, node_.cols);
    clear_rows(v_.pass_, at.sum.f32());
    at.blocks = row_blocks(batch(), state.pairs, at.dy, {&at.dx});
    for (const PairRange& range : at.dy.ranges)
      for (int64_t i = range.first; i < range.last; ++i)
        at.pairs.push_back({static_cast<size_t>(state.pairs[i].variant), state.pairs[i].sample});
    for (size_t i = 0; i < at.pairs.size(); ++i) at.out[place(at.pairs[i])] = at.blocks[i].out;
  }

  // A leaf's pairs with the samples of which the expert has rows.
  void fork(AtBranch& at, size_t leaf, std::span<const int64_t> first, std::vector<PairRange>& ranges) {
    for (int64_t s = 0; s < batch().samples(); ++s) {
      const Fork pair{leaf, s};
      const bool reached = first[static_cast<size_t>(s)] < first[static_cast<size_t>(s) + 1];
      if (at.live[place(pair)] || !reached) continue;
      int64_t& known = v_.pair_of(at.state, pair);
      if (known < 0) {
        known = at.state.pairs.size();
        at.state.pairs.add({static_cast<int>(leaf), s});
      }
      ranges = merged(ranges, {{known, known + 1}});
    }
  }

  // Where the live pairs' rows go, by their own logits.
  void route_leaves(AtBranch& at) {
    const size_t experts = experts_.experts.size();
    at.working.resize(experts);
    at.moved.resize(experts);
    at.sent.resize(experts);
    const int64_t rows = at.dx.empty() ? 0 : at.dx.view.rows;
    if (rows == 0) return;
    const trace::Span span("router", experts_.router.name);
    const LinearWeights weights(v_.pass_, experts_.router);
    const Scratch dlogits(workspace(), DType::f32, rows, std::ssize(experts_.experts));
    const MatrixView w = weights.for_rows(v_.dtype_);
    v_.flops_ += 2.0 * static_cast<double>(rows) * static_cast<double>(experts_.router.weight.elements());
    if (!dry()) ops::linear::delta(v_.pass_.ops, at.dx.view, w, dlogits.view);
    // Twice what the lists hold, since they grow.
    at.lists = workspace().hold(2 * rows * experts_.rule.chosen * 3 * int64_t{sizeof(LiveRow)});
    const kernels::HostCopy<float> found(device(), dry() ? std::span<float>() : dlogits.elements<float>());
    for (size_t i = 0; i < at.blocks.size(); ++i) {
      const RowBlock& block = at.blocks[i];
      if (block.in[0] == kAbsent) continue;
      for (int64_t r = 0; r < block.rows; ++r) {
        if (dry()) {
          at.working.front().push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(r), 0});
        } else {
          const auto first = static_cast<size_t>(block.in[0] + r) * experts;
          route_row(at, i, r, found.elements().subspan(first, experts));
        }
      }
    }
    for (std::vector<RoutedRow>& sent : at.sent) {
      std::ranges::sort(sent, {}, &RoutedRow::row);
      const auto same = [](const RoutedRow& a, const RoutedRow& b) { return a.row == b.row; };
      sent.erase(std::unique(sent.begin(), sent.end(), same), sent.end());
    }
  }

  void route_row(AtBranch& at, size_t block, int64_t r, std::span<const float> dlogits) {
    const int64_t row = at.blocks[block].parent + r;
    const auto live = [&](double weight) {
      return LiveRow{static_cast<uint32_t>(block), static_cast<uint32_t>(r), static_cast<float>(weight)};
    };
    const std::span<const ops::router::Share> before = at.routing.shares(row);
    const ops::router::Change change =
        ops::router::change(experts_.rule, at.routing.logits(row), before, dlogits);
    if (change.flipped && v_.flips_)
      v_.flips_({.id = at.state.branch.leaves[at.pairs[block].leaf].id,
                 .router = experts_.router,
                 .sample = at.pairs[block].sample,
                 .row = r,
                 .before = before,
                 .after = change.shares});
    for (const auto& [expert, weight] : change.shares) {
      at.working[static_cast<size_t>(expert)].push_back(live(weight));
      if (std::ranges::count(before, expert, &ops::router::Share::expert) == 0)
        at.sent[static_cast<size_t>(expert)].push_back({.row = row});
    }
    for (const auto& [expert, moved] : change.moved)
      at.moved[static_cast<size_t>(expert)].push_back(live(moved));
  }

  // All; in a dry walk, which sends all rows to some, those with the most forks.
  std::vector<size_t> visited() const {
    std::vector<size_t> experts(experts_.experts.size());
    std::iota(experts.begin(), experts.end(), size_t{0});
    if (!dry()) return experts;
    const auto forks = [&](size_t e) {
      const auto& [gate, up, down] = experts_.experts[e];
      size_t all = 0;
      for (const AtBranch& at : branches_)
        for (const int op : {gate, up, down}) all += overriding(at.state, op).size();
      return all;
    };
    std::ranges::stable_sort(experts, std::ranges::greater{}, forks);
    experts.resize(static_cast<size_t>(experts_.rule.chosen));
    return experts;
  }

  void finish(AtBranch& at) {
    at.state.local[index_] = at.known ? v_.states_.front().local[index_] : std::move(at.y);
    if (at.dy.empty()) return;
    if (!dry()) kernels::convert(device(), at.sum.f32(), at.dy.view);
    at.state.local_deltas[index_] = std::move(at.dy);
    at.sum = {};
  }

  // --- one expert
  void expert(size_t e) {
    std::vector<AtExpert> all;
    for (AtBranch& at : branches_)
      if (std::optional<AtExpert> here = gather(at, e)) all.push_back(std::move(*here));
    if (all.empty()) return;
    const auto& [gate, up, down] = experts_.experts[e];
    linear(gate, all, &AtExpert::x, &AtExpert::dx, &AtExpert::gate, &AtExpert::dgate);
    linear(up, all, &AtExpert::x, &AtExpert::dx, &AtExpert::up, &AtExpert::dup);
    for (AtExpert& here : all) {
      here.dx.delta = {};
      here.hidden = gated_rows(v_.pass_, experts_.form, here.gate.matrix, here.up.matrix);
      here.dhidden = gated(here);
      here.gate = here.up = {};
      here.dgate.delta = here.dup.delta = {};
    }
    linear(down, all, &AtExpert::hidden, &AtExpert::dhidden, &AtExpert::result, &AtExpert::dresult);
    for (const AtExpert& here : all) add(here, e);
  }

  std::optional<AtExpert> gather(AtBranch& at, size_t e) {
    if (at.known && at.dy.empty()) return {};
    if (dry()) e = 0;
    AtExpert here{.at = at, .rows = at.routing.rows_of(e), .x = {}};
    here.own_rows = std::ssize(here.rows);
    if (!at.sent.empty()) here.rows.insert(here.rows.end(), at.sent[e].begin(), at.sent[e].end());
    if (here.rows.empty()) return {};
    here.place.assign(static_cast<size_t>(at.x.matrix.rows), -1);
    for (size_t i = 0; i < here.rows.size(); ++i)
      here.place[static_cast<size_t>(here.rows[i].row)] = static_cast<int64_t>(i);
    here.x = gather_rows(v_.pass_, at.x.matrix, here.rows);
    if (!at.working.empty() && !at.working[e].empty()) gather_delta(here, at.working[e]);
    return here;
  }

  void gather_delta(AtExpert& here, std::span<const LiveRow> working) {
    const AtBranch& at = here.at;
    std::vector<int64_t> source;
    for (const auto& [index, r, weight] : working) {
      const RowBlock& block = at.blocks[index];
      const Span one{.pair = at.pairs[index],
                     .rows = 1,
                     .parent = here.place[static_cast<size_t>(block.parent + r)],
                     .row = std::ssize(source)};
      source.push_back(block.in[0] + r);
      std::vector<Span>& spans = here.dx.spans;
      const bool goes_on = !spans.empty() && spans.back().pair.leaf == one.pair.leaf &&
                           spans.back().pair.sample == one.pair.sample &&
                           spans.back().parent + spans.back().rows == one.parent;
      goes_on ? static_cast<void>(++spans.back().rows) : spans.push_back(one);
    }
    here.dx.delta = Scratch(workspace(), v_.dtype_, std::ssize(source), node_.cols);
    if (dry()) return;
    const RowBlock whole{.rows = std::ssize(source), .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0};
    ops::gather::delta(v_.pass_.ops, {&whole, 1}, source, at.dx.view, here.dx.delta.view);
  }

  // One of the expert's ops, for all branches.
  void linear(int op_index, std::vector<AtExpert>& all, Value AtExpert::*x, ExpertDelta AtExpert::*dx,
              Value AtExpert::*y, ExpertDelta AtExpert::*dy) {
    const LinearOp& op = v_.pass_.linear_ops[static_cast<size_t>(op_index)];
    const trace::Span span("linear", op.name);
    const bool reference = all.front().at.b == 0 && all.front().own_rows > 0;
    const auto own = [&](const Value& value) { return value.matrix.rows_at(0, all.front().own_rows); };
    if (reference && v_.reference_.input) v_.reference_.input(op_index, own(all.front().*x));
    const LinearWeights weights(v_.pass_, op);
    std::vector<BranchLinear> at_op;
    for (AtExpert& here : all) {
      here.*y = new_value(v_.pass_, std::ssize(here.rows), op.out_features());
      at_op.push_back(prepare_linear(here, op_index, op.out_features(), (here.*x).matrix, here.*dx,
                                     (here.*y).matrix, here.*dy));
    }
    const auto step = [&](const quant::Range* range, std::span<BranchLinear> branches) {
      run_linear_step({.pass = v_.pass_,
                       .op = op,
                       .weights = weights,
                       .delta_dtype = v_.dtype_,
                       .range = range,
                       .observe = v_.observer_,
                       .flops = v_.flops_},
                      branches);
    };
    const quant::Range* const range = v_.ranges_.of(op_index);
    if (range != nullptr || dry() || std::ranges::none_of(at_op, needs_range)) {
      step(range, at_op);
    } else {  // no token of the calibration data came here: as a format without calibration would do it
      for (BranchLinear& branch : at_op)
        step(range_of(branch.x).elements<quant::Range>().data(), {&branch, 1});
    }
    if (reference && v_.reference_.output)
      v_.reference_.output(op_index, {(all.front().*y).block, own(all.front().*y)});
  }

  static bool needs_range(const BranchLinear& branch) {
    const auto calibrated = [](const quant::Format* f) { return f != nullptr && f->activations.calibrated; };
    const auto of = [&](const auto& rows) { return calibrated(rows.format); };
    return calibrated(branch.format) || std::ranges::any_of(branch.live, of) ||
           std::ranges::any_of(branch.forks, of);
  }
  kernels::Buffer range_of(Matrix<const float> x) const {
    kernels::Buffer range(device(), DType::u8, 1, int64_t{sizeof(quant::Range)});
    kernels::find_range(device(), x, static_cast<quant::Range*>(range.data()));
    return range;
  }

  BranchLinear prepare_linear(const AtExpert& here, int op, int64_t out, Matrix<const float> x,
                              const ExpertDelta& dx, Matrix<float> y, ExpertDelta& dy) {
    const State& state = here.at.state;
    BranchLinear at{.format = state.branch.formats[static_cast<size_t>(op)],
                    .x = x,
                    .y = y,
                    .own_error = {},
                    .dx = dx.delta.view,
                    .own_rows = here.own_rows};
    dy.spans = dx.spans;
    for (const Span& span : dx.spans) {
      const quant::Format* format = v_.format_at(here.at.b, span.pair.leaf, op);
      if (at.live.empty() || at.live.back().format != format)
        at.live.push_back({.format = format, .first_row = span.row, .rows = 0, .blocks = {}});
      at.live.back().rows += span.rows;
      at.live.back().blocks.push_back(
          {.rows = span.rows, .parent = span.parent, .in = {span.row, kAbsent, kAbsent}, .out = span.row});
    }
    for (const size_t leaf : overriding(state, op)) {
      ForkRows fork{.leaf = state.branch.leaves[leaf].id, .format = v_.format_at(here.at.b, leaf, op)};
      for (const Span& span : forked(here, leaf, dx)) {
        fork.blocks.push_back({.rows = span.rows, .parent = span.parent, .out = dy.rows()});
        dy.spans.push_back(span);
        dy.spans.back().row = fork.blocks.back().out;
      }
      if (!fork.blocks.empty()) at.forks.push_back(std::move(fork));
    }
    if (dy.rows() > 0) dy.delta = Scratch(workspace(), v_.dtype_, dy.rows(), out);
    at.dy = dy.delta.view;
    return at;
  }

  // The expert's own rows in samples where the leaf has not changed yet.
  std::vector<Span> forked(const AtExpert& here, size_t leaf, const ExpertDelta& dx) const {
    std::vector<Span> spans;
    const std::vector<int64_t> first =
        first_rows(batch(), node_.rows, std::span(here.rows).first(static_cast<size_t>(here.own_rows)));
    for (int64_t s = 0; s < batch().samples(); ++s) {
      const Fork pair{leaf, s};
      if (here.at.live[place(pair)]) continue;
      const auto sample = static_cast<size_t>(s);
      const Span span{.pair = pair, .rows = first[sample + 1] - first[sample], .parent = first[sample]};
      if (span.rows > 0 && dx.find(span, 0) == nullptr) spans.push_back(span);
    }
    return spans;
  }

  // The pairs of either; both begin with those that are live at the expert's input.
  ExpertDelta gated(const AtExpert& here) {
    ExpertDelta result;
    std::vector<RowBlock> blocks;
    const auto add = [&](Span span, int64_t in_gate, int64_t in_up) {
      span.row = result.rows();
      blocks.push_back(
          {.rows = span.rows, .parent = span.parent, .in = {in_gate, in_up, kAbsent}, .out = span.row});
      result.spans.push_back(span);
    };
    const size_t live = here.dx.spans.size();
    for (size_t i = 0; i < here.dgate.spans.size(); ++i) {
      const Span& span = here.dgate.spans[i];
      const Span* const up = i < live ? &here.dup.spans[i] : here.dup.find(span, live);
      add(span, span.row, up == nullptr ? kAbsent : up->row);
    }
    for (size_t i = live; i < here.dup.spans.size(); ++i)
      if (here.dgate.find(here.dup.spans[i], live) == nullptr)
        add(here.dup.spans[i], kAbsent, here.dup.spans[i].row);
    if (blocks.empty()) return result;
    result.delta = Scratch(workspace(), v_.dtype_, result.rows(), here.hidden.matrix.cols);
    if (!dry())
      ops::gated::delta(v_.pass_.ops, blocks, experts_.form, here.gate.matrix, here.up.matrix,
                        here.dgate.delta.view, here.dup.delta.view, result.delta.view);
    return result;
  }

  // Into the node's sums.
  void add(const AtExpert& here, size_t e) {
    if (dry()) return;
    AtBranch& at = here.at;
    std::vector<RowTerm> terms;
    for (int64_t i = 0; i < here.own_rows; ++i) {
      const RoutedRow& own = here.rows[static_cast<size_t>(i)];
      terms.push_back({.from = i, .to = own.row, .scale = static_cast<float>(own.weight)});
    }
    if (!at.known) add_rows(v_.pass_, terms, view_of(here.result.matrix), at.y.matrix);
    if (at.dy.empty()) return;
    terms.clear();
    const auto term = [&](const LiveRow& live, int64_t from) {
      terms.push_back({.from = from,
                       .to = at.blocks[live.block].out + live.row,
                       .scale = static_cast<float>(live.weight)});
    };
    for (const LiveRow& live : at.working[e]) term(live, std::ssize(terms));
    for (const Span& span : here.dresult.spans) {
      if (at.live[place(span.pair)]) continue;
      for (int64_t i = 0; i < span.rows; ++i) {
        const RoutedRow& own = here.rows[static_cast<size_t>(span.parent + i)];
        terms.push_back(
            {.from = span.row + i,
             .to = at.out[place(span.pair)] + own.row - batch().first_row(node_.rows, span.pair.sample),
             .scale = static_cast<float>(own.weight)});
      }
    }
    add_rows(v_.pass_, terms, here.dresult.delta.view, at.sum.f32());
    terms.clear();
    for (const LiveRow& moved : at.moved[e])
      term(moved, here.place[static_cast<size_t>(at.blocks[moved.block].parent + moved.row)]);
    add_rows(v_.pass_, terms, view_of(here.result.matrix), at.sum.f32());
  }

  Variants& v_;
  const Node& node_;
  const Experts& experts_;
  size_t index_;
  std::vector<AtBranch> branches_;
};

void Variants::experts(const Node& node, size_t index) {
  if (pass_.batch.rows(node.rows) == 0) {  // no sample brings rows here: the weights need not be read
    const Value none = forward_.allocate(node);
    for (State& state : states_) state.local[index] = none;
    return;
  }
  ExpertsStep(*this, node, index).run();
}

}  // namespace qsweep::graph
