// One side of a comparison: a score per op, or per group of ops.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scores/record.h"

namespace qsweep::compare {

struct Entry {
  std::string name;                  // canonical
  std::vector<std::string> members;  // canonical names of its ops
  double score = 0;                  // finite
};

struct Ranking {
  std::string source;           // the file or folder
  std::string what;             // "w8a8, isolated, exact, kl:all"
  bool smallest_first = false;  // the smallest score is the most sensitive op
  // An entry may stand for the whole fused group of its op: tools name a group by its first member.
  bool names_first_members = false;
  std::string like_estimate;       // the estimate of a run that is of the same formula; empty: none
  std::vector<std::string> notes;  // how the scores are to be read
  // What the scores are of, as far as the file tells: the format by the side's own name, the mode, and of
  // runs the digests of the model's headers and of the data.
  std::string format;
  std::optional<scores::Mode> mode;
  std::string model, data;
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> unscored;  // op, and why it has no score
};

}  // namespace qsweep::compare
