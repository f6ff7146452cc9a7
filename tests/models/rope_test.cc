// Frequencies of rotary positions against those that transformers 4.57 computes (modeling_rope_utils.py).
#include "models/rope.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "io/json.h"

namespace qsweep::models {
namespace {

struct Yarn {
  const char* config;
  std::vector<float> frequencies;
  double amplitude;
};

TEST(Rope, YarnStretchesFrequenciesByTheirPlaces) {
  const Yarn cases[] = {
      {R"({"rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
          "original_max_position_embeddings": 32}})",
       {1, 0.197642356f, 0.0250000004f, 0.00790569466f, 0.00249999994f, 0.000790569466f, 0.000250000012f,
        7.90569466e-05f},
       1.138629436111989},
      {R"({"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0,
          "original_max_position_embeddings": 32768}})",
       {1, 0.177827939f, 0.0316227786f, 0.00421755994f, 0.000500000024f, 4.44569851e-05f, 7.90569356e-06f,
        1.40585337e-06f},
       1.138629436111989},
      {R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 150000, "factor": 32.0, "beta_fast": 32.0,
          "beta_slow": 1.0, "truncate": false, "original_max_position_embeddings": 4096}})",
       {1, 0.225418001f, 0.0508132726f, 0.00679495931f, 0.000456483918f, 1.8188337e-05f, 4.09997847e-06f,
        9.24208962e-07f},
       1.3465735902799727},
      {R"({"rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5,
          "beta_fast": 8, "beta_slow": 2, "original_max_position_embeddings": 32}})",
       {1, 0.079056941f, 0.0250000004f, 0.00790569466f, 0.00249999994f, 0.000790569466f, 0.000250000012f,
        7.90569466e-05f},
       1.5},
  };
  for (const Yarn& yarn : cases) {
    const io::Json config = io::Json::parse(yarn.config);
    const Rope rope = read_rope({config, "config.json"}, 16, Mrope::none);
    ASSERT_EQ(rope.frequencies.size(), yarn.frequencies.size());
    for (size_t i = 0; i < yarn.frequencies.size(); ++i)
      EXPECT_NEAR(rope.frequencies[i] / yarn.frequencies[i], 1, 1e-6) << yarn.config << ", " << i;
    EXPECT_FLOAT_EQ(rope.amplitude, static_cast<float>(yarn.amplitude));

    const Tensor table = cos_sin({std::vector<int32_t>{3}, {3}, {3}}, rope);
    const float angle = 3 * rope.frequencies[1];
    EXPECT_FLOAT_EQ(table.matrix<float>().row(0)[1], std::cos(angle) * rope.amplitude);
    EXPECT_FLOAT_EQ(table.matrix<float>().row(0)[9], std::sin(angle) * rope.amplitude);
  }
}

}  // namespace
}  // namespace qsweep::models
