// The bodies of sums, multiples, rotations and conversions. Compiled once per instruction set and for
// CUDA, in the words of lanes.h.
#include "kernels/elementwise.h"
#include "kernels/lanes.h"
#include "kernels/rows.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;
using L64 = Lanes64;

template <class A, class B, class Y>
QSWEEP_KERNEL void add_row(int64_t n, const A* a, const B* b, Y* y) {
  if (a != nullptr && b != nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(a, at) + L::load(b, at), y, at); });
  } else if (a != nullptr) {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(a, at), y, at); });
  } else {
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(b, at), y, at); });
  }
}

// One head: (a, b) -> (a cos - b sin, b cos + a sin) for its two halves; `turn` is 1, or -1 for the opposite
// angles.
template <class T>
QSWEEP_KERNEL void rotate_row(int64_t cols, int64_t head_dim, const float* cos_sin, float turn, const T* x,
                              T* y) {
  const int64_t half = head_dim / 2;
  L::each_part(cols / head_dim, half, [&](auto part, int64_t head) QSWEEP_LANES {
    const T *low = x + head * head_dim, *high = low + half;
    T *out_low = y + head * head_dim, *out_high = out_low + half;
    part.each(half, [&](auto at) QSWEEP_LANES {
      const auto c = L::load(cos_sin, at), s = L::load(cos_sin + half, at) * L::set(turn);
      const auto a = L::load(low, at), b = L::load(high, at);
      L::store(a * c - b * s, out_low, at);
      L::store(b * c + a * s, out_high, at);
    });
  });
}

QSWEEP_KERNEL void Add(int64_t begin, int64_t end, Matrix<const float> a, Matrix<const float> b,
                       Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r) add_row(y.cols, a.row(r), b.row(r), y.row(r));
}

QSWEEP_KERNEL void AddDelta(const RowBlock& b, int64_t first, int64_t count, MatrixView da, MatrixView db,
                            MatrixView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      add_row(dy.cols, row_or_null<T>(da, b.in[0], r), row_or_null<T>(db, b.in[1], r),
              dy.as<T>().row(b.out + r));
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void AddToParent(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> parent,
                               MatrixView d, MatrixView y) {
  const auto run = [&]<class D, class Y>(D*, Y*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      add_row(y.cols, parent.row(b.parent + r), row_or_null<D>(d, b.in[0], r), y.as<Y>().row(b.out + r));
  };
  float* const wide = nullptr;
  bf16* const narrow = nullptr;
  if (y.dtype == DType::bf16) {
    run(narrow, narrow);
  } else if (d.dtype == DType::bf16) {
    run(narrow, wide);
  } else {
    run(wide, wide);
  }
}

QSWEEP_KERNEL void Rotate(int64_t begin, int64_t end, Matrix<const float> x, Matrix<const float> cos_sin,
                          Matrix<float> y) {
  for (int64_t r = begin; r < end; ++r)
    rotate_row(y.cols, cos_sin.cols, cos_sin.row(r), 1.0f, x.row(r), y.row(r));
}

QSWEEP_KERNEL void RotateDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> cos_sin,
                               float turn, MatrixView dx, MatrixView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      rotate_row<T>(dy.cols, cos_sin.cols, cos_sin.row(b.parent + r), turn, dx.as<T>().row(b.in[0] + r),
                    dy.as<T>().row(b.out + r));
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void Scale(const RowBlock& b, int64_t first, int64_t count, float factor, MatrixView x,
                         MatrixView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::each(y.cols, [&](auto at) QSWEEP_LANES {
        L::store(L::load(x.as<T>().row(b.in[0] + r), at) * L::set(factor), y.as<T>().row(b.out + r), at);
      });
  };
  y.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void Convert(int64_t begin, int64_t end, Matrix<const float> x, MatrixView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      add_row(y.cols, x.row(r), static_cast<const float*>(nullptr), y.as<T>().row(r));
  };
  y.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

// Pieces [begin, end) of `piece` elements each, the last one of the n may be shorter.
QSWEEP_KERNEL void ToF32(int64_t begin, int64_t end, int64_t piece, int64_t n, const void* x, DType dtype,
                         float* y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t first = begin * piece; first < n && first < end * piece; first += piece)
      add_row(n - first < piece ? n - first : piece, static_cast<const T*>(x) + first,
              static_cast<const float*>(nullptr), y + first);
  };
  switch (dtype) {
    case DType::bf16:
      return run(static_cast<bf16*>(nullptr));
    case DType::f16:
      return run(static_cast<f16*>(nullptr));
    default:
      return run(static_cast<float*>(nullptr));
  }
}

// Rows [begin, end) of x; the groups of parts are `rows` rows apart.
QSWEEP_KERNEL void Split(int64_t begin, int64_t end, Matrix<const float> x, Matrix<bf16> parts) {
  const int64_t count = parts.rows / x.rows;
  for (int64_t r = begin; r < end; ++r) {
    L::each(x.cols, [&](auto at) QSWEEP_LANES {
      auto rest = L::load(x.row(r), at);
      for (int64_t part = 0; part < count; ++part) {
        bf16* rounded = parts.row(part * x.rows + r);
        L::store(rest, rounded, at);
        rest = rest - L::load(rounded, at);
      }
    });
  }
}

QSWEEP_KERNEL void AddParts(int64_t begin, int64_t end, Matrix<const float> parts, const float* bias,
                            bool accumulate, Matrix<float> y) {
  const int64_t count = parts.rows / y.rows;
  for (int64_t r = begin; r < end; ++r) {
    L::each(y.cols, [&](auto at) QSWEEP_LANES {
      auto sum = L::zero();
      for (int64_t part = count; part-- > 0;) sum = sum + L::load(parts.row(part * y.rows + r), at);
      if (bias != nullptr) sum = sum + L::load(bias, at);
      if (accumulate) sum = sum + L::load(y.row(r), at);
      L::store(sum, y.row(r), at);
    });
  }
}

// Row p: the sum of the p-th of so many pieces of x's rows.
QSWEEP_KERNEL void SumPieces(int64_t begin, int64_t end, Matrix<const float> x, Matrix<double> sums) {
  for (int64_t p = begin; p < end; ++p)
    L64::each(x.cols, [&](auto at) QSWEEP_LANES {
      auto sum = L64::zero();
      for (int64_t r = x.rows * p / sums.rows; r < x.rows * (p + 1) / sums.rows; ++r)
        sum = sum + L64::load(x.row(r), at);
      L64::store(sum, sums.row(p), at);
    });
}

QSWEEP_KERNEL void SubtractMean(int64_t begin, int64_t end, Matrix<const float> x, Matrix<const double> sums,
                                Matrix<float> y) {
  const auto count = L64::set(static_cast<double>(x.rows));
  for (int64_t r = begin; r < end; ++r)
    L64::each(x.cols, [&](auto at) QSWEEP_LANES {
      auto sum = L64::zero();
      for (int64_t p = 0; p < sums.rows; ++p) sum = sum + L64::load(sums.row(p), at);
      L64::store(L64::load(x.row(r), at) - sum / count, y.row(r), at);
    });
}

template <class A, class Y>
QSWEEP_KERNEL void subtract_row(int64_t n, const A* a, const float* b, Y* y) {
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto from = a == nullptr ? L::zero() : L::load(a, at);
    L::store(from - L::load(b, at), y, at);
  });
}

QSWEEP_KERNEL void SubtractParent(const RowBlock& b, int64_t first, int64_t count, MatrixView a,
                                  Matrix<const float> parent, MatrixView y) {
  const auto run = [&]<class A, class Y>(A*, Y*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      subtract_row(y.cols, row_or_null<A>(a, b.in[0], r), parent.row(b.parent + r), y.as<Y>().row(b.out + r));
  };
  float* const wide = nullptr;
  bf16* const narrow = nullptr;
  if (y.dtype == DType::f32) {
    run(wide, wide);
  } else if (a.dtype == DType::f32) {
    run(wide, narrow);
  } else {
    run(narrow, narrow);
  }
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
