// Consecutive rows that belong together: a sequence, or a window of one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qsweep::ops {

// Rows [first, first + rows).
struct Segment {
  int64_t first = 0;
  int64_t rows = 0;
};

// Which row of its segment each of `rows` rows is; the first one, where it is in none.
inline std::vector<int64_t> positions(std::span<const Segment> segments, int64_t rows) {
  std::vector<int64_t> of_row(static_cast<size_t>(rows));
  for (const Segment& s : segments)
    for (int64_t r = 0; r < s.rows; ++r) of_row[static_cast<size_t>(s.first + r)] = r;
  return of_row;
}

}  // namespace qsweep::ops
