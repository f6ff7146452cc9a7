// What every run says of its model and data, whatever it measures.
#pragma once

#include <vector>

#include "models/model.h"
#include "scores/record.h"

namespace qsweep::sweep {

std::vector<scores::OpRecord> op_records(const models::Model& model);
scores::DataInfo data_counts(const std::vector<models::Sample>& data);
// How many times a token is sent to experts.
int64_t mixtures(const models::Model& model);
// Zero errors with their counts, for every sample: what stands where nothing is measured.
std::vector<scores::ScopedSums> unchanged(const models::Model& model,
                                          const std::vector<models::Sample>& data);

}  // namespace qsweep::sweep
