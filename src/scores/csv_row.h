// What the tables of this module share: rows, and the columns of a measurement.
#pragma once

#include <string>

#include "base/error.h"
#include "scores/record.h"

namespace qsweep::scores {

class CsvRow {
 public:
  void text(const std::string& value);
  void integer(int64_t value) { text(fmt::format("{}", value)); }
  void number(double value);  // an empty field unless finite
  void empty(size_t fields);
  std::string line() const { return line_ + "\n"; }

 private:
  std::string line_;
  bool started_ = false;
};

// Sums, counts and KL per position of both scopes: all_kl, ..., answer_kl, ...; then ranking_metric,
// ci95_low, ci95_high.
void add_measurement_header(CsvRow& row);
void add_measurement(CsvRow& row, const Measurement& measurement, Metric ranking);

}  // namespace qsweep::scores
