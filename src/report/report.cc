#include "report/report.h"

#include "io/atomic_file.h"
#include "report/groups.h"
#include "report/overview.h"
#include "report/ranking.h"
#include "report/scopes.h"
#include "report/text.h"
#include "report/time.h"
#include "report/verdict.h"
#include "report/verification.h"
#include "report/warnings.h"
#include "scores/files.h"
#include "scores/finalize.h"

namespace qsweep::report {
namespace {

constexpr const char* kHowToRead =
    "## How to read this\n\n"
    "- Every number compares a quantized model with the float model on the same data; zero is no change. An "
    "isolated "
    "score has one op quantized and everything else float; a leave-one-out score is the error that remains "
    "when one "
    "op of the all-quantized model returns to float.\n"
    "- Rank 1 is the most sensitive op: the one to keep at higher precision first.\n"
    "- [a, b] is a 95 % confidence interval of the mean per position over samples of this kind of data. "
    "Where "
    "intervals overlap widely, the order between two ops is open.\n"
    "- Shares add up errors of single ops. The error with everything quantized may be larger or smaller than "
    "their sum.\n"
    "- Local SQNR and outlier ratio describe the op alone; they explain a rank, they do not make it.\n";

std::string warning_section(const scores::Run& run) {
  std::string text;
  for (const std::string& warning : warnings(run)) text += "- " + warning + "\n";
  return text.empty() ? "" : "## Warnings\n\n" + text + "\n";
}

}  // namespace

std::string markdown(const scores::Run& run) {
  std::string text = "# Quantization sensitivity of " + code(run.model.path_name) + "\n\n";
  text += summary_line(run);
  text += verdict_section(run);
  text += warning_section(run);
  text += baseline_section(run);
  std::string rankings;
  for (const scores::ScoreGroup& group : group_scores(run)) rankings += ranking_section(run, group);
  if (!rankings.empty()) text += "## The most sensitive ops\n\n" + rankings;
  text += group_section(run);
  text += reliability_section(run);
  text += scope_section(run);
  text += verification_section(run);
  text += unscored_section(run);
  text += run_section(run);
  text += time_section(run.provenance);
  return text + kHowToRead;
}

void write_report(const scores::Run& run, const std::string& folder) {
  io::write_file_atomically(folder + "/report.md", markdown(run));
}

void from_folder(const std::string& folder, const std::optional<scores::Metric>& metric) {
  scores::Run run = scores::read_scores(folder);
  if (metric) with_context("--metric", [&] { scores::rank_by(run, *metric); });
  write_report(run, folder);
  scores::write_csv(run, folder);
}

}  // namespace qsweep::report
