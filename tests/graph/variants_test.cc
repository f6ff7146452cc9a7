// The variants interpreter on stages of whole numbers, where everything is exact: a leaf's parent plus its
// difference must be the model of its configuration, computed in plain loops, to the last bit.
#include "graph/variants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/plain_loops.h"
#include "graph/small_stages.h"

namespace qsweep::graph {
namespace {

using quant::Format;
using enum SmallStages::Op;

// Formats that leave whole numbers whole. The calibrated one rounds nothing, but cuts at the range's ends.
constexpr quant::Range kRange{.min = -55, .max = 200};
const Format& four_bits() { return quant::find_format("mxfp4"); }
const Format& four_bit_weights() { return quant::find_format("mxfp4a16"); }
const Format& cut() {
  static const Format format{.name = "cut",
                             .summary = "",
                             .weights = quant::find_format("mxfp4").weights,
                             .activations = quant::find_format("w8a8").activations};
  return format;
}

std::vector<const Format*> everywhere(const Format* format) { return std::vector(size_t{kOps}, format); }

Branch reference() { return {.formats = everywhere(nullptr), .leaves = {}}; }

Leaf leaf(const std::vector<int>& at, const Format* format) {
  Leaf made;
  for (const int op : at) made.overrides.push_back({op, format});
  return made;
}

std::vector<const Format*> formats_of(const Branch& branch, const Leaf& leaf) {
  std::vector<const Format*> formats = branch.formats;
  for (const Override& o : leaf.overrides) formats[static_cast<size_t>(o.op)] = o.format;
  return formats;
}

// Every leaf as a parent of its own.
std::vector<Branch> as_parents(const std::vector<Branch>& branches) {
  std::vector<Branch> parents{reference()};
  for (const Branch& branch : branches)
    for (const Leaf& leaf : branch.leaves)
      parents.push_back({.formats = formats_of(branch, leaf), .leaves = {}});
  return parents;
}

// The model with some variants; ids of leaves count through all branches.
class Walk {
 public:
  Walk(SmallStages& model, std::vector<Branch> branches, bool images = true, bool dry = false)
      : model_(model), branches_(std::move(branches)), batch_(model.batch(images)), workspace_(dry) {
    int id = 0;
    for (Branch& branch : branches_)
      for (Leaf& leaf : branch.leaves) leaf.id = id++;
  }

  Variants start() {
    return Variants({model_.context, workspace_, batch_, model_.ops}, DType::f32, ranges_, branches_,
                    [this](int leaf, const scores::LocalStats& stats) { forks_.emplace_back(leaf, stats); });
  }
  void run(Variants& variants) {
    for (const Stage& stage : model_.stages) variants.run(stage);
    workspace_.deferred().settle();
  }

  PlainValues expected(std::span<const Format* const> formats) const {
    PlainValues values;
    for (const Stage& stage : model_.stages) run_plainly(stage, model_.ops, batch_, formats, kRange, values);
    return values;
  }

  // Of all parents and leaves; takes the deltas.
  void expect_exact(Variants& variants) const {
    for (size_t b = 0; b < branches_.size(); ++b) {
      const PlainValues parent = expected(branches_[b].formats);
      std::map<std::string, Delta> deltas;
      for (const std::string& name : model_.outputs()) {
        EXPECT_EQ(plain(variants.values(b).at(name).matrix), parent.at(name))
            << "branch " << b << ", " << name;
        deltas[name] = variants.take_delta(b, name);
      }
      for (size_t i = 0; i < branches_[b].leaves.size(); ++i) {
        const PlainValues whole = expected(formats_of(branches_[b], branches_[b].leaves[i]));
        for (const std::string& name : model_.outputs()) {
          PlainValue value = parent.at(name);
          add(value, deltas[name], variants.pairs(b), static_cast<int>(i));
          EXPECT_EQ(value, whole.at(name)) << "branch " << b << ", leaf " << i << ", " << name;
        }
      }
    }
  }

  const std::vector<std::pair<int, scores::LocalStats>>& forks() const { return forks_; }
  Workspace& workspace() { return workspace_; }

 private:
  // The leaf's rows of the delta.
  void add(PlainValue& value, const Delta& delta, const PairTable& pairs, int leaf) const {
    int64_t row = 0;
    for (const PairRange& range : delta.ranges)
      for (int64_t i = range.first; i < range.last; ++i) {
        const int64_t first = batch_.first_row(delta.kind, pairs[i].sample);
        const int64_t rows = batch_.rows(delta.kind, pairs[i].sample);
        for (int64_t r = 0; pairs[i].variant == leaf && r < rows; ++r)
          for (int64_t c = 0; c < value.cols; ++c)
            value.at(first + r, c) += static_cast<double>(delta.view.as<float>().row(row + r)[c]);
        row += rows;
      }
    EXPECT_EQ(row, delta.view.rows);
  }

  SmallStages& model_;
  std::vector<Branch> branches_;
  Batch batch_;
  Workspace workspace_;
  OpRanges ranges_{Threads{1}, std::vector<std::optional<quant::Range>>(size_t{kOps}, kRange)};
  std::vector<std::pair<int, scores::LocalStats>> forks_;
};

// With tiles of one row, of some and of all: what a tile holds must not matter.
void expect_exact(const std::vector<Branch>& branches) {
  SmallStages model;
  for (const int64_t tile_bytes : {1, 200, 1 << 20}) {
    model.context.tile_bytes = tile_bytes;
    Walk walk(model, branches);
    Variants variants = walk.start();
    walk.run(variants);
    walk.expect_exact(variants);
  }
  Walk parents(model, as_parents(branches));
  Variants variants = parents.start();
  parents.run(variants);
  parents.expect_exact(variants);
}

// A parent for each format, and one with several.
std::vector<Branch> parents() {
  std::vector<Branch> branches{reference()};
  for (const Format* format : {&four_bits(), &four_bit_weights(), &cut()})
    branches.push_back({.formats = everywhere(format), .leaves = {}});
  Branch& mixed = branches.emplace_back(reference());
  for (int op = 0; op < kOps; ++op)
    if (op % 3 != 1) mixed.formats[static_cast<size_t>(op)] = op % 3 == 0 ? &four_bits() : &cut();
  return branches;
}

TEST(Variants, LeavesOfTheReferenceInOneFormatEach) {
  std::vector<Branch> branches = parents();
  for (int op = 0; op < kOps; ++op)
    for (const Format* format : {&four_bits(), &four_bit_weights(), &cut()})
      branches[0].leaves.push_back(leaf({op}, format));
  expect_exact(branches);
}

TEST(Variants, LeavesOfQuantizedParentsWithOneOpInFloat) {
  std::vector<Branch> branches = parents();
  for (size_t b = 1; b < branches.size(); ++b)
    for (int op = 0; op < kOps; ++op)
      if (branches[b].formats[static_cast<size_t>(op)] != nullptr)
        branches[b].leaves.push_back(leaf({op}, nullptr));
  expect_exact(branches);
}

// Leaves that are live already lose the parent's error; samples without images fork at the later op only.
TEST(Variants, LeavesOfQuantizedParentsWithTwoOpsInFloat) {
  std::vector<Branch> branches = parents();
  for (Branch& branch : branches)
    for (int first = 0; first < kOps; ++first)
      for (int second = first + 1; second < kOps; ++second)
        if (branch.formats[static_cast<size_t>(first)] != nullptr &&
            branch.formats[static_cast<size_t>(second)] != nullptr)
          branch.leaves.push_back(leaf({first, second}, nullptr));
  expect_exact(branches);
}

TEST(Variants, LeavesInFloatFromEveryOpOn) {
  std::vector<Branch> branches = parents();
  for (Branch& branch : branches)
    for (int from = 0; from < kOps; ++from) {
      Leaf made;
      for (int op = from; op < kOps; ++op)
        if (branch.formats[static_cast<size_t>(op)] != nullptr) made.overrides.push_back({op, nullptr});
      if (!made.overrides.empty()) branch.leaves.push_back(made);
    }
  expect_exact(branches);
}

TEST(Variants, LeavesThatForkAgainWithoutHavingChangedTheInput) {
  std::vector<Branch> branches{reference(), {.formats = everywhere(&four_bits()), .leaves = {}}};
  branches[0].leaves = {leaf({kQ, kK, kV}, &four_bits()),
                        leaf({kGate, kUp}, &cut()),
                        leaf({kQ, kV}, &four_bit_weights()),
                        {.id = 0, .overrides = {{kQ, &cut()}, {kV, &four_bits()}}}};
  branches[1].leaves = {leaf({kQ, kK, kV}, nullptr), leaf({kGate, kUp}, nullptr),
                        leaf({kPatch, kQ, kK, kV}, nullptr)};
  expect_exact(branches);
}

// Pairs stand in the order in which they came to life, which is not always that of their leaves.
TEST(Variants, LeavesThatForkAgainInTheOrderOfTheirPairs) {
  std::vector<Branch> branches{reference(), {.formats = everywhere(&four_bits()), .leaves = {}}};
  branches[0].leaves = {leaf({kK, kV}, &four_bits()), leaf({kQ, kV}, &four_bits()), leaf({kV}, &four_bits())};
  // Of the first leaf the images' pairs are live from the first op on, the text's from `k` on.
  branches[1].leaves = {leaf({kPatch, kK, kV}, nullptr), leaf({kQ, kV}, nullptr),
                        leaf({kMerger, kV}, nullptr)};
  expect_exact(branches);
}

TEST(Variants, SamplesWithoutImagesLeaveTheVisionOpsUnread) {
  SmallStages model;
  std::vector<Branch> branches = parents();
  branches[0].leaves = {leaf({kPatch}, &four_bits()), leaf({kQ}, &four_bits())};
  branches[1].leaves = {leaf({kMerger, kO}, nullptr), leaf({kPatch, kMerger}, nullptr)};
  const std::vector<LinearOp> whole = model.ops;
  for (const auto op : {kPatch, kMerger}) model.ops[op].weight.data = nullptr;
  Walk walk(model, branches, /*images=*/false);
  Variants variants = walk.start();
  walk.run(variants);
  model.ops = whole;
  walk.expect_exact(variants);
  EXPECT_EQ(variants.pairs(0).size(), 1);  // the leaf in the language model
  EXPECT_EQ(variants.pairs(1).size(), 1);
}

// Samples with images meet the later op with an input that has changed, others with their parent's.
TEST(Variants, LeavesOfTheReferenceWithSeveralOpsQuantized) {
  std::vector<Branch> branches = parents();
  for (const Format* format : {&four_bits(), &four_bit_weights(), &cut()}) {
    for (int first = 0; first < kOps; ++first)
      for (int second = first + 1; second < kOps; ++second)
        branches[0].leaves.push_back(leaf({first, second}, format));
    std::vector<int> all;
    for (int op = 0; op < kOps; ++op) all.push_back(op);
    branches[0].leaves.push_back(leaf(all, format));
  }
  branches[0].leaves.push_back({.id = 0, .overrides = {{kQ, &cut()}, {kO, &four_bits()}}});
  expect_exact(branches);
}

TEST(Variants, ALiveLeafWithAThirdFormatIsRefused) {
  SmallStages model;
  std::vector<Branch> branches{{.formats = everywhere(&cut()), .leaves = {}}};
  branches.insert(branches.begin(), reference());
  branches[1].leaves = {{.id = 0, .overrides = {{kQ, nullptr}, {kO, &four_bits()}}}};
  Walk walk(model, branches);
  Variants variants = walk.start();
  EXPECT_THROW(walk.run(variants), ContractError);
}

// E(x) of the fork, by hand: Q(x) Q(W)^T - x W^T.
TEST(Variants, EveryForkIsToldOnceWithItsOwnError) {
  SmallStages model;
  std::vector<Branch> branches{reference()};
  branches[0].leaves = {leaf({kPatch}, &four_bits()), leaf({kK, kV}, &four_bit_weights()),
                        leaf({kPatch}, &cut())};
  Walk walk(model, branches);
  Variants variants = walk.start();
  walk.run(variants);
  std::vector<int> leaves;
  for (const auto& [leaf, stats] : walk.forks()) leaves.push_back(leaf);
  EXPECT_EQ(leaves, (std::vector<int>{0, 2, 1, 1}));

  const Batch batch = model.batch();
  const PlainValue x = plain(batch.table("pixels"));
  const LinearOp& op = model.ops[kPatch];
  const PlainValue w = plain(op.weight, 2), rounded = quantized_weight(op, &four_bits());
  const PlainValue quantized = quantized_input(x, &four_bits(), nullptr);
  double error = 0, output = 0, squares = 0;
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t c = 0; c < 2; ++c) {
      const auto product = [&](const PlainValue& a, const PlainValue& b) {
        return a.at(r, 0) * b.at(c, 0) + a.at(r, 1) * b.at(c, 1);
      };
      error += std::pow(product(quantized, rounded) - product(x, w), 2);
      output += std::pow(product(x, w), 2);
      squares += x.at(r, c) * x.at(r, c);
    }
  const scores::LocalStats& told = walk.forks()[0].second;
  EXPECT_GT(error, 0);
  EXPECT_EQ(told.error_sse, error);
  EXPECT_EQ(told.output_sse, output);
  EXPECT_EQ(told.input_sum_squares, squares);
  EXPECT_EQ(told.input_elements, x.rows * 2);
  EXPECT_EQ(told.rows, x.rows);
  EXPECT_EQ(told.input_min, *std::ranges::min_element(x.numbers));
  EXPECT_EQ(told.input_max, *std::ranges::max_element(x.numbers));
}

// A chain of bytes in memory.
struct Bytes : io::ByteSink, io::ByteSource {
  std::vector<std::byte> bytes;
  size_t at = 0;

  void write(std::span<const std::byte> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  void read(std::span<std::byte> to) override {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), to.size(), to.begin());
    at += to.size();
  }
  uint64_t left() const override { return bytes.size() - at; }
};

TEST(Variants, SavedBetweenAnyTwoStagesAndRestored) {
  std::vector<Branch> branches = parents();
  branches[0].leaves = {leaf({kPatch}, &four_bits()), leaf({kK, kV}, &four_bits()),
                        leaf({kQ, kV}, &four_bits())};
  branches[1].leaves = {leaf({kPatch, kK, kV}, nullptr), leaf({kQ, kV}, nullptr)};
  SmallStages model;
  for (size_t done = 0; done < model.stages.size(); ++done) {
    Bytes bytes;
    Walk before(model, branches);
    Variants first = before.start();
    for (size_t i = 0; i < done; ++i) first.run(model.stages[i]);
    first.save(bytes);

    Walk after(model, branches);
    Variants second = after.start();
    second.restore(bytes);
    EXPECT_EQ(bytes.left(), 0u);
    EXPECT_EQ(second.flops(), first.flops());
    for (size_t i = done; i < model.stages.size(); ++i) second.run(model.stages[i]);
    after.expect_exact(second);
  }
}

TEST(Variants, ADryWalkTakesTheSameMemory) {
  std::vector<Branch> branches = parents();
  branches[0].leaves = {leaf({kPatch}, &four_bits()), leaf({kK, kV}, &four_bit_weights()),
                        leaf({kQ, kO}, &cut())};
  branches[1].leaves = {leaf({kPatch, kK, kV}, nullptr), leaf({kQ, kV}, nullptr)};
  SmallStages model;
  for (const int64_t tile_bytes : {1, 200, 1 << 20}) {
    model.context.tile_bytes = tile_bytes;
    Walk real(model, branches), dry(model, branches, /*images=*/true, /*dry=*/true);
    Variants done = real.start(), planned = dry.start();
    real.run(done);
    for (const Stage& stage : model.stages) planned.run(stage);
    EXPECT_EQ(dry.workspace().peak_bytes(), real.workspace().peak_bytes());
    EXPECT_EQ(dry.workspace().held_bytes(), real.workspace().held_bytes());
    EXPECT_EQ(planned.flops(), done.flops());
    EXPECT_GT(done.flops(), 0);
  }
}

}  // namespace
}  // namespace qsweep::graph
