#include "kernels/gemm.h"

#include <algorithm>
#include <chrono>

#include "base/trace.h"
#include "kernels/buffer.h"
#include "kernels/cuda/queue.h"
#include "kernels/gemm_backend.h"
#include "kernels/onednn.h"

namespace qsweep::kernels {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double flops_of(const GemmOperand& a, const GemmOperand& c) {
  double flops = 2.0 * static_cast<double>(a.sizes.back());
  for (const int64_t size : c.sizes) flops *= static_cast<double>(size);
  return flops;
}

constexpr const char* kSpans[kGemmPurposes] = {"gemm reference", "gemm deltas", "gemm cotangents"};

// What a trace shows of a product.
void describe(trace::Span& span, const GemmOperand& a, const GemmOperand& c) {
  int64_t batch = 1;
  for (size_t i = 0; i + 2 < c.sizes.size(); ++i) batch *= c.sizes[i];
  span.arg("dtype", name(a.dtype));
  span.arg("batch", batch);
  span.arg("rows", c.sizes.end()[-2]);
  span.arg("in", a.sizes.back());
  span.arg("out", c.sizes.back());
}

// Instruction sets are nested bit sets: a newer one contains the older ones' bits.
bool has_isa(dnnl::cpu_isa wanted) {
  const auto bits = [](dnnl::cpu_isa isa) { return static_cast<unsigned>(isa); };
  return (bits(dnnl::get_effective_cpu_isa()) & bits(wanted)) == bits(wanted);
}

std::pair<bool, std::string> find_native_bf16() {
  if (has_isa(dnnl::cpu_isa::avx512_core_amx)) return {true, "the processor has AMX"};
  if (has_isa(dnnl::cpu_isa::avx512_core_bf16)) return {true, "the processor has AVX-512 BF16"};
  return {false, "the processor has neither AVX-512 BF16 nor AMX: products of bf16 run in f32"};
}

std::unique_ptr<GemmBackend> backend_of(Device device) {
  return device.gpu != nullptr ? cuda::cublaslt_backend(*device.gpu) : onednn_backend(device.threads);
}

}  // namespace

void GemmCount::add(const GemmCount& other) {
  calls += other.calls;
  flops += other.flops;
  bf16_flops += other.bf16_flops;
  seconds += other.seconds;
}

GemmCount GemmCount::since(const GemmCount& earlier) const {
  return {calls - earlier.calls, flops - earlier.flops, bf16_flops - earlier.bf16_flops,
          seconds - earlier.seconds};
}

Gemm::Gemm(Device device, LowPrecision low)
    : device_(device),
      // Older instructions add pairs of products in 16 bits, which saturates.
      native_int8_(has_isa(dnnl::cpu_isa::avx512_core_vnni)),
      much_faster_bf16_(low == LowPrecision::always || has_isa(dnnl::cpu_isa::avx512_core_amx)),
      backend_(backend_of(device)) {
  if (device.gpu != nullptr) {
    native_bf16_ = native_int8_ = much_faster_bf16_ = true;
    bf16_reason_ = "the GPU has bf16 products";
    return;
  }
  std::tie(native_bf16_, bf16_reason_) = find_native_bf16();
  if (low == LowPrecision::never) {
    native_bf16_ = native_int8_ = false;
    bf16_reason_ = "bf16 products are switched off";
  } else if (low == LowPrecision::always && !native_bf16_) {
    native_bf16_ = emulated_ = true;
    bf16_reason_ = "bf16 products are emulated in f32";
  }
  if (low == LowPrecision::always && !native_int8_) native_int8_ = emulated_int8_ = true;
}

Gemm::~Gemm() {
  if (device_.gpu != nullptr) device_.gpu->forget_times();  // which were for the counts
}

bool Gemm::takes_bf16_weights(int64_t rows, F32Rows how) const {
  constexpr int64_t kFewRows = 256;  // for more, the copy is small beside the product
  return native_bf16_ && (much_faster_bf16_ || (how == F32Rows::in_two_parts && rows <= kFewRows));
}

template <class Body>
void Gemm::counted(const GemmOperand& a, const GemmOperand& c, GemmPurpose purpose, bool in_bf16,
                   Body&& body) {
  const double flops = flops_of(a, c);
  // A GPU is only asked here: the span has no rate then.
  trace::Span span(kSpans[static_cast<size_t>(purpose)], {.flops = device_.gpu == nullptr ? flops : 0});
  describe(span, a, c);
  GemmCount& count = counts_[static_cast<size_t>(purpose)];
  timed(count.seconds, body);
  count.add({.calls = 1, .flops = flops, .bf16_flops = in_bf16 ? flops : 0});
}

template <class Body>
void Gemm::timed(double& seconds, Body&& body) {
  if (device_.gpu != nullptr) return device_.gpu->timed(seconds, body);
  const auto start = Clock::now();
  body();
  seconds += seconds_since(start);
}

const GemmCount& Gemm::count(GemmPurpose purpose) const {
  if (device_.gpu != nullptr) device_.gpu->settle_times();
  return counts_[static_cast<size_t>(purpose)];
}

void Gemm::multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                    const GemmOptions& options) {
  for (const int64_t size : c.sizes)
    if (size == 0) return;
  QSWEEP_CHECK(a.sizes.back() > 0, "a product over no elements");
  const auto is_bf16 = [](const GemmOperand& m) { return m.dtype == DType::bf16; };
  const bool has_bf16 = is_bf16(a) || is_bf16(b) || is_bf16(c);
  counted(a, c, options.purpose, has_bf16 && native_bf16_, [&] {
    if (native_bf16_ && a.dtype == DType::f32 && b.dtype == DType::bf16) {
      run_split(a, b, c, options);
    } else if (has_bf16 && (!native_bf16_ || emulated_)) {
      run_widened(a, b, c, options);
    } else {
      backend_->multiply(a, b, c, options);
    }
  });
}

namespace {

// Of the copies that a plain product makes of its rows, a piece at a time.
constexpr int64_t kPieceBytes = int64_t{32} << 20;

int64_t piece_rows(int64_t row_bytes) { return std::max<int64_t>(1, kPieceBytes / row_bytes); }

int64_t extent_elems(const GemmOperand& m) {
  int64_t last = 0;
  for (size_t i = 0; i < m.sizes.size(); ++i) last += (m.sizes[i] - 1) * m.strides[i];
  return last + 1;
}

GemmOperand rows_of(const GemmOperand& m, int64_t first, int64_t count) {
  GemmOperand part = m;
  part.data = static_cast<std::byte*>(m.data) + first * m.strides.front() * size_bytes(m.dtype);
  part.sizes.front() = count;
  return part;
}

// The same elements and strides in f32. Elements between the strides are copied too: they are never read.
GemmOperand widened(Device device, const GemmOperand& m, Buffer& storage) {
  const trace::Span span("widening");
  const int64_t n = extent_elems(m);
  storage = Buffer(device, DType::f32, 1, n);
  to_f32(device, {DType::bf16, {n}, static_cast<const std::byte*>(m.data)}, storage.matrix<float>());
  return {storage.data(), DType::f32, m.sizes, m.strides};
}

}  // namespace

void Gemm::run_widened(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                       const GemmOptions& options) {
  Buffer wide_b;
  const GemmOperand b32 = b.dtype == DType::f32 ? b : widened(device_, b, wide_b);
  // Rows of plain products some at a time, so that the copies stay small; tiles of batched ones are small
  // already.
  const bool plain = c.sizes.size() == 2;
  const int64_t rows = c.sizes.front();
  const int64_t piece = plain ? piece_rows(4 * (a.strides.front() + c.strides.front())) : rows;
  for (int64_t first = 0; first < rows; first += piece) {
    const int64_t count = std::min(piece, rows - first);
    Buffer wide_a, wide_c;
    const GemmOperand from = plain ? rows_of(a, first, count) : a, to = plain ? rows_of(c, first, count) : c;
    const GemmOperand a32 = from.dtype == DType::f32 ? from : widened(device_, from, wide_a);
    if (c.dtype == DType::f32) {
      backend_->multiply(a32, b32, to, options);
      continue;
    }
    backend_->multiply(a32, b32, widened(device_, to, wide_c), options);
    // Elements between the strides return as they came: widening and rounding back is exact for them.
    const int64_t n = extent_elems(to);
    convert(device_, wide_c.matrix<float>(), {to.data, DType::bf16, 1, n, n});
  }
}

void Gemm::run_split(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                     const GemmOptions& options) {
  QSWEEP_CHECK(c.sizes.size() == 2 && c.dtype == DType::f32 && a.strides[1] == 1 && c.strides[1] == 1,
               "f32 x bf16 is a plain product of dense rows");
  const int64_t in = a.sizes[1], out = c.sizes[1];
  const int64_t n = options.f32_rows == F32Rows::in_two_parts ? 2 : 3;
  const int64_t piece = piece_rows(n * (2 * in + 4 * out));
  for (int64_t first = 0; first < c.sizes[0]; first += piece) {
    const int64_t rows = std::min(piece, c.sizes[0] - first);
    const Buffer parts(device_, DType::bf16, n * rows, in), products(device_, DType::f32, n * rows, out);
    const auto rows_at = [&](const GemmOperand& m, int64_t cols) {
      return Matrix<float>(static_cast<float*>(m.data) + first * m.strides[0], rows, cols, m.strides[0]);
    };
    split(device_, rows_at(a, in), parts.matrix<bf16>());
    const GemmOperand from = operand(parts.view()), to = operand(products.view());
    emulated_ ? run_widened(from, b, to, {}) : backend_->multiply(from, b, to, {});
    add_parts(device_, products.matrix<float>(), options.bias, options.accumulate, rows_at(c, out));
  }
}

void Gemm::linear(MatrixView x, MatrixView w, MatrixView y, const GemmOptions& options) {
  QSWEEP_CHECK(x.cols == w.cols && w.rows == y.cols && x.rows == y.rows, "[{}, {}] x [{}, {}]^T -> [{}, {}]",
               x.rows, x.cols, w.rows, w.cols, y.rows, y.cols);
  multiply(operand(x), operand(w, true), operand(y), options);
}

bool Gemm::multiplies_codes(int64_t in, int64_t out) const {
  // cuBLASLt asks for rows of whole words.
  return native_int8_ && (device_.gpu == nullptr || (in % 4 == 0 && out % 4 == 0));
}

namespace {

template <class T>
void naive_codes(Threads threads, Matrix<const T> x, Matrix<const int8_t> w, Matrix<int32_t> y) {
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < y.cols; ++c) {
        int32_t sum = 0;
        for (int64_t i = 0; i < x.cols; ++i) sum += int32_t{x.row(r)[i]} * w.row(c)[i];
        y.row(r)[c] = sum;
      }
  });
}

}  // namespace

void Gemm::linear_codes(MatrixView x, MatrixView w, MatrixView y, GemmPurpose purpose) {
  const bool takes_x = x.dtype == DType::i8 || (takes_uint8() && x.dtype == DType::u8);
  QSWEEP_CHECK(multiplies_codes(x.cols, w.rows) && takes_x && w.dtype == DType::i8 && y.dtype == DType::i32,
               "a product of {} and {} into {}", name(x.dtype), name(w.dtype), name(y.dtype));
  QSWEEP_CHECK(x.cols == w.cols && w.rows == y.cols && x.rows == y.rows, "[{}, {}] x [{}, {}]^T -> [{}, {}]",
               x.rows, x.cols, w.rows, w.cols, y.rows, y.cols);
  if (y.rows == 0) return;
  const GemmOperand a = operand(x), b = operand(w, true), c = operand(y);
  counted(a, c, purpose, /*in_bf16=*/false, [&] {
    if (!emulated_int8_) {
      backend_->multiply(a, b, c, {});
    } else if (x.dtype == DType::i8) {
      naive_codes(threads(), Matrix<const int8_t>(x.as<int8_t>()), w.as<int8_t>(), y.as<int32_t>());
    } else {
      naive_codes(threads(), Matrix<const uint8_t>(x.as<uint8_t>()), w.as<int8_t>(), y.as<int32_t>());
    }
  });
}

GemmOperand operand(MatrixView m, bool transposed) {
  if (transposed) return {m.data, m.dtype, {m.cols, m.rows}, {1, m.stride}};
  return {m.data, m.dtype, {m.rows, m.cols}, {m.stride, 1}};
}

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

std::string isa_name() {
  constexpr std::pair<dnnl::cpu_isa, const char*> best_first[] = {
      {dnnl::cpu_isa::avx512_core_amx, "avx512_core_amx"},
      {dnnl::cpu_isa::avx512_core_bf16, "avx512_core_bf16"},
      {dnnl::cpu_isa::avx512_core_vnni, "avx512_core_vnni"},
      {dnnl::cpu_isa::avx512_core, "avx512_core"},
      {dnnl::cpu_isa::avx2_vnni, "avx2_vnni"},
      {dnnl::cpu_isa::avx2, "avx2"},
      {dnnl::cpu_isa::avx, "avx"},
      {dnnl::cpu_isa::sse41, "sse41"}};
  for (const auto& [isa, name] : best_first)
    if (has_isa(isa)) return name;
  return "baseline";
}

double measure_rate(Gemm& gemm, DType dtype, int64_t rows, int64_t in, int64_t out, double seconds) {
  const auto fill = [&](auto elements, auto value) {
    HostCopy copy(gemm.device(), elements);
    std::ranges::fill(copy.elements(), value);
    copy.write_back();
  };
  const auto filled = [&](int64_t r, int64_t c) {
    Buffer m(gemm.device(), dtype, r, c);
    dtype == DType::f32 ? fill(m.elements<float>(), 0.5f) : fill(m.elements<bf16>(), to_bf16(0.5f));
    return m;
  };
  const Buffer x = filled(rows, in), w = filled(out, in), y = filled(rows, out);
  const auto multiply = [&] {
    gemm.linear(x.view(), w.view(), y.view());
    wait(gemm.device());
  };
  multiply();  // warm: the primitive is made here
  int64_t repeats = 0;
  const auto start = Clock::now();
  do {
    multiply();
    ++repeats;
  } while (seconds_since(start) < seconds);
  return 2.0 * static_cast<double>(rows * in) * static_cast<double>(out * repeats) / seconds_since(start);
}

}  // namespace qsweep::kernels
