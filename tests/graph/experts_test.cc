// Leaves at mixtures of experts: whatever changes there, the parent plus its difference is the same variant
// carried as a parent, whose rows are routed by its own values.
#include "graph/experts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "graph/backward.h"
#include "graph/variants.h"
#include "quant/format.h"
#include "support/random.h"

namespace qsweep::graph {
namespace {

using quant::Format;

constexpr int64_t kIn = 32, kHidden = 8, kWidth = 6;
constexpr int kExperts = 4, kOps = 1 + 3 * kExperts;

// A linear map, and experts behind it; the sum of both is left.
struct Mixture {
  std::vector<LinearOp> ops;
  std::vector<std::vector<float>> kept;
  std::vector<Stage> stages;
  kernels::Gemm gemm{Threads{2}};
  ops::Context context{gemm};

  Mixture(std::vector<float> first, std::vector<float> router, std::vector<float> router_bias,
          ops::router::Softmax softmax) {
    kept.reserve(kOps + 3);
    Rng rng(5);
    const auto random = [&](int64_t n) { return qsweep::testing::normals(rng, n); };
    Builder b("layer", ops);
    const auto x = b.table("x", Rows::tokens, kIn);
    const auto h = b.linear(x, op("first", kHidden, kIn, std::move(first)));
    LinearOp routing = op("router", kExperts, kHidden, std::move(router));
    routing.bias = tensor(std::move(router_bias), {kExperts});
    std::vector<Builder::ExpertOps> experts;
    for (int e = 0; e < kExperts; ++e)
      experts.push_back({.gate = op("gate", kWidth, kHidden, random(kWidth * kHidden)),
                         .up = op("up", kWidth, kHidden, random(kWidth * kHidden)),
                         .down = op("down", kHidden, kWidth, random(kWidth * kHidden))});
    const auto y =
        b.experts(h, std::move(routing), {.chosen = 2, .softmax = softmax}, {}, std::move(experts));
    b.output("y", b.add(h, y));
    stages.push_back(b.build());
  }

  TensorView tensor(std::vector<float> values, Shape shape) {
    kept.push_back(std::move(values));
    return {DType::f32, std::move(shape), reinterpret_cast<const std::byte*>(kept.back().data())};
  }
  LinearOp op(const std::string& name, int64_t out, int64_t in, std::vector<float> weight) {
    LinearOp made;
    made.name = name;
    made.weight = tensor(std::move(weight), {out, in});
    return made;
  }
};

std::vector<float> normals(uint64_t seed, int64_t n) {
  Rng rng(seed);
  return qsweep::testing::normals(rng, n);
}

Leaf leaf(int id, const std::vector<int>& at, const Format* format) {
  Leaf made{.id = id, .overrides = {}};
  for (const int op : at) made.overrides.push_back({op, format});
  return made;
}

const Format& four_bits() { return quant::find_format("w4a16_g32"); }

class ExpertsTest : public ::testing::TestWithParam<ops::router::Softmax> {
 protected:
  // Two samples of tokens; of each the last input is 0, and the others are near 0.3.
  ExpertsTest() {
    Rng rng(9);
    for (const int64_t rows : {57, 35}) {
      SampleInputs sample;
      sample.rows = {rows, 0, 0};
      sample.token_ids.assign(static_cast<size_t>(rows), 1);
      Tensor x(DType::f32, {rows, kIn});
      for (int64_t i = 0; i < rows * kIn; ++i)
        x.as<float>()[static_cast<size_t>(i)] =
            i % kIn == kIn - 1 ? 0 : 0.3f + 0.2f * qsweep::testing::normals(rng, 1).front();
      sample.tables["x"] = std::move(x);
      samples_.push_back(std::move(sample));
    }
  }

  // Every leaf of these branches, against the same variant as a parent. Returns the flips.
  int64_t expect_as_parents(const Mixture& model, const std::vector<Branch>& branches) const {
    std::vector<Branch> parents{{.formats = branches.front().formats, .leaves = {}}};
    for (const Branch& branch : branches)
      for (const Leaf& one : branch.leaves) {
        parents.push_back({.formats = branch.formats, .leaves = {}});
        for (const Override& o : one.overrides) parents.back().formats[static_cast<size_t>(o.op)] = o.format;
      }
    int64_t flips = 0;
    const Batch batch(samples_);
    Workspace workspace;
    const Pass pass{model.context, workspace, batch, model.ops};
    Variants deltas(pass, DType::f32, ranges_, branches, {}, {}, [&](const Flip&) { ++flips; });
    Variants values(pass, DType::f32, ranges_, parents);
    deltas.run(model.stages.front());
    values.run(model.stages.front());
    for (size_t b = 0, parent = 1; b < branches.size(); ++b) {
      const Delta delta = deltas.take_delta(b, "y");
      for (size_t i = 0; i < branches[b].leaves.size(); ++i, ++parent) {
        std::vector<double> expected = wide(values.values(parent).at("y").matrix);
        const std::vector<double> own = wide(deltas.values(b).at("y").matrix);
        for (size_t k = 0; k < own.size(); ++k) expected[k] -= own[k];
        const std::vector<double> found =
            of_leaf(batch, delta, deltas.pairs(b), static_cast<int>(i), own.size());
        const auto largest = [](const std::vector<double>& all) {
          return std::fabs(std::ranges::max(all, {}, [](double x) { return std::fabs(x); }));
        };
        const double rounding = 1e-5 * largest(expected) + 1e-6 * largest(own);
        for (size_t k = 0; k < own.size(); ++k)
          EXPECT_NEAR(found[k], expected[k], rounding) << "branch " << b << ", leaf " << i;
      }
    }
    return flips;
  }

  // What the observer of forks is told of each leaf's first op.
  std::map<int, scores::LocalStats> told(const Mixture& model, const std::vector<Leaf>& leaves) const {
    std::map<int, scores::LocalStats> all;
    const Batch batch(samples_);
    Workspace workspace;
    Variants variants({model.context, workspace, batch, model.ops}, DType::f32, ranges_,
                      {{.formats = float_, .leaves = leaves}},
                      [&](int id, const scores::LocalStats& stats) { all.emplace(id, stats); });
    variants.run(model.stages.front());
    workspace.deferred().settle();
    return all;
  }

  Batch batch() const { return Batch(samples_); }
  static std::vector<double> wide(Matrix<const float> m) { return {m.data, m.data + m.rows * m.cols}; }

  const std::vector<const Format*> float_ = std::vector<const Format*>(size_t{kOps});
  const OpRanges ranges_{Threads{1}, std::vector<std::optional<quant::Range>>(size_t{kOps})};
  const std::vector<const Format*> quantized_ = std::vector<const Format*>(size_t{kOps}, &four_bits());

 private:
  // Where it has no rows it is 0.
  static std::vector<double> of_leaf(const Batch& batch, const Delta& delta, const PairTable& pairs, int leaf,
                                     size_t elements) {
    std::vector<double> all(elements);
    int64_t row = 0;
    for (const PairRange& range : delta.ranges)
      for (int64_t i = range.first; i < range.last; ++i) {
        const int64_t first = batch.first_row(delta.kind, pairs[i].sample);
        for (int64_t r = 0; r < batch.rows(delta.kind, pairs[i].sample); ++r, ++row)
          for (int64_t c = 0; pairs[i].variant == leaf && c < delta.view.cols; ++c)
            all[static_cast<size_t>((first + r) * delta.view.cols + c)] =
                static_cast<double>(delta.view.as<float>().row(row)[c]);
      }
    return all;
  }

  std::vector<SampleInputs> samples_;
};

// One op each, the op before the experts, all of an expert, all experts, everything.
std::vector<Leaf> leaves(const Format* format) {
  std::vector<Leaf> all;
  const auto add = [&](const std::vector<int>& ops) {
    all.push_back(leaf(static_cast<int>(all.size()), ops, format));
  };
  std::vector<int> every;
  for (int op = 0; op < kOps; ++op) {
    add({op});
    every.push_back(op);
  }
  add({4, 5, 6});
  add({0, 4, 6});
  add({4, 6, 8, 12});
  add({every.begin() + 1, every.end()});
  add(every);
  return all;
}

TEST_P(ExpertsTest, LeavesAreTheirVariants) {
  const Mixture model(normals(1, kHidden * kIn), normals(2, kExperts * kHidden), normals(3, kExperts),
                      GetParam());
  EXPECT_GT(expect_as_parents(model, {{float_, leaves(&four_bits())}}), 0);
  // Of a quantized parent, leaves that are float again there.
  EXPECT_GT(expect_as_parents(model, {{float_, {}}, {quantized_, leaves(nullptr)}}), 0);
}

// Of the first map's row 7 the router reads the difference of what is rounded to 0 in four bits.
TEST_P(ExpertsTest, EveryRowFlips) {
  std::vector<float> first = normals(1, kHidden * kIn), router(size_t{kExperts * kHidden});
  for (int64_t i = 0; i < kIn; ++i) first[static_cast<size_t>(7 * kIn + i)] = i == kIn - 1 ? 1 : 0.06f;
  router[1 * kHidden + 7] = 1;
  const Mixture model(first, router, {0.1f, 0, -1, 0.05f}, GetParam());
  // Both samples' rows, by the leaves with the first map.
  EXPECT_EQ(expect_as_parents(model, {{float_, leaves(&four_bits())}}), 3 * (57 + 35));
}

// Rows that a leaf alone sends to an expert are not the reference's: nobody is told of them.
TEST_P(ExpertsTest, RowsOfOthersAreNotToldOf) {
  std::vector<float> router = normals(2, kExperts * kHidden);
  const Mixture model(normals(1, kHidden * kIn), router, normals(3, kExperts), GetParam());
  const std::vector<Leaf> all = leaves(&four_bits());
  for (const auto& [id, stats] : told(model, all)) {
    const auto alone = told(model, {all[static_cast<size_t>(id)]});
    EXPECT_EQ(stats.rows, alone.at(id).rows) << id;
    EXPECT_EQ(stats.input_sum_squares, alone.at(id).input_sum_squares) << id;
    EXPECT_EQ(stats.output_sse, alone.at(id).output_sse) << id;
    EXPECT_EQ(stats.error_sse, alone.at(id).error_sse) << id;
  }
}

TEST_P(ExpertsTest, NoRowFlips) {
  std::vector<float> router = normals(2, kExperts * kHidden);
  for (float& weight : router) weight *= 0.01f;
  const Mixture model(normals(1, kHidden * kIn), router, {3, 2, 1, 0}, GetParam());
  EXPECT_EQ(expect_as_parents(model, {{float_, leaves(&four_bits())}}), 0);
}

// A parent against the reference, and the leaf that is the same variant against it.
TEST_P(ExpertsTest, ParentsFlipAsTheirLeavesDo) {
  const Mixture model(normals(1, kHidden * kIn), normals(2, kExperts * kHidden), normals(3, kExperts),
                      GetParam());
  std::vector<int> every(static_cast<size_t>(kOps));
  std::iota(every.begin(), every.end(), 0);
  const auto flips = [&](const std::vector<Branch>& branches) {
    std::set<std::pair<int64_t, int64_t>> rows;
    const Batch batch = this->batch();
    Workspace workspace;
    Variants variants({model.context, workspace, batch, model.ops}, DType::f32, ranges_, branches, {}, {},
                      [&](const Flip& flip) {
                        EXPECT_EQ(flip.id, 5);
                        rows.insert({flip.sample, flip.row});
                      });
    variants.run(model.stages.front());
    return rows;
  };
  const auto of_leaf = flips({{.formats = float_, .leaves = {leaf(5, every, &four_bits())}}});
  EXPECT_GT(of_leaf.size(), 0u);
  EXPECT_EQ(flips({{.formats = float_, .leaves = {}}, {.formats = quantized_, .leaves = {}, .id = 5}}),
            of_leaf);
}

// A further leaf that is live at the router costs its logits, and of the experts' products the share of the
// chosen; where none flips, exactly.
TEST_P(ExpertsTest, ProductsAreThoseOfTheChosen) {
  std::vector<float> router = normals(2, kExperts * kHidden);
  for (float& weight : router) weight *= 0.01f;
  const Mixture model(normals(1, kHidden * kIn), router, {3, 2, 1, 0}, GetParam());
  const Batch batch = this->batch();
  const auto flops = [&](int count) {
    Branch branch{.formats = float_, .leaves = {}};
    for (int i = 0; i < count; ++i) branch.leaves.push_back(leaf(i, {0}, &four_bits()));
    Workspace workspace;
    Variants variants({model.context, workspace, batch, model.ops}, DType::f32, ranges_, {branch});
    variants.run(model.stages.front());
    return variants.flops();
  };
  const double rows = 57 + 35, logits = 2 * rows * kExperts * kHidden,
               dense = 2 * rows * kExperts * 3 * kWidth * kHidden;
  EXPECT_EQ(flops(2) - flops(1), logits + dense * 2 / kExperts);
}

// Of two probes, along random directions at the experts' input; and at every op, along changes of its output.
TEST_P(ExpertsTest, GradientsByDifferences) {
  constexpr int64_t kProbes = 2;
  Mixture model(normals(1, kHidden * kIn), normals(2, kExperts * kHidden), normals(3, kExperts), GetParam());
  Stage stage = model.stages.front();
  const Batch batch = this->batch();
  Workspace workspace;
  const Pass pass{model.context, workspace, batch, model.ops};
  // From the first map's output on.
  stage.nodes[0] = stage.nodes[1] = {.operation = Input{"h"}, .inputs = {}, .cols = kHidden};
  const int64_t rows = batch.rows(Rows::tokens), n = rows * kHidden;
  const auto value = [&](const std::vector<float>& numbers) {
    Value v = new_value(pass, rows, kHidden);
    std::ranges::copy(numbers, v.matrix.data);
    return v;
  };
  const std::vector<float> h = normals(11, n), direction = normals(12, n), probes = normals(13, kProbes * n);
  const auto y_at = [&](double step) {
    std::vector<float> moved = h;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(step) * direction[i];
    Values values{{"h", value(moved)}};
    Forward(pass).run(stage, values);
    return wide(values.at("y").matrix);
  };
  Cotangents cotangents;
  cotangents["y"] = {workspace.allocate(DType::f32, kProbes * rows, kHidden), {}};
  cotangents["y"].view = {cotangents["y"].block->data(), DType::f32, kProbes * rows, kHidden, kHidden};
  std::ranges::copy(probes, cotangents["y"].view.as<float>().data);
  int64_t told_rows = 0;
  Backward(pass, kProbes, DType::f32).run(stage, {{"h", value(h)}}, cotangents, [&](const ReachedOp& at) {
    EXPECT_EQ(at.first_rows.size(), 3u);
    EXPECT_EQ(at.first_rows.back(), at.x.rows);
    EXPECT_EQ(at.g.rows, kProbes * at.x.rows);
    told_rows += at.x.rows;
  });
  EXPECT_EQ(told_rows, 3 * 2 * rows);  // three ops of two experts each
  const std::vector<double> ahead = y_at(1e-3), back = y_at(-1e-3);
  const Matrix<float> g = cotangents.at("h").view.as<float>();
  for (int64_t p = 0; p < kProbes; ++p) {
    double slope = 0, found = 0, size = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      const double probe = static_cast<double>(probes[static_cast<size_t>(p * n + i)]);
      slope += probe * (ahead[at] - back[at]) / 2e-3;
      found += static_cast<double>(g.data[p * n + i]) * static_cast<double>(direction[at]);
      size += std::fabs(probe * (ahead[at] - back[at]) / 2e-3);
    }
    EXPECT_NEAR(found, slope, 2e-4 * size);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExpertsTest,
                         ::testing::Values(ops::router::Softmax::over_all, ops::router::Softmax::over_chosen),
                         [](const auto& one) {
                           return std::string(one.param == ops::router::Softmax::over_all ? "OverAll"
                                                                                          : "OverChosen");
                         });

}  // namespace
}  // namespace qsweep::graph
