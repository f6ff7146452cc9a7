#include "report/page.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/assets.h"
#include "report/pictures.h"
#include "report/recipes.h"
#include "report/view_run.h"
#include "scores/eval_synthetic.h"
#include "scores/files.h"
#include "support/temporary_folder.h"

namespace qsweep::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

scores::Run finished(scores::Run run) {
  scores::finalize(run, {}, 1);
  return run;
}

// What the page holds of its data.
io::Json data_of(const std::string& page) {
  const std::string begin = "id=\"data\">";
  const size_t at = page.find(begin) + begin.size();
  return io::parse_json(page.substr(at, page.find("</script>", at) - at), "the page");
}

TEST(Page, NumbersKeepSixDigitsAndOnlyThose) {
  EXPECT_EQ(rounded(0.0123456789).dump(), "0.0123457");
  EXPECT_EQ(rounded(1.0 / 3).dump(), "0.333333");
  EXPECT_EQ(rounded(NAN), nullptr);
  EXPECT_EQ(rounded(INFINITY), nullptr);
}

TEST(Page, HasTheScoresAsColumns) {
  const scores::Run run = finished(scores::steady_run());
  const io::Json seen = data_of(page(view({.run = &run})));
  EXPECT_EQ(seen["title"], "tiny");
  const io::Json& group = seen["run"]["groups"][0];
  EXPECT_EQ(group["format"], "w8a8");
  EXPECT_EQ(group["positions"], 30);
  const io::Json& columns = group["scores"];
  EXPECT_EQ(columns["rank"], io::Json({3, 4, 1, 2}));
  EXPECT_EQ(columns["value"], io::Json({0.2, 0.1, 0.4, 0.3}));
  EXPECT_EQ(columns["share"], io::Json({0.2, 0.1, 0.4, 0.3}));
  EXPECT_EQ(columns["sqnr_db"][0], 20.0);
  for (const auto& [name, column] : columns.items()) EXPECT_EQ(column.size(), 4) << name;
  EXPECT_THAT(group["explanations"]["2"].get<std::string>(), HasSubstr("Its own output is off by"));
}

TEST(Page, GroupsStandBesideTheSumOfTheirOps) {
  scores::Run run = scores::steady_run();
  scores::GroupScore group;
  group.name = "the first two";
  group.ops = {0, 1};
  group.format = "w8a8";
  group.per_sample = scores::make_score(0, {6, 6, 6}).per_sample;
  run.groups = {group, group};
  run.groups[1].name = "one without a score";
  run.groups[1].per_sample.clear();
  run.groups[1].status = scores::Status::unexercised;
  run = finished(run);
  const io::Json seen = view({.run = &run})["run"]["together"];
  ASSERT_EQ(seen.size(), 1);
  EXPECT_EQ(seen[0]["name"], "the first two");
  EXPECT_EQ(seen[0]["ops"], io::Json({0, 1}));
  EXPECT_EQ(seen[0]["value"], 0.6);
  EXPECT_EQ(seen[0]["sum"], 0.3);
  EXPECT_EQ(seen[0]["ratio"], 2.0);
}

TEST(Page, AnOpWithoutAScoreHasNoNumber) {
  scores::Run run = scores::steady_run();
  run.scores[1].status = scores::Status::unexercised;
  run.scores[1].local.reset();
  run = finished(run);
  const io::Json columns = run_view(run)["groups"][0]["scores"];
  EXPECT_EQ(columns["status"][1], "unexercised");
  for (const char* name : {"rank", "value", "interval", "share", "kl", "flips", "sqnr_db", "relative_error"})
    EXPECT_EQ(columns[name][1], nullptr) << name;
}

TEST(Page, HostileNamesStayData) {
  scores::Run run = scores::steady_run();
  const std::string hostile = "</script><script>alert(1)</script><!-- \xe2\x80\xae \"'&\xff";
  run.ops[0].name = run.ops[1].role = run.model.path_name = hostile;
  run.settings["data"] = hostile;
  run = finished(run);
  const std::string text = page(view({.run = &run}));
  EXPECT_THAT(text, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(data_of(text)["run"]["ops"]["name"][0].get<std::string>(),
              AllOf(HasSubstr("</script><script>alert(1)</script>"), HasSubstr("<!--")));
}

TEST(Page, IsOneFileWithItsLicences) {
  const std::string text = page(view({.run = nullptr, .eval = nullptr}));
  EXPECT_THAT(text, AllOf(HasSubstr("Apache License"), HasSubstr("echarts"), HasSubstr("zrender")));
  EXPECT_THAT(text, Not(HasSubstr(std::string(kPageData))));
  for (const char* link : {"<link", "src=\"http", "@import"}) EXPECT_THAT(text, Not(HasSubstr(link)));
}

TEST(Page, RecipesStandWithWhatWasMeasured) {
  const scores::Run run = finished(scores::make_run());
  const scores::EvalRun eval = scores::make_eval();
  const io::Json recipes = {
      {"schema", kRecipesSchema},
      {"model", {{"path_name", "tiny"}}},
      {"metric", "kl:all"},
      {"recipes",
       {{{"name", "mixed"},
         {"effective_bits", 6.5},
         {"predicted", 0.5},
         {"ops", {{run.ops[0].name, "w8a8"}, {run.ops[2].name, "w8a8"}}}},
        {{"name", "smaller"},
         {"effective_bits", 5},
         {"predicted", 0.7},
         {"measured", {{"seen", {{"error", 0.6}}}, {"held_out", {{"error", 0.8}, {"ci95", {0.5, 0.9}}}}}},
         {"ops", io::Json::object()}}}}};
  const io::Json seen = view({.run = &run, .eval = &eval, .recipes = &recipes})["recipes"];
  ASSERT_EQ(seen["points"].size(), 4) << "mixed is in both files";
  EXPECT_EQ(seen["points"][0]["name"], "smaller");
  EXPECT_EQ(seen["points"][0]["measured"], 0.8) << "by the samples that judge";
  EXPECT_EQ(seen["points"][0]["interval"], io::Json({0.5, 0.9}));
  const io::Json& mixed = seen["points"][1];
  EXPECT_EQ(mixed["name"], "mixed");
  EXPECT_EQ(mixed["measured"], 1.0);
  EXPECT_EQ(mixed["choice"], io::Json({0, -1, 0, -1}));
  EXPECT_EQ(seen["formats"], io::Json({"w8a8", "mxfp4"}));
}

TEST(Page, FilesAreFoundAndMustBeWhatTheirNamesSay) {
  const testing::TemporaryFolder place;
  EXPECT_THROW((void)read_files({place.at("none")}), Error);
  place.write("compare.json", R"({"schema": "qsweep.eval/1"})");
  EXPECT_THROW((void)read_files({place.path()}), Error);
  std::filesystem::remove(place.at("compare.json"));
  scores::write_scores(finished(scores::make_run()), place.path());
  const FoundFiles found = read_files({place.at("none"), place.path()});
  ASSERT_TRUE(found.run);
  EXPECT_EQ(found.findings().run->ops.size(), 4);
  EXPECT_EQ(found.findings().eval, nullptr);
}

TEST(Page, CommandsCanBeRepeated) {
  scores::Run run = finished(scores::make_run());
  run.settings = {
      {"model", "it's b"}, {"format", {"w8a8", "nvfp4"}}, {"inc", true}, {"calib", nullptr}, {"seed", 1}};
  EXPECT_EQ(view({.run = &run})["commands"][0]["command"],
            "qsweep score 'it'\\''s b' --format w8a8 --format nvfp4 --inc --seed 1");
}

TEST(Pictures, AreDrawnOfWhatThereIs) {
  const scores::Run run = finished(scores::steady_run());
  const auto files = pictures(view({.run = &run}));
  ASSERT_EQ(files.size(), 2);
  EXPECT_EQ(files[0].first, "heat_map_w8a8.svg");
  EXPECT_THAT(files[0].second, AllOf(::testing::StartsWith("<svg role=\"img\""), HasSubstr("q_proj"),
                                     HasSubstr("share of the summed error, w8a8")));
  EXPECT_THAT(files[1].second, HasSubstr("1. model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(pictures(view({.eval = nullptr})).empty());
}

TEST(Pictures, HostileNamesAreText) {
  scores::Run run = scores::steady_run();
  run.ops[2].name = "<script>&\"'";
  run = finished(run);
  for (const auto& [file, svg] : pictures(view({.run = &run}))) {
    EXPECT_THAT(svg, Not(HasSubstr("<script"))) << file;
    EXPECT_THAT(svg, HasSubstr("&lt;script&gt;")) << file;
  }
}

}  // namespace
}  // namespace qsweep::report
