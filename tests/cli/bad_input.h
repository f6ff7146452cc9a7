// Bad input must be refused: exit code 2, one line on standard error that says what and where, no result on
// standard output, and what an earlier run has written left as it was.
#pragma once

#include <gtest/gtest.h>

#include "program.h"

namespace qsweep::cli {

class BadInput : public ::testing::Test {
 protected:
  // Every case writes into the folder of a good run.
  void SetUp() override;

  // Scores lm_head of one sample, unless `more` says otherwise.
  Arguments score(const std::string& model, const std::string& data, const Arguments& more = {}) const;
  // Takes the folder of the good run as it is now for what must not change.
  void remember();
  // `words` are what the message must hold beside the start "error: ".
  void expect_refused(const Arguments& arguments, const std::vector<std::string>& words) const;
  // The same for a copy of the tiny model that `damage` has changed.
  void expect_model_refused(const std::function<void(const std::string& model)>& damage,
                            const std::vector<std::string>& words) const;

  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const std::string captions = testdata("data/captions.txt");
  const std::string with_images = testdata("data/eval.jsonl");
  const Workplace place;

 private:
  std::map<std::string, std::string> before_;
};

}  // namespace qsweep::cli
