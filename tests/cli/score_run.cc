#include "score_run.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace qsweep::cli {
namespace {

void add_unless_given(Arguments& arguments, const std::string& flag, const std::string& value) {
  if (std::find(arguments.begin(), arguments.end(), flag) == arguments.end())
    arguments.insert(arguments.end(), {flag, value});
}

// Runs a subcommand on the model and reads the JSON file that it wrote.
template <class Run>
Run run_into(const Workplace& place, const std::string& name, const std::string& command,
             const std::string& model, const Arguments& flags, const std::string& json) {
  Run run;
  run.folder = place.at(name);
  Arguments arguments{command, model, "--out", run.folder};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  add_unless_given(arguments, "--data", testdata("data/captions.txt"));
  add_unless_given(arguments, "--samples", "3");
  add_unless_given(arguments, "--memory", "1G");
  add_unless_given(arguments, "--threads", "2");
  run.outcome = run_qsweep(arguments);
  EXPECT_EQ(run.outcome.code, 0) << run.outcome.err;
  if (run.outcome.code == 0) run.json = io::read_json_file(run.folder + "/" + json);
  return run;
}

}  // namespace

std::vector<std::string> ScoreRun::ops_with(const std::string& status) const {
  std::vector<std::string> names;
  for (const io::Json& score : scores())
    if (score["status"] == status) names.push_back(score["op"]);
  return names;
}

std::vector<double> ScoreRun::kl_sums() const {
  std::vector<double> sums;
  for (const io::Json& score : scores())
    if (!score["metrics"].is_null()) sums.push_back(score["metrics"]["all"]["kl"]);
  return sums;
}

ScoreRun score_run(const Workplace& place, const std::string& name, const std::string& model,
                   const Arguments& flags) {
  return run_into<ScoreRun>(place, name, "score", model, flags, "scores.json");
}

EvalRun eval_run(const Workplace& place, const std::string& name, const std::string& model,
                 const Arguments& flags) {
  return run_into<EvalRun>(place, name, "eval", model, flags, "eval.json");
}

double median_relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size() || b.empty() || !(*std::min_element(b.begin(), b.end()) > 0)) return kInfinity;
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]) / b[i];
    differences.push_back(std::isnan(difference) ? kInfinity : difference);
  }
  std::sort(differences.begin(), differences.end());
  return differences[differences.size() / 2];
}

}  // namespace qsweep::cli
