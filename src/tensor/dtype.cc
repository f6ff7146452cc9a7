#include "tensor/dtype.h"

#include "base/error.h"

namespace qsweep {
namespace {

constexpr DTypeInfo kTable[] = {
    {DType::f32, "F32", 32},     {DType::f16, "F16", 16},        {DType::bf16, "BF16", 16},
    {DType::f64, "F64", 64},     {DType::i64, "I64", 64},        {DType::i32, "I32", 32},
    {DType::i16, "I16", 16},     {DType::i8, "I8", 8},           {DType::u8, "U8", 8},
    {DType::boolean, "BOOL", 8}, {DType::f8_e4m3, "F8_E4M3", 8}, {DType::f8_e5m2, "F8_E5M2", 8},
};

}  // namespace

const DTypeInfo& info(DType dtype) {
  for (const DTypeInfo& row : kTable)
    if (row.dtype == dtype) return row;
  throw ContractError(__FILE__, __LINE__, "dtype is in the table", "unknown dtype");
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const DTypeInfo& row : kTable)
    if (row.safetensors_name == name) return row.dtype;
  return std::nullopt;
}

}  // namespace qsweep
