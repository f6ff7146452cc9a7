// Goldens of the reference implementation: tensors of one sample, by the names of their stages.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/forward.h"
#include "io/json_fwd.h"
#include "io/safetensors.h"
#include "models/model.h"

namespace qsweep::models {

inline constexpr double kTolerance = 2e-5;

std::string family_folder(const std::string& name);  // of testdata

// Where a golden tensor appears in our run: after which stage, under which name.
struct Tap {
  std::string golden;
  std::string stage;
  std::string value;
};
// Golden stages in the order of the run.
std::vector<Tap> taps(const Model& model);

// The reference forward pass; calls each(stage, values) after every stage.
using EachStage = std::function<void(const graph::Stage& stage, const graph::Values& values)>;
void walk(kernels::Device device, const Model& model, const Sample& sample, const EachStage& each);

// Expects every stage that the golden has. The largest error.
double run_and_compare(kernels::Device device, const Model& model, const Sample& sample,
                       const io::SafetensorsFile& golden);

// These prompts are not dialogues: the sample is put together from the golden's own tokens and images. row:
// of goldens.json.
Sample sample_of(const io::Json& row, const io::SafetensorsFile& golden, const std::string& folder);

// Expects every golden that is there.
void compare_family(kernels::Device device, const Model& model, const std::string& folder);

}  // namespace qsweep::models
