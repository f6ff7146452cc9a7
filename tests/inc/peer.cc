#include "inc/peer.h"

#include "io/safetensors.h"
#include "models/qwen2_5_vl/inputs.h"
#include "text/dataset.h"

namespace qsweep::testing {

io::Json peer_results() { return io::read_json_file(kPeers + "/inc.json"); }

std::vector<models::Sample> read_samples(const models::Model& model, const std::string& file) {
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(file)) samples.push_back(model.inputs->prepare(data));
  return samples;
}

graph::Batch image_batch(const models::Model& model) {
  const auto file = io::SafetensorsFile::open(kTinyVl + "/image_inputs.safetensors");
  const auto view = [&](const char* name) { return file.view(*file.find(name)); };
  const TensorView ids = view("input_ids"), pixels = view("pixel_values");
  const auto grids = view("image_grid_thw").as<int64_t>();
  const int64_t tokens = ids.shape[1], width = pixels.shape[1];
  std::vector<graph::SampleInputs> inputs;
  int64_t first_patch = 0;
  for (int64_t i = 0; i < ids.shape[0]; ++i) {
    const auto at = [&](int64_t axis) { return grids[static_cast<size_t>(3 * i + axis)]; };
    const int64_t patches = at(0) * at(1) * at(2);
    models::Sample sample;
    sample.image_grids = {{at(0), at(1), at(2)}};
    sample.rows = {patches, patches / 4, tokens};
    for (int64_t t = 0; t < tokens; ++t)
      sample.token_ids.push_back(
          static_cast<int32_t>(ids.as<int64_t>()[static_cast<size_t>(i * tokens + t)]));
    graph::SampleInputs loaded = model.inputs->load(sample, models::InputBuilder::Pixels::leave_out);
    const auto rows = pixels.as<float>().subspan(static_cast<size_t>(first_patch * width),
                                                 static_cast<size_t>(patches * width));
    loaded.tables[models::qwen2_5_vl::kPixelValues] = Tensor::from<float>(rows, {patches, width});
    inputs.push_back(std::move(loaded));
    first_patch += patches;
  }
  return graph::Batch(std::move(inputs));
}

const inc::Maps& tiny_text_run() {
  static const inc::Maps maps = [] {
    const models::Model model = models::load(kTinyVl);
    kernels::Gemm gemm({2});
    return inc::mse_v2(model, ops::Context{gemm}, read_samples(model, kTinyVl + "/text.jsonl"),
                       {.memory_bytes = kPlenty});
  }();
  return maps;
}

}  // namespace qsweep::testing
