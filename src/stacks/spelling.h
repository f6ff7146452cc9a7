// How the configurations of tools spell a format; written by the writers, and looked up by the readers.
#pragma once

#include "io/json.h"
#include "quant/format.h"

namespace qsweep::stacks {

// {"weights": quantizer, "inputs": quantizer or null} of ModelOpt.
io::Json modelopt_quantizers(const quant::Format& format);
// {"weights": arguments, "input_activations": arguments or null} of compressed-tensors.
io::Json compressed_tensors_scheme(const quant::Format& format);
// All keys of AutoRound's entry for a layer; null is float.
io::Json auto_round_entry(const quant::Format* format);

}  // namespace qsweep::stacks
