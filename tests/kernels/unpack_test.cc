// Unpacked weights on every device against plain loops.
#include "kernels/unpack.h"

#include "kernels/padded.h"
#include "kernels/per_target.h"

namespace qsweep::kernels {
namespace {

class UnpackTest : public PerTarget {};
INSTANTIATE_PER_DEVICE(UnpackTest);

TEST_P(UnpackTest, ElementsThatStandApartKeepTheirBits) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{5, 67}, {1, 3}, {33, 1}}) {
    const int64_t row_step = 2, column_step = 2 * rows + 3;  // every second column of [cols, 2 rows + 3]
    Rng rng(1);
    const std::vector<float> wide = testing::normals(rng, cols * column_step, 1);
    const auto at = [&](int64_t r, int64_t c) {
      return wide[static_cast<size_t>(1 + r * row_step + c * column_step)];
    };
    Padded y(rows, cols);
    copy_strided(device(), on(wide).data() + 1, row_step, column_step, on(y.view()));
    expect_elements(y, at);

    std::vector<bf16> narrow;
    for (const float v : wide) narrow.push_back(to_bf16(v));
    std::vector<bf16> copied(static_cast<size_t>(rows * cols));
    copy_strided(device(), on(std::as_const(narrow)).data() + 1, row_step, column_step,
                 on(MatrixView{copied.data(), DType::bf16, rows, cols, cols}));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        EXPECT_EQ(copied[static_cast<size_t>(r * cols + c)].bits, to_bf16(at(r, c)).bits);
  }
}

}  // namespace
}  // namespace qsweep::kernels
