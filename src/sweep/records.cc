#include "sweep/records.h"

#include <algorithm>

#include "models/image_inputs.h"
#include "pass/setting.h"

namespace qsweep::sweep {

std::vector<scores::OpRecord> op_records(const models::Model& model) {
  std::vector<scores::OpRecord> records;
  for (const graph::LinearOp& op : model.ops) {
    scores::OpRecord& record =
        records.emplace_back(scores::OpRecord{.name = op.name,
                                              .tower = std::string(graph::name(op.tower)),
                                              .block = op.block,
                                              .role = op.role,
                                              .in_features = op.in_features(),
                                              .out_features = op.out_features(),
                                              .parameters = op.parameters(),
                                              .fusion_group = std::nullopt});
    if (op.cache) record.cache = {.heads = op.cache->heads, .head_dim = op.cache->head_dim};
    if (!op.fusion_group.empty()) record.fusion_group = op.fusion_group;
  }
  return records;
}

scores::DataInfo data_counts(const std::vector<models::Sample>& data) {
  scores::DataInfo info;
  info.samples = static_cast<int64_t>(data.size());
  info.image_tokens = 0;
  for (const models::Sample& sample : data) {
    info.tokens += static_cast<int64_t>(sample.token_ids.size());
    info.answer_tokens += std::count(sample.answer_mask.begin(), sample.answer_mask.end(), 1);
    info.images += static_cast<int64_t>(sample.images.size());
    *info.image_tokens += sample.rows[models::kUnits];
  }
  return info;
}

int64_t mixtures(const models::Model& model) {
  int64_t count = 0;
  for (const graph::Stage& stage : model.stages)
    count += std::ranges::count_if(stage.nodes, [](const graph::Node& node) {
      return std::holds_alternative<graph::Experts>(node.operation);
    });
  return count;
}

std::vector<scores::ScopedSums> unchanged(const models::Model& model,
                                          const std::vector<models::Sample>& data) {
  std::vector<scores::ScopedSums> sums;
  sums.reserve(data.size());
  for (const models::Sample& sample : data) sums.push_back(pass::position_counts(model, sample));
  return sums;
}

}  // namespace qsweep::sweep
