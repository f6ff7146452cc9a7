// qsweep transfer: a run of one model as a forecast for another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Transfer : public ::testing::Test {
 protected:
  const Workplace place;
  const std::string tiny = testdata("tiny-qwen2.5-vl"), other = testdata("families/qwen2_5_vl");
  const std::string run = score_run(place, "proxy", tiny, {"--format", "w8a16"}).folder;
};

TEST_F(Transfer, WritesARunOfTheOtherModel) {
  const Outcome outcome = run_qsweep({"transfer", run, "--to", other, "--out", place.at("out")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const io::Json json = io::read_json_file(place.at("out/scores.json"));
  EXPECT_EQ(json["model"]["path_name"], "qwen2_5_vl");
  EXPECT_EQ(json["settings"]["proxy"]["model"], "tiny-qwen2.5-vl");
  EXPECT_EQ(json["scores"].size(), json["ops"].size());
  int transferred = 0;
  for (const io::Json& score : json["scores"]) {
    EXPECT_EQ(score["method"], "transfer");
    if (score["status"] != "ok") continue;
    EXPECT_THAT(score["flags"].get<std::vector<std::string>>(), ::testing::Contains("approximate"));
    ++transferred;
  }
  EXPECT_EQ(transferred, 14 + 1) << "two layers and the head: the proxy's captions have no images";
  EXPECT_THAT(read_text(place.at("out/report.md")), HasSubstr("carried over"));
  EXPECT_EQ(run_qsweep({"report", place.at("out")}).code, 0) << "a run like any other";
}

TEST_F(Transfer, OntoItselfItForetellsEverything) {
  const Outcome outcome =
      run_qsweep({"transfer", run, "--to", tiny, "--out", place.at("out"), "--check", run});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("w8a16, isolated: of the 4 most sensitive ops it foretold 4"),
                                 HasSubstr("language"), HasSubstr("1.000")));
}

TEST_F(Transfer, BadInput) {
  const auto refused = [&](const Arguments& arguments, const std::string& words) {
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr(words)));
    EXPECT_FALSE(std::filesystem::exists(place.at("out")));
  };
  refused({"transfer", place.at("none"), "--to", other, "--out", place.at("out")}, "none");
  refused({"transfer", run, "--to", place.at("none"), "--out", place.at("out")},
          "found nothing of that name");
  refused({"transfer", run, "--to", other, "--out", place.at("out"), "--metric", "loud"}, "--metric");
  refused({"transfer", run, "--to", other, "--out", place.at("out"), "--check", other}, "--check");
}

}  // namespace
}  // namespace qsweep::cli
