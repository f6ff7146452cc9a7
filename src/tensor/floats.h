// Tensors of any floating-point type that weights are stored in: bf16, f16, f32.
#pragma once

#include <optional>

#include "tensor/tensor.h"

namespace qsweep {

// Calls `body` with the elements as they are stored.
template <class Body>
auto visit_floats(const TensorView& tensor, Body&& body) {
  switch (tensor.dtype) {
    case DType::bf16:
      return body(tensor.as<bf16>());
    case DType::f16:
      return body(tensor.as<f16>());
    default:
      return body(tensor.as<float>());
  }
}

// The nearest number of a type that weights are stored in.
inline float rounded_to(DType dtype, float value) {
  if (dtype == DType::bf16) return to_float(to_bf16(value));
  return dtype == DType::f16 ? to_float(to_f16(value)) : value;
}

// Whether two tensors hold the same numbers, each in its own type; NaN equals nothing.
bool equal_values(const TensorView& a, const TensorView& b);

// The place of the first element that is NaN or infinite; of codes of 8 bits in E4M3 NaN, of integers none.
std::optional<int64_t> first_non_finite(const TensorView& tensor);

}  // namespace qsweep
