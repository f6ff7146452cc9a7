// Element types: one row each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/codec.h"

namespace qsweep {

enum class DType { f32, f16, bf16, f64, i64, i32, i16, i8, u8, boolean, f8_e4m3, f8_e5m2 };

struct DTypeInfo {
  DType dtype;
  std::string_view safetensors_name;
  int bits;
};

const DTypeInfo& info(DType dtype);
inline int64_t size_bytes(DType dtype) { return info(dtype).bits / 8; }
inline std::string_view name(DType dtype) { return info(dtype).safetensors_name; }

// The dtype that safetensors writes as `name`, if it is known.
std::optional<DType> dtype_from_safetensors(std::string_view name);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::i8;
};

}  // namespace qsweep
