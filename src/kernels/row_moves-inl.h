// The bodies of the kernels that move rows. Compiled once per instruction set and for CUDA, in the words of
// lanes.h.
#include "kernels/lanes.h"
#include "kernels/row_moves.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

// run(a pointer to the elements' type), which is f32 or bf16.
template <class Run>
QSWEEP_KERNEL void with_type(DType dtype, Run&& run) {
  dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

// Zeros where there is no row.
template <class T>
QSWEEP_KERNEL void copy_row(int64_t n, const T* from, T* to) {
  if (from == nullptr) {
    L::fill(n, T{}, to);
  } else {
    L::copy(n, from, to);
  }
}

QSWEEP_KERNEL void GatherDelta(const RowBlock& b, int64_t first, int64_t count, const int64_t* source,
                               MatrixView dx, MatrixView dy) {
  with_type(dy.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t from = source[b.parent + r];
      const T* row = from == kAbsent ? nullptr : row_or_null<T>(dx, b.in[0], from);
      copy_row(dy.cols, row, dy.as<T>().row(b.out + r));
    }
  });
}

QSWEEP_KERNEL void Scatter(const RowBlock& b, int64_t first, int64_t count, const int64_t* source,
                           MatrixView x, MatrixView features, MatrixView y) {
  with_type(y.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t from = source[b.parent + r];
      const T* row =
          from == kAbsent ? row_or_null<T>(x, b.in[0], r) : row_or_null<T>(features, b.in[1], from);
      copy_row(y.cols, row, y.as<T>().row(b.out + r));
    }
  });
}

QSWEEP_KERNEL void SumRows(const RowBlock& b, int64_t first, int64_t count, const int64_t* start,
                           const int64_t* readers, MatrixView dy, MatrixView dx) {
  with_type(dx.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::each(dx.cols, [&](auto at) QSWEEP_LANES {
        auto sum = L::zero();
        for (int64_t i = start[r]; i < start[r + 1]; ++i)
          sum = sum + L::load(dy.as<T>().row(b.in[0] + readers[i]), at);
        L::store(sum, dx.as<T>().row(b.out + r), at);
      });
  });
}

QSWEEP_KERNEL void AddRows(int64_t begin, int64_t end, const RowTerm* terms, MatrixView x, Matrix<float> y) {
  with_type(x.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t i = begin; i < end; ++i) {
      const auto scale = L::set(terms[i].scale);
      const T* from = x.as<const T>().row(terms[i].from);
      float* to = y.row(terms[i].to);
      L::each(y.cols, [&](auto at) QSWEEP_LANES {
        L::store(L::fma(scale, L::load(from, at), L::load(to, at)), to, at);
      });
    }
  });
}

QSWEEP_KERNEL void MeanRows(const RowBlock& b, int64_t first, int64_t count, int64_t factor, MatrixView x,
                            MatrixView y) {
  with_type(y.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::each(y.cols, [&](auto at) QSWEEP_LANES {
        auto sum = L::zero();
        for (int64_t k = 0; k < factor; ++k) sum = sum + L::load(x.as<T>().row(b.in[0] + factor * r + k), at);
        L::store(sum / L::set(static_cast<float>(factor)), y.as<T>().row(b.out + r), at);
      });
  });
}

QSWEEP_KERNEL void MeanRowsVjp(const RowBlock& b, int64_t first, int64_t count, int64_t factor, MatrixView dy,
                               MatrixView dx) {
  with_type(dx.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::each(dx.cols, [&](auto at) QSWEEP_LANES {
        const auto g = L::load(dy.as<T>().row(b.in[0] + r / factor), at);
        L::store(g / L::set(static_cast<float>(factor)), dx.as<T>().row(b.out + r), at);
      });
  });
}

QSWEEP_KERNEL void InterleaveRows(const RowBlock& b, int64_t first, int64_t count, int64_t factor,
                                  MatrixView x, MatrixView y) {
  with_type(y.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      for (int64_t k = 0; k < factor; ++k)
        L::copy_apart(x.cols, x.as<const T>().row(b.in[0] + factor * r + k), 1, y.as<T>().row(b.out + r) + k,
                      factor);
  });
}

QSWEEP_KERNEL void InterleaveRowsVjp(const RowBlock& b, int64_t first, int64_t count, int64_t factor,
                                     MatrixView dy, MatrixView dx) {
  with_type(dx.dtype, [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::copy_apart(dx.cols, dy.as<const T>().row(b.in[0] + r / factor) + r % factor, factor,
                    dx.as<T>().row(b.out + r), 1);
  });
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
