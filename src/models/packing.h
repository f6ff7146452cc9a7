// Checkpoints that are quantized already: what stands there in place of a linear op's plain weight. The model
// is that of the dequantized weights; what else a checkpoint asks for, such as rounded inputs, is not done.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/stored_weight.h"
#include "io/checkpoint.h"
#include "io/json_fwd.h"

namespace qsweep::models {

struct Packing {
  enum class Method {
    none,             // plain weights
    block_fp8,        // "weight" in E4M3, "weight_scale_inv" for each block
    pack_quantized,   // of compressed-tensors: "weight_packed" in words of integers, "weight_scale"
    int_quantized,    // of compressed-tensors: "weight" in int8, "weight_scale"
    float_quantized,  // of compressed-tensors: "weight" in E4M3, "weight_scale"
    mxfp4,            // of stacked experts: "..._blocks" in E2M1, "..._scales" in powers of 2 for 32 inputs
    gptq,             // "qweight" in words of integers along the inputs, "qzeros", "scales", perhaps "g_idx"
    awq,              // the same in words along the outputs
    nvfp4,  // of ModelOpt and compressed-tensors: E2M1, "weight_scale" in E4M3 for 16 inputs, and one number
  };
  // How some of the ops are quantized. Rows and columns that share a scale; 0: all.
  struct Scheme {
    int bits = 8;
    int64_t block_rows = 0, block_columns = 0;
    bool symmetric = true;
    int32_t zero_offset = 0;  // gptq: added to the zero points as they stand
  };

  Method method = Method::none;
  std::vector<Scheme> schemes = {};
  std::vector<std::string> left_out = {};  // ops that config.json says are not quantized
  std::string inputs = {};                 // what it says of inputs; empty: that they are float

  // What a report says of it; empty for plain weights.
  std::string sentence() const;
};

// What the config.json at `path` says. Error for a way that is not known here.
Packing read_packing(const io::Json& config, const std::string& path);

// The weight [out, in] of the op `name`, whose tensors the checkpoint has as stored_name(name + suffix):
// plain where it is stored as floats. Error where scales are missing, misshapen or of a dtype that they
// cannot have.
graph::StoredWeight packed_weight(const io::Checkpoint& checkpoint, const Packing& packing,
                                  const std::string& name,
                                  const std::function<std::string(const std::string&)>& stored_name,
                                  int64_t out, int64_t in);

// All experts' weights in MXFP4, as one matrix [experts * outputs, inputs]; `name` is that of the plain
// tensor.
graph::StoredWeight mxfp4_weights(const io::Checkpoint& checkpoint, const std::string& name, int64_t experts,
                                  int64_t outputs, int64_t inputs);

}  // namespace qsweep::models
