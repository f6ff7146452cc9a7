#include "kernels/cuda/cublaslt.h"

#include <array>
#include <cstring>
#include <vector>

#include <cublasLt.h>

#include "base/codec.h"
#include "cuda_emulator/stream.h"

struct cublasLtContext {
  int device;
};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  int32_t transa = CUBLAS_OP_N, transb = CUBLAS_OP_N;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  int64_t rows, cols, leading;
  int32_t count = 1;
  int64_t step = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t reduction = 0;
  std::array<uint32_t, 4> alignment{256, 256, 256, 256};  // the original's defaults
};

namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

template <class T>
cublasStatus_t set(T& to, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

size_t element_bytes(cudaDataType_t type) { return type == CUDA_R_8I ? 1 : type == CUDA_R_16BF ? 2 : 4; }

// An element of one matrix of a stack.
template <class T>
T& element(void* data, const Layout& m, int64_t matrix, int64_t row, int64_t col) {
  return static_cast<T*>(data)[matrix * m.step + col * m.leading + row];
}

template <class Sum>
Sum read(const void* data, const Layout& m, int64_t matrix, int64_t row, int64_t col) {
  void* const from = const_cast<void*>(data);
  switch (m.type) {
    case CUDA_R_32F:
      return static_cast<Sum>(element<float>(from, m, matrix, row, col));
    case CUDA_R_16BF:
      return static_cast<Sum>(qsweep::to_float(element<qsweep::bf16>(from, m, matrix, row, col)));
    case CUDA_R_8I:
      return static_cast<Sum>(element<int8_t>(from, m, matrix, row, col));
    case CUDA_R_32I:
      return static_cast<Sum>(element<int32_t>(from, m, matrix, row, col));
  }
  return 0;
}

template <class Sum>
void write(Sum sum, void* data, const Layout& m, int64_t matrix, int64_t row, int64_t col) {
  if (m.type == CUDA_R_32F) element<float>(data, m, matrix, row, col) = static_cast<float>(sum);
  if (m.type == CUDA_R_16BF)
    element<qsweep::bf16>(data, m, matrix, row, col) = qsweep::to_bf16(static_cast<float>(sum));
  if (m.type == CUDA_R_32I) element<int32_t>(data, m, matrix, row, col) = static_cast<int32_t>(sum);
}

struct Product {
  bool transa, transb, accumulate;
  const void *a, *b;
  void* c;
  Layout la, lb, lc;

  template <class Sum>
  void run() const {
    const int64_t inner = transa ? la.rows : la.cols;
    std::vector<Sum> left(static_cast<size_t>(inner * lc.rows)), sums(static_cast<size_t>(lc.rows));
    for (int64_t matrix = 0; matrix < lc.count; ++matrix) {
      for (int64_t i = 0; i < inner; ++i)
        for (int64_t row = 0; row < lc.rows; ++row)
          left[static_cast<size_t>(i * lc.rows + row)] =
              read<Sum>(a, la, matrix, transa ? i : row, transa ? row : i);
      for (int64_t col = 0; col < lc.cols; ++col) {
        for (int64_t row = 0; row < lc.rows; ++row)
          sums[static_cast<size_t>(row)] = accumulate ? read<Sum>(c, lc, matrix, row, col) : 0;
        for (int64_t i = 0; i < inner; ++i) {
          const Sum right = read<Sum>(b, lb, matrix, transb ? col : i, transb ? i : col);
          const Sum* const column = left.data() + i * lc.rows;
          for (size_t row = 0; row < sums.size(); ++row) sums[row] += column[row] * right;
        }
        for (int64_t row = 0; row < lc.rows; ++row)
          write(sums[static_cast<size_t>(row)], c, lc, matrix, row, col);
      }
    }
  }
};

// The types of a and b, and of c, that we use; both 8 bits only transposed by not transposed.
bool supported(const cublasLtMatmulDescOpaque_t& desc, const Layout& a, const Layout& b, const Layout& c) {
  if (a.type != b.type) return false;
  if (a.type == CUDA_R_8I)
    return c.type == CUDA_R_32I && desc.compute == CUBLAS_COMPUTE_32I && desc.transa == CUBLAS_OP_T &&
           desc.transb == CUBLAS_OP_N && a.leading % 4 == 0 && b.leading % 4 == 0 && c.leading % 4 == 0;
  const bool floats = desc.compute == CUBLAS_COMPUTE_32F;
  if (a.type == CUDA_R_32F) return floats && c.type == CUDA_R_32F;
  return floats && a.type == CUDA_R_16BF && (c.type == CUDA_R_32F || c.type == CUDA_R_16BF);
}

bool fits(const cublasLtMatmulDescOpaque_t& desc, const Layout& a, const Layout& b, const Layout& c) {
  const bool ta = desc.transa == CUBLAS_OP_T, tb = desc.transb == CUBLAS_OP_T;
  for (const Layout* m : {&a, &b, &c})
    if (m->leading < m->rows || m->count != c.count) return false;
  return (ta ? a.cols : a.rows) == c.rows && (tb ? b.rows : b.cols) == c.cols &&
         (ta ? a.rows : a.cols) == (tb ? b.cols : b.rows);
}

}  // namespace

size_t cublasLtGetVersion() { return 0; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value" : "not supported";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext{cuda_emulator::current_device()};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if ((compute == CUBLAS_COMPUTE_32I) != (scale == CUDA_R_32I)) return CUBLAS_STATUS_INVALID_VALUE;
  *desc = new cublasLtMatmulDescOpaque_t{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which,
                                              const void* value, size_t bytes) {
  return set(which == CUBLASLT_MATMUL_DESC_TRANSA ? desc->transa : desc->transb, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t leading) {
  *layout = new Layout{.type = type,
                       .rows = static_cast<int64_t>(rows),
                       .cols = static_cast<int64_t>(cols),
                       .leading = leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t which, const void* value,
                                                size_t bytes) {
  if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return set(layout->count, value, bytes);
  return set(layout->step, value, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void* value, size_t bytes) {
  if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return set(preference->workspace, value, bytes);
  if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return set(preference->reduction, value, bytes);
  const auto operand = static_cast<size_t>(which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
  return set(preference->alignment.at(operand), value, bytes);
}

// An algorithm is the alignment that it asks for.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  if (wanted < 1 || c != d || !fits(*desc, *a, *b, *c)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!supported(*desc, *a, *b, *c)) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (size_t i = 0; i < preference->alignment.size(); ++i) results->algo.data[i] = preference->alignment[i];
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void*, size_t, cudaStream_t stream) {
  for (const int device : {handle->device, cuda_emulator::current_device()})
    if (device != cuda_emulator::device_of(stream)) return CUBLAS_STATUS_INVALID_VALUE;
  if (c != d || c_layout != d_layout || !fits(*desc, *a_layout, *b_layout, *c_layout))
    return CUBLAS_STATUS_INVALID_VALUE;
  const std::array<std::pair<const void*, const Layout*>, 4> operands{
      {{a, a_layout}, {b, b_layout}, {c, c_layout}, {d, d_layout}}};
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto [data, layout] = operands[i];
    const auto address = reinterpret_cast<uintptr_t>(data);
    const auto step = static_cast<uint64_t>(layout->step) * element_bytes(layout->type);
    if (address % algorithm->data[i] != 0 || step % algorithm->data[i] != 0)
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool integers = desc->compute == CUBLAS_COMPUTE_32I;
  const auto factor = [&](const void* p) {
    return integers ? static_cast<float>(*static_cast<const int32_t*>(p)) : *static_cast<const float*>(p);
  };
  if (factor(alpha) != 1 || (factor(beta) != 0 && factor(beta) != 1)) return CUBLAS_STATUS_INVALID_VALUE;
  const Product product{.transa = desc->transa == CUBLAS_OP_T,
                        .transb = desc->transb == CUBLAS_OP_T,
                        .accumulate = factor(beta) == 1,
                        .a = a,
                        .b = b,
                        .c = d,
                        .la = *a_layout,
                        .lb = *b_layout,
                        .lc = *c_layout};
  cuda_emulator::enqueue(stream, [=] { integers ? product.run<int32_t>() : product.run<float>(); });
  return CUBLAS_STATUS_SUCCESS;
}

// In place of what loads the original.
namespace qsweep::kernels::cuda {

const CublasLt& cublaslt() {
  static constexpr CublasLt functions{.version = cublasLtGetVersion,
                                      .status_string = cublasLtGetStatusString,
                                      .create = cublasLtCreate,
                                      .destroy = cublasLtDestroy,
                                      .desc_create = cublasLtMatmulDescCreate,
                                      .desc_destroy = cublasLtMatmulDescDestroy,
                                      .desc_set = cublasLtMatmulDescSetAttribute,
                                      .layout_create = cublasLtMatrixLayoutCreate,
                                      .layout_destroy = cublasLtMatrixLayoutDestroy,
                                      .layout_set = cublasLtMatrixLayoutSetAttribute,
                                      .preference_create = cublasLtMatmulPreferenceCreate,
                                      .preference_destroy = cublasLtMatmulPreferenceDestroy,
                                      .preference_set = cublasLtMatmulPreferenceSetAttribute,
                                      .heuristic = cublasLtMatmulAlgoGetHeuristic,
                                      .matmul = cublasLtMatmul};
  return functions;
}

}  // namespace qsweep::kernels::cuda
