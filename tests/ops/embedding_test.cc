// Token embedding: rows of the table, widened.
#include "ops/embedding.h"

#include <vector>

#include <gtest/gtest.h>

namespace qsweep::ops {
namespace {

TEST(Embedding, WidensTheRowsOfTheIds) {
  const std::vector<float> wide{1, 2, 3, 4, 5, 6};
  std::vector<bf16> narrow;
  for (const float v : wide) narrow.push_back(to_bf16(v));
  kernels::Gemm gemm({2});
  const std::vector<int32_t> ids{2, 0, 2};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const void* data = dtype == DType::f32 ? static_cast<const void*>(wide.data()) : narrow.data();
    std::vector<float> y(6);
    embedding::forward({gemm}, ids, {dtype, {3, 2}, static_cast<const std::byte*>(data)}, {y.data(), 3, 2});
    EXPECT_EQ(y, (std::vector<float>{5, 6, 1, 2, 5, 6})) << name(dtype);
  }
}

TEST(Embedding, RefusesIdsOutsideTheTable) {
  const std::vector<float> table{1, 2};
  kernels::Gemm gemm({1});
  std::vector<float> y(2);
  for (const int32_t id : {-1, 1}) {
    const std::vector<int32_t> ids{id};
    EXPECT_THROW(embedding::forward({gemm}, ids,
                                    {DType::f32, {1, 2}, reinterpret_cast<const std::byte*>(table.data())},
                                    {y.data(), 1, 2}),
                 ContractError);
  }
}

}  // namespace
}  // namespace qsweep::ops
