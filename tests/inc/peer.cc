#include "inc/peer.h"

namespace qsweep::testing {

io::Json peer_results() { return io::read_json_file(kPeers + "/inc.json"); }

graph::Batch image_batch(const models::Model& model) {
  std::vector<graph::SampleInputs> inputs;
  for (const models::Sample& sample : read_image_case().samples)
    inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
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
