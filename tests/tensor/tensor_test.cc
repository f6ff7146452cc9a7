#include "tensor/tensor.h"

#include <array>
#include <cstdint>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"

namespace qsweep {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(DType, TableKnowsEveryName) {
  const std::pair<const char*, int> rows[] = {{"F64", 64}, {"I64", 64},  {"F32", 32},    {"I32", 32},
                                              {"F16", 16}, {"BF16", 16}, {"I16", 16},    {"I8", 8},
                                              {"U8", 8},   {"BOOL", 8},  {"F8_E4M3", 8}, {"F8_E5M2", 8}};
  for (const auto& [text, bits] : rows) {
    const auto dtype = dtype_from_safetensors(text);
    ASSERT_TRUE(dtype.has_value()) << text;
    EXPECT_EQ(name(*dtype), text);
    EXPECT_EQ(info(*dtype).bits, bits);
    EXPECT_EQ(size_bytes(*dtype), bits / 8);
  }
  EXPECT_FALSE(dtype_from_safetensors("f32").has_value());
  EXPECT_FALSE(dtype_from_safetensors("").has_value());
  EXPECT_THROW(info(static_cast<DType>(99)), ContractError);
}

TEST(DType, ElementTypesHaveTheirSize) {
  EXPECT_EQ(size_bytes(DTypeOf<float>::value), 4);
  EXPECT_EQ(size_bytes(DTypeOf<bf16>::value), 2);
  EXPECT_EQ(size_bytes(DTypeOf<f16>::value), 2);
  EXPECT_EQ(size_bytes(DTypeOf<double>::value), 8);
  EXPECT_EQ(size_bytes(DTypeOf<int64_t>::value), 8);
  EXPECT_EQ(size_bytes(DTypeOf<int32_t>::value), 4);
  EXPECT_EQ(size_bytes(DTypeOf<uint8_t>::value), 1);
  EXPECT_EQ(size_bytes(DTypeOf<int8_t>::value), 1);
}

TEST(Shape, ElementCount) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 4}), 12);
  EXPECT_EQ(element_count({3, 0}), 0);
  EXPECT_THAT(
      [] {
        element_count({2, -1});
      },
      ThrowsMessage<Error>(HasSubstr("shape [2, -1] has a negative extent")));
  EXPECT_THAT(
      [] {
        element_count({int64_t{1} << 32, int64_t{1} << 32});
      },
      ThrowsMessage<Error>(HasSubstr("too large")));
  EXPECT_EQ(to_string(Shape{3840, 1280}), "[3840, 1280]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Tensor, HoldsItsValuesAligned) {
  const std::array<float, 6> values{1, 2, 3, 4, 5, 6};
  Tensor tensor = Tensor::from<float>(values, {2, 3});
  EXPECT_EQ(tensor.dtype(), DType::f32);
  EXPECT_EQ(tensor.elements(), 6);
  EXPECT_EQ(tensor.size_bytes(), 24);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes()) % 64, 0u);
  EXPECT_THAT(tensor.view().as<float>(), ::testing::ElementsAreArray(values));
  const Tensor moved = std::move(tensor);
  EXPECT_THAT(moved.as<float>(), ::testing::ElementsAreArray(values));
  EXPECT_EQ(moved.matrix<float>().row(1)[2], 6);
}

TEST(Tensor, ZerosAndSizesAroundTheMappingLimit) {
  for (const int64_t n :
       {int64_t{0}, int64_t{1}, (int64_t{1} << 18) - 1, int64_t{1} << 18, (int64_t{1} << 18) + 1}) {
    const Tensor tensor = Tensor::zeros<float>({n});
    EXPECT_FALSE(tensor.empty());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes()) % 64, 0u);
    EXPECT_EQ(std::count(tensor.as<float>().begin(), tensor.as<float>().end(), 0.0f), n);
  }
  EXPECT_TRUE(Tensor().empty());
}

// Freed blocks serve later tensors of like sizes, and no more is kept than was in use at once.
TEST(Tensor, FreedBlocksAreKeptWithinThePeak) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  const auto touched = [](int64_t bytes) {
    Tensor t(DType::u8, {bytes});
    std::fill_n(t.bytes(), bytes, std::byte{1});
    return t;
  };
  release_kept_memory();
  const int64_t before = resident_bytes();
  const auto grown = [&] { return (resident_bytes() - before) / kMiB; };
  {
    const Tensor a = touched(40 * kMiB), b = touched(24 * kMiB);
    EXPECT_GE(grown(), 64);
  }
  EXPECT_GE(grown(), 63);
  {
    const Tensor a = touched(30 * kMiB), b = touched(30 * kMiB);  // one shrunk, one grown
    EXPECT_LE(grown(), 66);
  }
  {
    const Tensor a = touched(3 * kMiB),
                 b = touched(60 * kMiB);  // of no use to each other: others are dropped
    EXPECT_LE(grown(), 66);
  }
  release_kept_memory();
  EXPECT_LE(grown(), 2);
}

TEST(Tensor, ImpossibleSizesAreErrors) {
  EXPECT_THAT([] { Tensor(DType::f32, {int64_t{1} << 62}); }, ThrowsMessage<Error>(HasSubstr("too large")));
  EXPECT_THAT([] { Tensor(DType::u8, {int64_t{1} << 62}); },
              ThrowsMessage<Error>(HasSubstr("out of memory")));
  EXPECT_THROW(Tensor(DType::u8, {-1}), Error);
}

TEST(Tensor, WrongUseIsABrokenContract) {
  Tensor tensor = Tensor::zeros<float>({2, 2, 2});
  EXPECT_THAT([&] { tensor.as<bf16>(); }, ThrowsMessage<ContractError>(HasSubstr("tensor holds F32")));
  EXPECT_THAT([&] { tensor.view().as<double>(); },
              ThrowsMessage<ContractError>(HasSubstr("tensor holds F32")));
  EXPECT_THAT([&] { tensor.matrix<float>(); }, ThrowsMessage<ContractError>(HasSubstr("shape is [2, 2, 2]")));
  EXPECT_THROW(Tensor::from<float>(std::array<float, 3>{}, {2}), ContractError);
}

TEST(Matrix, PartsKeepTheStride) {
  std::array<int32_t, 12> values{};
  for (int32_t i = 0; i < 12; ++i) values[static_cast<size_t>(i)] = i;
  const Matrix<int32_t> all(values.data(), 3, 4);
  EXPECT_TRUE(all.contiguous());
  const Matrix<const int32_t> part = all.rows_at(1, 2).cols_at(2, 2);
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.cols, 2);
  EXPECT_FALSE(part.contiguous());
  EXPECT_EQ(part.row(0)[0], 6);
  EXPECT_EQ(part.row(1)[1], 11);
  EXPECT_TRUE(part.rows_at(1, 1).contiguous());
  EXPECT_TRUE(all.cols_at(4, 0).empty());
}

}  // namespace
}  // namespace qsweep
