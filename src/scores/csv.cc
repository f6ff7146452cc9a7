#include "scores/csv.h"

#include "scores/csv_row.h"

namespace qsweep::scores {
namespace {

constexpr std::array kFirstColumns{
    "op",     "tower", "block",  "role",   "in_features", "out_features", "parameters",     "fusion_group",
    "format", "mode",  "method", "status", "rank",        "flags",        "effective_bits", "spread_from"};
constexpr std::array kLocalColumns{
    "local_error_sse", "local_output_sse", "local_relative_error", "local_sqnr_db", "input_min", "input_max",
    "input_absmax",    "input_rms",        "outlier_ratio",        "local_rows"};

std::string header() {
  CsvRow row;
  for (const char* column : kFirstColumns) row.text(column);
  add_measurement_header(row);
  for (const char* column : kLocalColumns) row.text(column);
  row.text("estimates");
  return row.line();
}

void add_identity(CsvRow& row, const OpRecord& op, const ScoreRecord& score) {
  row.text(op.name);
  row.text(op.tower);
  row.text(op.block ? fmt::format("{}", *op.block) : "");
  row.text(op.role);
  for (int64_t n : {op.in_features, op.out_features, op.parameters}) row.integer(n);
  row.text(op.fusion_group.value_or(""));
  row.text(score.format);
  row.text(std::string(name(score.mode)));
  row.text(std::string(name(score.method)));
  row.text(std::string(name(score.status)));
  row.text(score.rank ? fmt::format("{}", *score.rank) : "");
  row.text(fmt::format("{}", fmt::join(score.flags, ";")));
  row.number(score.effective_bits);
  row.text(score.spread_from.value_or(""));
}

void add_local(CsvRow& row, const std::optional<LocalStats>& local) {
  if (!local) return row.empty(kLocalColumns.size());
  for (double value :
       {local->error_sse, local->output_sse, local->relative_error(), local->sqnr_db(), local->input_min,
        local->input_max, local->input_absmax(), local->input_rms(), local->outlier_ratio()})
    row.number(value);
  row.integer(local->rows);
}

void add_estimates(CsvRow& row, const ScoreRecord& score) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : score.estimates) parts.push_back(fmt::format("{}={}", key, value));
  row.text(fmt::format("{}", fmt::join(parts, ";")));
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
    CsvRow row;
    add_identity(row, run.ops[score.op], score);
    add_measurement(row, score, run.ranking_metric);
    add_local(row, score.local);
    add_estimates(row, score);
    csv += row.line();
  }
  return csv;
}

}  // namespace qsweep::scores
