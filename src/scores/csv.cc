#include "scores/csv.h"

#include <cmath>

namespace qsweep::scores {
namespace {

class Row {
 public:
  void text(const std::string& value) {
    if (started_) line_ += ',';
    started_ = true;
    line_ += csv_field(value);
  }
  void integer(int64_t value) { text(fmt::format("{}", value)); }
  void number(double value) { text(std::isfinite(value) ? fmt::format("{}", value) : ""); }
  void empty(size_t fields) {
    for (size_t i = 0; i < fields; ++i) text("");
  }
  std::string line() const { return line_ + "\n"; }

 private:
  std::string line_;
  bool started_ = false;
};

constexpr std::array kFirstColumns{"op",     "tower",  "block", "role",  "format",         "mode",
                                   "method", "status", "rank",  "flags", "effective_bits", "spread_from"};
constexpr std::array kCountColumns{"positions", "targets", "hidden_elements", "logits_elements"};
constexpr std::array kIntervalColumns{"ranking_metric", "ci95_low", "ci95_high"};
constexpr std::array kLocalColumns{
    "local_error_sse", "local_output_sse", "local_relative_error", "local_sqnr_db", "input_min", "input_max",
    "input_absmax",    "input_rms",        "outlier_ratio",        "local_rows"};

std::string header() {
  Row row;
  for (const char* column : kFirstColumns) row.text(column);
  for (Scope scope : kAllScopes) {
    for (Which which : kAllWhich) row.text(fmt::format("{}_{}", name(scope), name(which)));
    for (const char* column : kCountColumns) row.text(fmt::format("{}_{}", name(scope), column));
  }
  for (const char* column : kIntervalColumns) row.text(column);
  for (const char* column : kLocalColumns) row.text(column);
  return row.line();
}

void add_identity(Row& row, const OpRecord& op, const ScoreRecord& score) {
  row.text(op.name);
  row.text(op.tower);
  row.text(op.block ? fmt::format("{}", *op.block) : "");
  row.text(op.role);
  row.text(score.format);
  row.text(std::string(name(score.mode)));
  row.text(std::string(name(score.method)));
  row.text(std::string(name(score.status)));
  row.text(score.rank ? fmt::format("{}", *score.rank) : "");
  row.text(fmt::format("{}", fmt::join(score.flags, ";")));
  row.number(score.effective_bits);
  row.text(score.spread_from.value_or(""));
}

void add_sums(Row& row, const std::optional<ScopedSums>& total) {
  if (!total) return row.empty(kAllScopes.size() * (kAllWhich.size() + kCountColumns.size()));
  for (Scope scope : kAllScopes) {
    const MetricSums& sums = total->of(scope);
    row.number(sums.hidden_sse);
    row.number(sums.logits_sse);
    row.number(sums.kl);
    row.number(sums.nll_delta);
    for (int64_t n :
         {sums.top1_flips, sums.positions, sums.targets, sums.hidden_elements, sums.logits_elements})
      row.integer(n);
  }
}

void add_local(Row& row, const std::optional<LocalStats>& local) {
  if (!local) return row.empty(kLocalColumns.size());
  for (double value :
       {local->error_sse, local->output_sse, local->relative_error(), local->sqnr_db(), local->input_min,
        local->input_max, local->input_absmax(), local->input_rms(), local->outlier_ratio()})
    row.number(value);
  row.integer(local->rows);
}

}  // namespace

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

std::string to_csv(const Run& run) {
  std::string csv = header();
  for (const ScoreRecord& score : run.scores) {
    Row row;
    add_identity(row, run.ops[score.op], score);
    add_sums(row, score.total);
    const auto& interval = score.intervals.of(run.ranking_metric);
    row.text(name(run.ranking_metric));
    row.text(interval ? fmt::format("{}", interval->low) : "");
    row.text(interval ? fmt::format("{}", interval->high) : "");
    add_local(row, score.local);
    csv += row.line();
  }
  return csv;
}

}  // namespace qsweep::scores
