#include "report/comparison.h"

#include "io/atomic_file.h"
#include "report/text.h"
#include "scores/schema.h"

namespace qsweep::report {
namespace {

using compare::Agreement;
using compare::Indistinct;
using compare::Statistics;
using compare::Unit;

constexpr const char* kHowToReadComparison =
    "## How to read this\n\n"
    "- Rank 1 is the most sensitive op on either side. Equal scores share the mean of their ranks.\n"
    "- Spearman and Kendall (tau-b) are 1 for the same order, 0 for unrelated ones, -1 for the reverse.\n"
    "- The overlap counts the ops that both sides have among their first k; of equal scores at the edge each "
    "counts by its chance to be drawn.\n"
    "- A group of ops that the other side scored together stands for the sum of the run's scores of its "
    "ops.\n";

std::string indistinct_text(const Indistinct& i) {
  const std::string whose = i.of_run ? "RUN's" : "OTHER's";
  if (i.units == i.of && i.units > 1)
    return fmt::format("All {} of {} {} ops have the same score {}: it has no ranking there.", i.units, whose,
                       i.tower, number(i.score));
  return fmt::format("{} of {} {} {} ops {} a score, {}, that others have too.", i.units, whose, i.of,
                     i.tower, i.units == 1 ? "has" : "have", number(i.score));
}

std::string overlap_text(double overlap) {
  return fmt::format("{:.3g}", overlap);  // whole, unless scores at the edge are equal
}

std::string top_name(const compare::TopK& top) {
  return top.percent ? fmt::format("top {} % ({})", *top.percent, top.k) : fmt::format("top {}", top.k);
}

std::string statistics_table(const Agreement& agreement) {
  std::vector<std::string> header{"Compared", ">Ops", ">Spearman", ">Kendall"};
  for (const auto& top : agreement.all.top) header.push_back(">Overlap, " + top_name(top));
  Table table(header);
  const auto row = [&](const char* what, const Statistics& s) {
    std::vector<std::string> cells{what, fmt::format("{}", s.units), number(s.spearman), number(s.kendall)};
    for (const auto& column : agreement.all.top) {
      std::string cell = "–";
      for (const auto& top : s.top)
        if (top.percent == column.percent && (top.percent || top.k == column.k))
          cell = fmt::format("{} of {}", overlap_text(top.overlap), top.k);
      cells.push_back(cell);
    }
    table.row(cells);
  };
  row("all that both sides score", agreement.all);
  if (agreement.distinguished) row("those that both sides tell apart", *agreement.distinguished);
  return table.text();
}

std::string outlier_table(const Agreement& agreement) {
  Table table({"Op", ">Rank in RUN", ">Rank in OTHER", ">Score in RUN", ">Score in OTHER"});
  for (size_t i : agreement.outliers) {
    const Unit& unit = agreement.units[i];
    std::string label = code(unit.name);
    if (unit.members.size() > 1) label += fmt::format(" ({} ops)", unit.members.size());
    table.row({label, fmt::format("{}", unit.run_rank), fmt::format("{}", unit.other_rank),
               number(unit.run_score), number(unit.other_score)});
  }
  return table.empty() ? "" : "## Outliers\n\nThe largest differences of ranks.\n\n" + table.text();
}

std::string list(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::vector<std::string> coded;
  for (const std::string& name : names) coded.push_back(code(name));
  return fmt::format("- {}, {}: {}\n", what, counted(static_cast<int64_t>(names.size()), "op"),
                     shortened_list(coded));
}

std::string list(const char* what, const std::vector<compare::Unscored>& ops) {
  std::vector<std::string> names;
  for (const auto& op : ops) names.push_back(code(op.name) + " (" + plain(op.why) + ")");
  if (names.empty()) return "";
  return fmt::format("- {}, {}: {}\n", what, counted(static_cast<int64_t>(names.size()), "op"),
                     shortened_list(names));
}

std::string one_sided_section(const Agreement& agreement) {
  const std::string text = list("Only in RUN", agreement.only_in_run) +
                           list("Only in OTHER", agreement.only_in_other) +
                           list("Without a score in RUN", agreement.unscored_in_run) +
                           list("Without a score in OTHER", agreement.unscored_in_other);
  return text.empty() ? "" : "## On one side only\n\n" + text + "\n";
}

std::string comparison_section(const Agreement& agreement) {
  std::string text;
  Table sides({"", "File", "Scores"});
  sides.row({"RUN", code(agreement.run.source), plain(agreement.run.what)});
  sides.row({"OTHER", code(agreement.other.source), plain(agreement.other.what)});
  text += sides.text();
  for (const std::string& warning : agreement.warnings) text += "- **Warning**: " + plain(warning) + ".\n";
  for (const std::string& note : comparison_notes(agreement)) text += "- " + plain(note) + "\n";
  return text + "\n## Agreement\n\n" + statistics_table(agreement) + outlier_table(agreement) +
         one_sided_section(agreement);
}

}  // namespace

std::vector<std::string> comparison_notes(const Agreement& agreement) {
  std::vector<std::string> notes;
  for (const std::string& note : agreement.run.notes) notes.push_back("RUN: " + note + ".");
  for (const std::string& note : agreement.other.notes) notes.push_back("OTHER: " + note + ".");
  int64_t groups = 0;
  for (const Unit& unit : agreement.units) groups += unit.members.size() > 1;
  if (groups > 0)
    notes.push_back(
        fmt::format("{} of OTHER {} of several ops together: the run's scores of these are added.",
                    counted(groups, "score"), groups == 1 ? "is" : "are"));
  for (const Indistinct& i : agreement.indistinct) notes.push_back(indistinct_text(i));
  return notes;
}

std::string agreement_text(const Statistics& s) {
  std::string text = fmt::format("Spearman {}, Kendall {}", number(s.spearman), number(s.kendall));
  for (const auto& top : s.top)
    text += fmt::format(", {} of the {}", overlap_text(top.overlap), top_name(top));
  return text;
}

std::string comparison_markdown(const std::vector<Agreement>& agreements) {
  std::string text = "# Agreement of two rankings\n\n";
  for (const Agreement& agreement : agreements) {
    if (agreements.size() > 1) text += "# " + code(agreement.run.what) + "\n\n";
    text += comparison_section(agreement);
  }
  return text + kHowToReadComparison;
}

void write_comparison(const std::vector<Agreement>& agreements, const std::string& folder) {
  io::write_file_atomically(folder + "/compare.json", scores::to_text(compare::to_json(agreements)));
  io::write_file_atomically(folder + "/compare.md", comparison_markdown(agreements));
}

}  // namespace qsweep::report
