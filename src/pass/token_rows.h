// What the head keeps of every token row of a batch.
#pragma once

#include <vector>

#include "models/model.h"

namespace qsweep::pass {

struct TokenRows {
  std::vector<int32_t> target;  // the next token; -1 for a sample's last row
  std::vector<bool> answer;     // the next token is an answer token
};

inline TokenRows token_rows(const std::vector<const models::Sample*>& samples) {
  TokenRows rows;
  for (const models::Sample* sample : samples) {
    const size_t tokens = sample->token_ids.size();
    for (size_t t = 0; t < tokens; ++t) {
      const bool last = t + 1 == tokens;
      rows.target.push_back(last ? -1 : sample->token_ids[t + 1]);
      rows.answer.push_back(!last && sample->answer_mask[t + 1] != 0);
    }
  }
  return rows;
}

}  // namespace qsweep::pass
