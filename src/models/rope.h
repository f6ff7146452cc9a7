// Rotary positions (Su et al. 2021): the angles by which the elements of a head turn.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "io/json.h"
#include "tensor/tensor.h"

namespace qsweep::models {

struct Rope {
  std::vector<float> frequencies;  // angle per position; half as many as a head has elements
  std::vector<uint8_t> axes;       // of each frequency: which of a token's positions turns it
  float amplitude = 1;             // of the cosines and sines
};

// theta^(-2i/dim) for i < dim/2, in f32 as the reference implementation has it.
std::vector<float> inverse_frequencies(double theta, int64_t dim);

// Above 1.
double read_theta(const io::ObjectReader& r, const char* key = "rope_theta");

// How the frequencies are divided among time, height and width.
enum class Mrope {
  none,         // all by the one position of a text
  blocks,       // the first section[0] by time, the next section[1] by height, the others by width
  interleaved,  // in turn, height and width as far as their sections go, time the rest
};

// Of a text configuration: "rope_theta" with "rope_scaling", or all under "rope_parameters" as newer
// transformers write it. The rules default, linear (Chen et al. 2023: all frequencies divided by a factor)
// llama3 (Dubey et al. 2024: long waves by the factor, short ones not, a ramp between them) and yarn (Peng et
// al. 2023: the same with a ramp over the frequencies, and a larger amplitude). Error for other rules and
// keys.
Rope read_rope(const io::ObjectReader& text, int64_t head_dim, Mrope mrope);
// Of layers that see all, and of those with a window: the rule above and "rope_local_base_freq", or in newer
// files an object for each under "rope_parameters".
std::pair<Rope, Rope> read_layer_ropes(const io::ObjectReader& text, int64_t head_dim);

// A row per token: the cosines of its angles, then their sines. positions[axis][token]; [tokens, 2 *
// frequencies].
using Positions = std::array<std::vector<int32_t>, 3>;
Tensor cos_sin(const Positions& positions, const Rope& rope);
void write_cos_sin(std::span<const float> angles, std::span<float> row);

}  // namespace qsweep::models
