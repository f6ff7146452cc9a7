// What lanes_test.cc measures, as kernels of one row. Compiled once per instruction set and for CUDA.
#include <type_traits>

#include "kernels/lanes.h"

#ifndef QSWEEP_LANES_TEST_ONCE
#define QSWEEP_LANES_TEST_ONCE
namespace qsweep::kernels {
enum class Function { exp, expm1, expm1_minus_x, sigmoid };
inline constexpr int64_t kMoreThanLanes = 300;
}  // namespace qsweep::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

template <class T>
QSWEEP_KERNEL void apply(Function function, int64_t n, const T* x, T* y) {
  using L = LanesOf<T>;
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto v = L::load(x, at);
    switch (function) {
      case Function::exp:
        return L::store(L::exp(v), y, at);
      case Function::expm1:
        return L::store(L::expm1(v), y, at);
      case Function::expm1_minus_x:
        return L::store(L::expm1_minus_x(v), y, at);
      case Function::sigmoid:
        return L::store(L::sigmoid(v), y, at);
    }
  });
}

template <class From, class To>
QSWEEP_KERNEL void copy(int64_t n, const From* x, To* y) {
  using L = LanesOf<std::conditional_t<std::is_same_v<To, double>, double, float>>;
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at), y, at); });
}

// What every lane takes `value` to be.
template <class T>
QSWEEP_KERNEL void tell(T value, T* y) {
  using L = LanesOf<T>;
  L::each(kMoreThanLanes, [&](auto at) QSWEEP_LANES { L::store(L::set(value), y, at); });
}

QSWEEP_KERNEL void Apply32(int64_t, int64_t, Function f, int64_t n, const float* x, float* y) {
  apply(f, n, x, y);
}
QSWEEP_KERNEL void Apply64(int64_t, int64_t, Function f, int64_t n, const double* x, double* y) {
  apply(f, n, x, y);
}
QSWEEP_KERNEL void NarrowToBf16(int64_t, int64_t, int64_t n, const float* x, bf16* y) { copy(n, x, y); }
QSWEEP_KERNEL void WidenTo32(int64_t, int64_t, int64_t n, const bf16* x, float* y) { copy(n, x, y); }
QSWEEP_KERNEL void WidenTo64(int64_t, int64_t, int64_t n, const bf16* x, double* y) { copy(n, x, y); }
QSWEEP_KERNEL void Float32To64(int64_t, int64_t, int64_t n, const float* x, double* y) { copy(n, x, y); }

QSWEEP_KERNEL void Sum32(int64_t, int64_t, int64_t n, const float* x, float* y) {
  tell(Lanes::sum(n, [&](auto at) QSWEEP_LANES { return Lanes::load(x, at) + Lanes::set(1); }), y);
}
QSWEEP_KERNEL void Sum64(int64_t, int64_t, int64_t n, const float* x, double* y) {
  tell(Lanes64::sum(n, [&](auto at) QSWEEP_LANES { return Lanes64::load(x, at) + Lanes64::set(1); }), y);
}
QSWEEP_KERNEL void Max32(int64_t, int64_t, int64_t n, const float* x, float* y) {
  tell(Lanes::max(n, [&](auto at) QSWEEP_LANES { return Lanes::load(x, at); }), y);
}

QSWEEP_KERNEL void First32(int64_t, int64_t, float value, int64_t n, const float* x, double* y) {
  using L = Lanes;
  const int64_t first = L::first(n, [&](auto at) QSWEEP_LANES { return L::load(x, at) == L::set(value); });
  tell(static_cast<double>(first), y);
}

// One word right after the other, and between them what all lanes read and one writes: the row's sum, twice
// that, its first element before 1 is added to all, its last one after that and before it becomes 0, when all
// are 5, and when the row is what was told first.
QSWEEP_KERNEL void Sequence(int64_t, int64_t, int64_t n, float* x, float* y) {
  using L = Lanes;
  auto total = L::zero(), twice = L::zero();
  L::each(n, [&](auto at) QSWEEP_LANES {
    total = total + L::load(x, at);
    twice = twice + L::load(x, at) + L::load(x, at);
  });
  const float sum = L::sum_of(total), doubled = L::sum_of(twice);
  tell(sum, y);
  tell(doubled, y + kMoreThanLanes);
  const float first = x[0];
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at) + L::set(1), x, at); });
  const float last = x[n - 1];
  L::once([&]() QSWEEP_LANES { x[n - 1] = 0; });
  const float zero = x[n - 1];
  L::fill(n, 5.0f, x);
  const float filled = x[n - 1];
  L::copy(n, y, x);
  const float copied = x[n - 1];
  tell(first, y + 2 * kMoreThanLanes);
  tell(last, y + 3 * kMoreThanLanes);
  tell(zero, y + 4 * kMoreThanLanes);
  tell(filled, y + 5 * kMoreThanLanes);
  tell(copied, y + 6 * kMoreThanLanes);
}

// Parts of `width` elements of x, the last may be shorter: their sums, which are taken from their elements,
// then the largest that is left and its place.
QSWEEP_KERNEL void Parts(int64_t, int64_t, int64_t width, int64_t n, float* x, float* y) {
  using L = Lanes;
  const int64_t parts = (n + width - 1) / width;
  const float before = x[0];
  L::each_part(parts, width, [&](auto part, int64_t i) QSWEEP_LANES {
    float* const row = x + i * width;
    const int64_t count = n - i * width < width ? n - i * width : width;
    const float sum = part.sum(count, [&](auto at) QSWEEP_LANES { return L::load(row, at); });
    part.once([&]() QSWEEP_LANES { y[i] = sum; });
    const auto known = L::set(y[i]);
    part.each(count, [&](auto at) QSWEEP_LANES { L::store(L::load(row, at) - known, row, at); });
    const float top = part.max(count, [&](auto at) QSWEEP_LANES { return L::load(row, at); });
    const int64_t place =
        part.first(count, [&](auto at) QSWEEP_LANES { return L::load(row, at) == L::set(top); });
    part.once([&]() QSWEEP_LANES {
      y[parts + i] = top;
      y[2 * parts + i] = static_cast<float>(place);
    });
  });
  const float after = y[3 * parts - 1];
  tell(before, y + 3 * parts);
  tell(after, y + 3 * parts + kMoreThanLanes);
}

// Every element of a part becomes what its lane takes the largest of them to be.
QSWEEP_KERNEL void LargestOfParts(int64_t, int64_t, int64_t width, int64_t n, const float* x, float* y) {
  using L = Lanes;
  L::each_part(n / width, width, [&](auto part, int64_t i) QSWEEP_LANES {
    const float top = part.max(width, [&](auto at) QSWEEP_LANES { return L::load(x + i * width, at); });
    part.each(width, [&](auto at) QSWEEP_LANES { L::store(L::set(top), y + i * width, at); });
  });
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
