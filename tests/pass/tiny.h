// The trained tiny model with its data.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "models/model.h"
#include "quant/format.h"
#include "support/testdata.h"

namespace qsweep::testing {

inline const std::string kData = testdata_folder();

inline std::vector<models::Sample> prepare(const models::Model& model, const std::string& file,
                                           const std::vector<std::string>& ids = {}) {
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(kData + "/data/" + file))
    if (ids.empty() || std::find(ids.begin(), ids.end(), data.id) != ids.end())
      samples.push_back(model.inputs->prepare(data));
  return samples;
}

inline std::vector<const quant::Format*> formats(const std::vector<std::string>& names) {
  std::vector<const quant::Format*> found;
  for (const std::string& name : names) found.push_back(&quant::find_format(name));
  return found;
}

struct Tiny {
  models::Model model = models::load(kData + "/tiny-qwen2.5-vl");
  std::vector<models::Sample> calibration = prepare(model, "calib.jsonl");
  std::vector<models::Sample> data;

  explicit Tiny(const std::vector<std::string>& ids) : data(prepare(model, "eval.jsonl", ids)) {}
  // Another model, without calibration data.
  Tiny(models::Model other, std::vector<models::Sample> samples)
      : model(std::move(other)), calibration(), data(std::move(samples)) {}
};

}  // namespace qsweep::testing
