// Products on a GPU. cuBLASLt's matrices stand column by column: ours are their transposes, and c = a b is
// c^T = b^T a^T.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/queue.h"
#include "kernels/gemm_backend.h"

namespace qsweep::kernels::cuda {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kBestAlignment = 256;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLASLt: {}: {}", what, cublaslt().status_string(status));
}

cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::i8:
      return CUDA_R_8I;
    case DType::i32:
      return CUDA_R_32I;
    default:
      fail("a GPU has no product of {}", name(dtype));
  }
}

// The last two dimensions of an operand, [rows, cols], as a column-major matrix: [cols, rows], or, where it
// is transposed, [rows, cols].
struct Layout {
  bool transposed = false;
  int64_t rows = 0, cols = 0, leading = 0;

  auto operator<=>(const Layout&) const = default;  // NOLINT(modernize-use-nullptr): its own 0
};

Layout layout_of(const GemmOperand& m) {
  const int64_t rows = m.sizes.end()[-2], cols = m.sizes.back();
  const int64_t row_stride = m.strides.end()[-2], col_stride = m.strides.back();
  if (col_stride == 1 || cols == 1) return {false, cols, rows, std::max(row_stride, cols)};
  QSWEEP_CHECK(row_stride == 1 || rows == 1, "elements {} and rows {} apart", col_stride, row_stride);
  return {true, rows, cols, std::max(col_stride, rows)};
}

// A dimension of the stack: steps in a, b and c, 0 where one of them is broadcast.
struct Stack {
  int64_t size = 1;
  std::array<int64_t, 3> step{};
};

// Without those of size 1; neighbours that are one in all operands are joined.
std::vector<Stack> stacks_of(const std::array<const GemmOperand*, 3>& operands) {
  std::vector<Stack> stacks;
  const GemmOperand& c = *operands[2];
  for (size_t i = 0; i + 2 < c.sizes.size(); ++i) {
    if (c.sizes[i] == 1) continue;
    Stack stack{.size = c.sizes[i]};
    bool joins = !stacks.empty();
    for (size_t k = 0; k < 3; ++k) {
      stack.step[k] = operands[k]->sizes[i] == 1 ? 0 : operands[k]->strides[i];
      joins = joins && stacks.back().step[k] == stack.step[k] * stack.size;
    }
    if (joins) {
      stacks.back().size *= stack.size;
      stacks.back().step = stack.step;
    } else {
      stacks.push_back(stack);
    }
  }
  return stacks;
}

int64_t alignment_of(const void* data, int64_t step_bytes) {
  const auto bits =
      static_cast<uint64_t>(reinterpret_cast<uintptr_t>(data)) | static_cast<uint64_t>(step_bytes);
  return bits == 0 ? kBestAlignment
                   : std::min<int64_t>(kBestAlignment, static_cast<int64_t>(bits & (~bits + 1)));
}

// Everything that cuBLASLt chooses an algorithm by, of a, b and c.
struct Shape {
  std::array<DType, 3> dtype{};
  std::array<Layout, 3> layout{};
  std::array<int64_t, 3> step{};       // elements from one matrix of the stack to the next
  std::array<int64_t, 3> alignment{};  // bytes
  int64_t count = 1;                   // of matrices in the stack

  auto operator<=>(const Shape&) const = default;  // NOLINT(modernize-use-nullptr): its own 0
};

// Descriptors and algorithm of products of one shape.
class Plan {
 public:
  Plan(cublasLtHandle_t handle, const Shape& shape) : integers_(shape.dtype[2] == DType::i32) {
    check(lt_.desc_create(&product_, integers_ ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                          integers_ ? CUDA_R_32I : CUDA_R_32F),
          "describing a product");
    set_transposed(CUBLASLT_MATMUL_DESC_TRANSA, shape.layout[1].transposed);
    set_transposed(CUBLASLT_MATMUL_DESC_TRANSB, shape.layout[0].transposed);
    for (size_t k = 0; k < 3; ++k) describe(k, shape);
    choose_algorithm(handle, shape);
  }
  ~Plan() {
    for (cublasLtMatrixLayout_t matrix : matrices_)
      if (matrix != nullptr) lt_.layout_destroy(matrix);
    if (product_ != nullptr) lt_.desc_destroy(product_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void run(cublasLtHandle_t handle, const std::array<void*, 3>& data, bool accumulate, void* workspace,
           cudaStream_t stream) const {
    constexpr float numbers[] = {0, 1};
    constexpr int32_t integers[] = {0, 1};
    const auto factor = [&](bool one) -> const void* {
      if (integers_) return &integers[one ? 1 : 0];
      return &numbers[one ? 1 : 0];
    };
    check(lt_.matmul(handle, product_, factor(true), data[1], matrices_[1], data[0], matrices_[0],
                     factor(accumulate), data[2], matrices_[2], data[2], matrices_[2], &algorithm_, workspace,
                     kWorkspaceBytes, stream),
          "multiplying");
  }

 private:
  void set_transposed(cublasLtMatmulDescAttributes_t which, bool transposed) {
    const int32_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(lt_.desc_set(product_, which, &value, sizeof(value)), "describing a product");
  }

  void describe(size_t k, const Shape& shape) {
    const Layout& layout = shape.layout[k];
    check(lt_.layout_create(&matrices_[k], cuda_type(shape.dtype[k]), static_cast<uint64_t>(layout.rows),
                            static_cast<uint64_t>(layout.cols), layout.leading),
          "describing a matrix");
    const auto count = static_cast<int32_t>(shape.count);
    check(lt_.layout_set(matrices_[k], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)),
          "describing a stack");
    check(lt_.layout_set(matrices_[k], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &shape.step[k],
                         sizeof(shape.step[k])),
          "describing a stack");
  }

  void choose_algorithm(cublasLtHandle_t handle, const Shape& shape) {
    cublasLtMatmulPreference_t preference = nullptr;
    check(lt_.preference_create(&preference), "choosing an algorithm");
    const auto prefer = [&]<class T>(cublasLtMatmulPreferenceAttributes_t what, T value) {
      check(lt_.preference_set(preference, what, &value, sizeof(value)), "choosing an algorithm");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
    // Partial sums stay in f32.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(shape.alignment[1]));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(shape.alignment[0]));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(shape.alignment[2]));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(shape.alignment[2]));
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status = lt_.heuristic(handle, product_, matrices_[1], matrices_[0], matrices_[2],
                                                matrices_[2], preference, 1, &found, &count);
    lt_.preference_destroy(preference);
    check(status, "choosing an algorithm");
    QSWEEP_CHECK(count == 1, "cuBLASLt has no algorithm for a product of {} into {}", name(shape.dtype[0]),
                 name(shape.dtype[2]));
    algorithm_ = found.algo;
  }

  const CublasLt& lt_ = cublaslt();
  bool integers_;
  cublasLtMatmulDesc_t product_ = nullptr;
  std::array<cublasLtMatrixLayout_t, 3> matrices_{};
  cublasLtMatmulAlgo_t algorithm_{};
};

class CublasLtBackend final : public GemmBackend {
 public:
  explicit CublasLtBackend(Queue& queue) : queue_(queue) {
    queue.stream();  // the calling thread's GPU, which the handle is for
    check(cublaslt().create(&handle_), "creating its handle");
    workspace_ = queue.allocate(kWorkspaceBytes);
  }
  ~CublasLtBackend() override {
    plans_.clear();
    queue_.free(workspace_);
    cublaslt().destroy(handle_);
  }
  CublasLtBackend(const CublasLtBackend&) = delete;
  CublasLtBackend& operator=(const CublasLtBackend&) = delete;

  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                const GemmOptions& options) override {
    const std::array<const GemmOperand*, 3> operands{&a, &b, &c};
    std::vector<Stack> stacks = stacks_of(operands);
    // The largest dimension is one call's stack; each place in the others is a call.
    Stack inner;
    const auto largest = std::ranges::max_element(stacks, {}, &Stack::size);
    if (largest != stacks.end()) {
      inner = *largest;
      stacks.erase(largest);
    }
    for_each_place(stacks, [&](const std::array<int64_t, 3>& offset) {
      run(operands, offset, inner, options.accumulate);
    });
    if (options.bias != nullptr) add_bias(c, options.bias);
  }

 private:
  template <class Body>
  static void for_each_place(std::span<const Stack> stacks, Body&& body, std::array<int64_t, 3> offset = {}) {
    if (stacks.empty()) return body(offset);
    for (int64_t i = 0; i < stacks.front().size; ++i) {
      for_each_place(stacks.subspan(1), body, offset);
      for (size_t k = 0; k < 3; ++k) offset[k] += stacks.front().step[k];
    }
  }

  void run(const std::array<const GemmOperand*, 3>& operands, const std::array<int64_t, 3>& offset,
           const Stack& stack, bool accumulate) {
    Shape shape{.step = stack.step, .count = stack.size};
    std::array<void*, 3> data{};
    for (size_t k = 0; k < 3; ++k) {
      const GemmOperand& m = *operands[k];
      const int64_t element = size_bytes(m.dtype);
      data[k] = static_cast<std::byte*>(m.data) + offset[k] * element;
      shape.dtype[k] = m.dtype;
      shape.layout[k] = layout_of(m);
      shape.alignment[k] = alignment_of(data[k], stack.step[k] * element);
    }
    QSWEEP_CHECK(!shape.layout[2].transposed, "a product of which the columns are written");
    cudaStream_t const stream = queue_.stream();  // first: plans are made for the calling thread's GPU
    auto found = plans_.find(shape);
    if (found == plans_.end()) {
      if (plans_.size() >= kMostPlans) plans_.clear();
      found = plans_.try_emplace(shape, handle_, shape).first;
    }
    found->second.run(handle_, data, accumulate, workspace_, stream);
  }

  void add_bias(const GemmOperand& c, const float* bias) {
    QSWEEP_CHECK(c.sizes.size() == 2 && c.dtype == DType::f32, "a bias for a stack of {}", name(c.dtype));
    const Matrix<float> y(static_cast<float*>(c.data), c.sizes[0], c.sizes[1], c.strides[0]);
    add_parts(Device({}, &queue_), y, bias, /*accumulate=*/false, y);
  }

  static constexpr size_t kMostPlans = 4096;  // the number of shapes is bounded only by the data

  Queue& queue_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Shape, Plan> plans_;
};

}  // namespace

std::unique_ptr<GemmBackend> cublaslt_backend(Queue& queue) {
  return std::make_unique<CublasLtBackend>(queue);
}

}  // namespace qsweep::kernels::cuda
