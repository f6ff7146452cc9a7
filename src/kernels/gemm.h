// Matrix products, all of them through oneDNN.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "kernels/rows.h"
#include "tensor/tensor.h"

namespace qsweep::kernels {

// A stack of matrices with any strides: sizes {batch..., rows, cols}; a batch size of 1 is broadcast.
struct GemmOperand {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // in elements
};

// What a product is for; counted apart.
enum class GemmPurpose { reference, deltas, cotangents };
inline constexpr size_t kGemmPurposes = 3;

struct GemmCount {
  int64_t calls = 0;
  double flops = 0;
  double bf16_flops = 0;  // of these, in bf16 arithmetic
  double seconds = 0;

  void add(const GemmCount& other);
  GemmCount since(const GemmCount& earlier) const;
};

struct GemmOptions {
  const float* bias = nullptr;  // [cols of c], added to every row
  bool accumulate = false;      // c += a b instead of c = a b
  GemmPurpose purpose = GemmPurpose::reference;
};

// Not thread-safe: one caller, whose products use all its threads.
class Gemm {
 public:
  // allow_bf16 = false takes the fallback of processors without bf16 products, whatever this one has.
  explicit Gemm(Threads threads, bool allow_bf16 = true);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // c = a b. Types: f32 x f32 -> f32; bf16 x bf16 -> f32 or bf16, accumulated in f32. Where the processor has
  // no bf16 products the operands are widened and multiplied in f32. An empty product does nothing (k = 0 is
  // refused).
  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                const GemmOptions& options = {});

  // y [rows, out] = x [rows, in] w^T, w [out, in]: a linear layer. w has x's dtype.
  void linear(DeltaView x, DeltaView w, DeltaView y, const GemmOptions& options = {});

  bool native_bf16() const { return native_bf16_; }
  const std::string& bf16_reason() const {
    return bf16_reason_;
  }  // why bf16 is or is not native, one sentence
  const GemmCount& count(GemmPurpose purpose) const { return counts_[static_cast<size_t>(purpose)]; }
  Threads threads() const { return threads_; }

  // Upper bound of the memory that one product needs beside its operands, when it runs natively.
  static constexpr int64_t kScratchBytes = int64_t{4} << 20;

 private:
  struct State;
  void multiply_widened(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                        const GemmOptions& options);

  Threads threads_;
  bool native_bf16_;
  std::string bf16_reason_;
  GemmCount counts_[kGemmPurposes];
  std::unique_ptr<State> state_;
};

// A dense or strided matrix as an operand, transposed or not.
GemmOperand operand(DeltaView m, bool transposed = false);
DeltaView view_of(Matrix<const float> m);

std::string onednn_version();
// The instruction set that oneDNN's products use here, such as "avx512_core_bf16".
std::string isa_name();

// The measured rate of y = x w^T in FLOP/s for the given shape and dtype (about `seconds` of work).
double measure_rate(Gemm& gemm, DType dtype, int64_t rows, int64_t in, int64_t out, double seconds);

}  // namespace qsweep::kernels
