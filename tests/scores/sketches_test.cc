// Sketches: where numbers go, what comes back from the file, and inner products against plain sums.
#include "scores/sketches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "scores/synthetic.h"
#include "support/random.h"
#include "support/temporary_folder.h"

namespace qsweep::scores {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

constexpr int64_t kSketchWidth = 5;
const std::vector<std::vector<uint8_t>> kSketchAnswers{{0, 1, 1}, {0}, {1, 0, 0, 1}};

// Of scores 0, 2 and 3 of make_run(); 3 is zero for the last sample.
Sketches some_sketches(Which which = Which::kl) {
  Sketches sketches(which, kSketchWidth, kSketchAnswers, {0, 2, 3});
  Rng rng(1);
  for (const size_t score : sketches.scores())
    for (int64_t s = 0; s < sketches.samples(); ++s) {
      std::ranges::copy(testing::normals(rng, std::ssize(sketches.of(score, s))),
                        sketches.of(score, s).begin());
      if (score == 3 && s == 2) std::ranges::fill(sketches.of(score, s), 0.0f);
      sketches.error(score, s) = {static_cast<double>(score) + 0.5, static_cast<double>(s)};
    }
  return sketches;
}

double plain_product(Sketches& sketches, size_t a, size_t b, Scope scope,
                     const std::vector<int64_t>& samples) {
  double sum = 0;
  for (const int64_t s : samples)
    for (int64_t i = 0; i < std::ssize(sketches.of(a, s)); ++i)
      if (scope == Scope::all ||
          kSketchAnswers[static_cast<size_t>(s)][static_cast<size_t>(i / kSketchWidth)] != 0)
        sum += static_cast<double>(sketches.of(a, s)[static_cast<size_t>(i)]) *
               static_cast<double>(sketches.of(b, s)[static_cast<size_t>(i)]);
  return sum / kSketchWidth;
}

TEST(SketchesTest, ARunOfSomeSamples) {
  const Sketches sketches = some_sketches();
  const scores::Run run = on_samples(make_run(), sketches, std::vector<int64_t>{0, 2});
  const Metric kl{Which::kl, Scope::all}, answer{Which::kl, Scope::answer};
  ASSERT_TRUE(run.scores[2].has(kl));
  EXPECT_EQ(run.scores[2].sum(kl), 2 * 2.5);
  EXPECT_EQ(run.scores[2].sum(answer), 0 + 2);
  EXPECT_EQ(run.scores[2].per_position(kl), 5.0 / 7) << "of 3 and 4 positions";
  EXPECT_EQ(run.scores[2].per_position(answer), 2.0 / 4);
  EXPECT_FALSE(run.scores[2].has({Which::logits_sse, Scope::all}));
  EXPECT_FALSE(run.scores[1].has(kl)) << "it has no sketch";
  Sketches silent = some_sketches();
  silent.error(2, 0) = silent.error(2, 2) = {0, 0};
  EXPECT_FALSE(on_samples(make_run(), silent, std::vector<int64_t>{0, 2}).scores[2].has(kl));
  EXPECT_TRUE(on_samples(make_run(), silent, std::vector<int64_t>{0, 1}).scores[2].has(kl));
}

TEST(SketchesTest, InteractionsAreMeanProducts) {
  for (const Which which : {Which::kl, Which::hidden_sse}) {
    Sketches sketches = some_sketches(which);
    const double scale = which == Which::kl ? 0.5 : 1;
    for (const Scope scope : kAllScopes)
      for (const std::vector<int64_t>& samples : {std::vector<int64_t>{0, 1, 2}, {0, 2}, {1}}) {
        const Interactions found = sketches.interactions(scope, samples, Threads{2});
        for (const size_t a : sketches.scores())
          for (const size_t b : sketches.scores())
            EXPECT_NEAR(found.between(a, b), scale * plain_product(sketches, a, b, scope, samples), 1e-5);
        EXPECT_FALSE(found.has(1));
      }
  }
}

// Many scores: every pair is computed by some thread.
TEST(SketchesTest, EveryPairIsThere) {
  std::vector<size_t> all(9);
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  Sketches sketches(Which::logits_sse, 1, std::vector<std::vector<uint8_t>>{{0}}, all);
  for (const size_t i : all) sketches.of(i, 0)[0] = static_cast<float>(i + 1);
  for (const int threads : {1, 2, 4}) {
    const Interactions found = sketches.interactions(Scope::all, std::array<int64_t, 1>{0}, Threads{threads});
    for (const size_t a : all)
      for (const size_t b : all)
        EXPECT_EQ(found.between(a, b), static_cast<double>((a + 1) * (b + 1))) << threads;
  }
}

TEST(SketchesTest, AFileHoldsEverything) {
  const TemporaryFolder folder;
  const scores::Run run = make_run();
  EXPECT_FALSE(read_sketches(run, folder.path()).has_value());
  Sketches written = some_sketches();
  write_sketches(run, written, folder.path());
  std::optional<Sketches> read = read_sketches(run, folder.path());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->which(), Which::kl);
  EXPECT_EQ(read->width(), kSketchWidth);
  EXPECT_THAT(read->scores(), ::testing::ElementsAre(0, 2, 3));
  ASSERT_EQ(read->samples(), 3);
  EXPECT_EQ(read->positions(), 8);
  for (const size_t score : written.scores())
    for (int64_t s = 0; s < 3; ++s) {
      EXPECT_TRUE(std::ranges::equal(read->of(score, s), written.of(score, s)));
      EXPECT_EQ(read->error(score, s), written.error(score, s));
    }
  const std::vector<int64_t> all{0, 1, 2};
  EXPECT_EQ(read->interactions(Scope::answer, all, Threads{1}).between(0, 2),
            written.interactions(Scope::answer, all, Threads{1}).between(0, 2));
}

TEST(SketchesTest, AFileOfAnotherRunOrADamagedOneIsRefused) {
  const TemporaryFolder folder;
  const scores::Run run = make_run();
  write_sketches(run, some_sketches(), folder.path());
  const auto refused = [&](const scores::Run& other) -> std::string {
    try {
      read_sketches(other, folder.path());
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  scores::Run other = run;
  other.data.sha256 = "ee";
  EXPECT_THAT(refused(other), HasSubstr("data_sha256: expected \"ee\", found \"cd\""));
  other = run;
  other.model.weights_sha256_of_headers = "0";
  EXPECT_THAT(refused(other), HasSubstr("weights_sha256_of_headers"));
  other = run;
  other.scores[2].format = "w4a8";
  EXPECT_THAT(refused(other), HasSubstr("expected scores of the run, found 1 of 3 there"));

  const std::string file(kSketchesFile), content = folder.read(file);
  for (const size_t from_end : {size_t{1}, size_t{20}, size_t{200}}) {
    std::string damaged = content;
    damaged[damaged.size() - from_end] ^= 4;
    folder.write(file, damaged);
    EXPECT_THAT(refused(run), ::testing::AnyOf(HasSubstr("SHA-256"), HasSubstr("positions"))) << from_end;
  }
  folder.write(file, content.substr(0, content.size() - 8));
  EXPECT_NE(refused(run), "accepted");
  std::string other_schema = content;
  other_schema.replace(other_schema.find("sketches/1"), 10, "sketches/9");
  folder.write(file, other_schema);
  EXPECT_THAT(refused(run),
              HasSubstr("expected the schema \"qsweep.sketches/1\", found \"qsweep.sketches/9\""));
}

}  // namespace
}  // namespace qsweep::scores
