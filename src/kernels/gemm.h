// Matrix products, all of them through a library: oneDNN, or cuBLASLt on a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

// How f32 rows become bf16 in a product with bf16: as the sum of three matrices, which is exact, or of two,
// which is within 2^-18 of every element, as much as the sums of a product in f32 lose.
enum class F32Rows { in_three_parts, in_two_parts };

struct GemmOptions {
  const float* bias = nullptr;  // [cols of c], added to every row
  bool accumulate = false;      // c += a b instead of c = a b
  GemmPurpose purpose = GemmPurpose::reference;
  F32Rows f32_rows = F32Rows::in_three_parts;
};

// Whether products of bf16 and of int8 are computed as such: where the processor has them; never; or always,
// emulated where it has none (slow: so that tests take the same paths everywhere).
enum class LowPrecision { where_native, never, always };

class GemmBackend;

// Not thread-safe: one caller, whose products use all its threads.
class Gemm {
 public:
  // On a GPU products of bf16 and of int8 are always native; `low` is for the CPU alone. There a bias is
  // added to f32 rows of plain products only. Error where the GPU's library cannot be loaded.
  explicit Gemm(Device device, LowPrecision low = LowPrecision::where_native);
  explicit Gemm(Threads threads, LowPrecision low = LowPrecision::where_native)
      : Gemm(Device(threads), low) {}
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // c = a b, accumulated in f32; an empty product does nothing (k = 0 is refused). Types: f32 x f32 -> f32;
  // bf16 x bf16 -> f32 or bf16; f32 x bf16 -> f32, where a is the sum of bf16 matrices (F32Rows). Where the
  // processor has no bf16 products, bf16 operands are widened and multiplied in f32, and bf16 x f32 is
  // allowed too.
  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                const GemmOptions& options = {});

  // y [rows, out] = x [rows, in] w^T, w [out, in]: a linear layer.
  void linear(MatrixView x, MatrixView w, MatrixView y, const GemmOptions& options = {});

  // y [rows, out] = x [rows, in] w^T in integers, where the sums fit: x int8 or, with takes_uint8(), uint8, w
  // int8, y int32, all dense. Exact, but for int8 sums beyond 2^24, which oneDNN may round to 24 bits. Only
  // where it multiplies_codes().
  void linear_codes(MatrixView x, MatrixView w, MatrixView y, GemmPurpose purpose);
  bool multiplies_codes(int64_t in, int64_t out) const;
  bool takes_uint8() const { return device_.gpu == nullptr; }

  bool native_bf16() const { return native_bf16_; }  // or emulated
  // Whether so many f32 rows are multiplied faster with bf16 weights than with their f32 copy: always where
  // bf16 products are several times as fast as f32 ones, as with AMX; elsewhere few rows in two parts alone.
  bool takes_bf16_weights(int64_t rows, F32Rows how) const;
  // What an operand that is made for a product with rows of this dtype should be: no conversion is left to
  // do.
  DType operand_dtype(DType rows) const { return native_bf16_ ? rows : DType::f32; }
  const std::string& bf16_reason() const {
    return bf16_reason_;
  }  // why bf16 is or is not native, one sentence
  // On a GPU it waits for the products so far.
  const GemmCount& count(GemmPurpose purpose) const;
  Device device() const { return device_; }
  Threads threads() const { return device_.threads; }

  // Upper bound of the memory that one plain product needs beside its operands, unless it has to widen b.
  static constexpr int64_t kScratchBytes = int64_t{36} << 20;

 private:
  template <class Body>
  void timed(double& seconds, Body&& body);
  // Runs body() as one product a b = c, which it times, traces and counts.
  template <class Body>
  void counted(const GemmOperand& a, const GemmOperand& c, GemmPurpose purpose, bool in_bf16, Body&& body);
  void run_widened(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                   const GemmOptions& options);
  void run_split(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                 const GemmOptions& options);

  Device device_;
  bool native_bf16_, native_int8_, emulated_ = false, emulated_int8_ = false;
  bool much_faster_bf16_;  // than f32
  std::string bf16_reason_;
  GemmCount counts_[kGemmPurposes];
  std::unique_ptr<GemmBackend> backend_;
};

// A dense or strided matrix as an operand, transposed or not.
GemmOperand operand(MatrixView m, bool transposed = false);

std::string onednn_version();
// The instruction set that oneDNN's products use here, such as "avx512_core_bf16".
std::string isa_name();

// The measured rate of y = x w^T in FLOP/s for the given shape and dtype (about `seconds` of work).
double measure_rate(Gemm& gemm, DType dtype, int64_t rows, int64_t in, int64_t out, double seconds);

}  // namespace qsweep::kernels
