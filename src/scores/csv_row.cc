#include "scores/csv_row.h"

#include <cmath>

#include "scores/csv.h"

namespace qsweep::scores {
namespace {

constexpr std::array kCountColumns{"positions", "targets", "hidden_elements", "logits_elements"};
constexpr const char* kMeanColumn = "kl_per_position";

void add_sums(CsvRow& row, const Measurement& m) {
  if (!m.total) return row.empty(kAllScopes.size() * (kAllWhich.size() + kCountColumns.size() + 1));
  for (Scope scope : kAllScopes) {
    for (Which which : kAllWhich) row.number(m.sum({which, scope}));
    const MetricSums& sums = m.total->of(scope);
    for (int64_t n : {sums.positions, sums.targets, sums.hidden_elements, sums.logits_elements})
      row.integer(n);
    row.number(m.per_position({Which::kl, scope}));
  }
}

}  // namespace

void CsvRow::text(const std::string& value) {
  if (started_) line_ += ',';
  started_ = true;
  line_ += csv_field(value);
}

void CsvRow::number(double value) { text(std::isfinite(value) ? fmt::format("{}", value) : ""); }

void CsvRow::empty(size_t fields) {
  for (size_t i = 0; i < fields; ++i) text("");
}

void add_measurement_header(CsvRow& row) {
  for (Scope scope : kAllScopes) {
    for (Which which : kAllWhich) row.text(fmt::format("{}_{}", name(scope), name(which)));
    for (const char* column : kCountColumns) row.text(fmt::format("{}_{}", name(scope), column));
    row.text(fmt::format("{}_{}", name(scope), kMeanColumn));
  }
  for (const char* column : {"ranking_metric", "ci95_low", "ci95_high"}) row.text(column);
}

void add_measurement(CsvRow& row, const Measurement& m, Metric ranking) {
  add_sums(row, m);
  const auto& interval = m.intervals.of(ranking);
  row.text(name(ranking));
  row.text(interval ? fmt::format("{}", interval->low) : "");
  row.text(interval ? fmt::format("{}", interval->high) : "");
}

}  // namespace qsweep::scores
