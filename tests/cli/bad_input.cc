#include "bad_input.h"

#include <algorithm>

#include <gmock/gmock.h>

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int64_t kEnoughBytes = int64_t{1} << 30;  // refusing takes no memory to speak of

}  // namespace

void BadInput::SetUp() {
  const Outcome good = run_qsweep(score(tiny, captions));
  ASSERT_EQ(good.code, 0) << good.err;
  remember();
  ASSERT_EQ(before_.size(), 5u);
}

void BadInput::remember() { before_ = files_in(place.at("run")); }

Arguments BadInput::score(const std::string& model, const std::string& data, const Arguments& more) const {
  Arguments arguments{"score", model, "--data", data, "--out", place.at("run"), "--threads", "1"};
  if (std::find(more.begin(), more.end(), "--ops") == more.end())
    arguments.insert(arguments.end(), {"--ops", "lm_head"});
  if (std::find(more.begin(), more.end(), "--samples") == more.end())
    arguments.insert(arguments.end(), {"--samples", "1"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

void BadInput::expect_refused(const Arguments& arguments, const std::vector<std::string>& words) const {
  const Outcome outcome = run_qsweep(arguments);
  SCOPED_TRACE(::testing::PrintToString(arguments));
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("error: "));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  for (const std::string& word : words) EXPECT_THAT(outcome.err, HasSubstr(word));
  EXPECT_THAT(outcome.out, Not(HasSubstr("sensitive")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("scores.json")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("eval.json")));
  EXPECT_LE(outcome.peak_bytes, kEnoughBytes);
  EXPECT_TRUE(files_in(place.at("run")) == before_) << "the earlier run's files have changed";
}

void BadInput::expect_model_refused(const std::function<void(const std::string& model)>& damage,
                                    const std::vector<std::string>& words) const {
  const std::string model = place.copy_model("model");
  damage(model);
  expect_refused(score(model, captions), words);
  std::filesystem::remove_all(model);
}

}  // namespace qsweep::cli
