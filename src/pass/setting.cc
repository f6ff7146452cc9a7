#include "pass/setting.h"

#include <algorithm>

namespace qsweep::pass {

std::vector<graph::Rows> row_kinds(const models::Model& model) {
  std::vector<graph::Rows> kinds(model.ops.size(), graph::Rows::tokens);  // lm_head is in no stage's nodes
  for (const graph::Stage& stage : model.stages)
    for (const graph::Node& node : stage.nodes)
      for (const int op : ops_of(node)) kinds[static_cast<size_t>(op)] = node.rows;
  return kinds;
}

scores::ScopedSums position_counts(const models::Model& model, const models::Sample& sample) {
  scores::ScopedSums counts;
  const auto tokens = static_cast<int64_t>(sample.token_ids.size());
  const auto answers = std::count_if(sample.answer_mask.begin() + 1, sample.answer_mask.end(),
                                     [](uint8_t m) { return m != 0; });
  counts.all.positions = tokens;
  counts.all.targets = tokens - 1;
  counts.answer.positions = counts.answer.targets = answers;
  for (scores::MetricSums* m : {&counts.all, &counts.answer}) {
    m->hidden_elements = m->positions * model.hidden_size;
    m->logits_elements = m->positions * model.vocab_size;
  }
  return counts;
}

}  // namespace qsweep::pass
