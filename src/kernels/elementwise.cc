#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/block_rows.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;

template <class A, class B, class Y>
void add_row(int64_t n, const A* a, const B* b, Y* y) {
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
void rotate_row(int64_t cols, int64_t head_dim, const float* cos_sin, float turn, const T* x, T* y) {
  const int64_t half = head_dim / 2;
  for (int64_t head = 0; head < cols; head += head_dim) {
    const T *low = x + head, *high = x + head + half;
    T *out_low = y + head, *out_high = y + head + half;
    L::each(half, [&](auto at) QSWEEP_LANES {
      const auto c = L::load(cos_sin, at), s = L::load(cos_sin + half, at) * L::set(turn);
      const auto a = L::load(low, at), b = L::load(high, at);
      L::store(a * c - b * s, out_low, at);
      L::store(b * c + a * s, out_high, at);
    });
  }
}

template <class T>
void gather_block(const RowBlock& b, int64_t first, int64_t count, const int64_t* source, DeltaView dx,
                  DeltaView dy) {
  for (int64_t r = first; r < first + count; ++r) {
    T* out = dy.as<T>().row(b.out + r);
    const int64_t from = source[b.parent + r];
    if (from == kAbsent || b.in[0] == kAbsent) {
      std::fill_n(out, dy.cols, T{});
    } else {
      std::copy_n(dx.as<T>().row(b.in[0] + from), dy.cols, out);
    }
  }
}

void Add(Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  for (int64_t r = 0; r < y.rows; ++r) add_row(y.cols, a.row(r), b.row(r), y.row(r));
}

void AddDelta(const RowBlock& b, int64_t first, int64_t count, DeltaView da, DeltaView db, DeltaView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      add_row(dy.cols, row_or_null<T>(da, b.in[0], r), row_or_null<T>(db, b.in[1], r),
              dy.as<T>().row(b.out + r));
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void AddToParent(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> parent, DeltaView d,
                 DeltaView y) {
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

void Rotate(Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y) {
  for (int64_t r = 0; r < y.rows; ++r)
    rotate_row(y.cols, cos_sin.cols, cos_sin.row(r), 1.0f, x.row(r), y.row(r));
}

void RotateDelta(const RowBlock& b, int64_t first, int64_t count, Matrix<const float> cos_sin, float turn,
                 DeltaView dx, DeltaView dy) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      rotate_row<T>(dy.cols, cos_sin.cols, cos_sin.row(b.parent + r), turn, dx.as<T>().row(b.in[0] + r),
                    dy.as<T>().row(b.out + r));
  };
  dy.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void GatherDelta(const RowBlock& b, int64_t first, int64_t count, const int64_t* source, DeltaView dx,
                 DeltaView dy) {
  if (dy.dtype == DType::bf16) {
    gather_block<bf16>(b, first, count, source, dx, dy);
  } else {
    gather_block<float>(b, first, count, source, dx, dy);
  }
}

void SumRows(const RowBlock& b, int64_t first, int64_t count, const int64_t* start, const int64_t* readers,
             DeltaView dy, DeltaView dx) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = first; r < first + count; ++r)
      L::each(dx.cols, [&](auto at) QSWEEP_LANES {
        auto sum = L::zero();
        for (int64_t i = start[r]; i < start[r + 1]; ++i)
          sum = sum + L::load(dy.as<T>().row(b.in[0] + readers[i]), at);
        L::store(sum, dx.as<T>().row(b.out + r), at);
      });
  };
  dx.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void Convert(Matrix<const float> x, DeltaView y) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = 0; r < y.rows; ++r)
      add_row(y.cols, x.row(r), static_cast<const float*>(nullptr), y.as<T>().row(r));
  };
  y.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void WidenBf16(int64_t n, const bf16* x, float* y) {
  L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::load(x, at), y, at); });
}

// Rows [begin, end) of x; the groups of parts are `rows` rows apart.
void Split(int64_t begin, int64_t end, Matrix<const float> x, Matrix<bf16> parts) {
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

void AddParts(int64_t begin, int64_t end, Matrix<const float> parts, const float* bias, bool accumulate,
              Matrix<float> y) {
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

template <class A, class Y>
void subtract_row(int64_t n, const A* a, const float* b, Y* y) {
  L::each(n, [&](auto at) QSWEEP_LANES {
    const auto from = a == nullptr ? L::zero() : L::load(a, at);
    L::store(from - L::load(b, at), y, at);
  });
}

void SubtractParent(const RowBlock& b, int64_t first, int64_t count, DeltaView a, Matrix<const float> parent,
                    DeltaView y) {
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

#if HWY_ONCE
namespace qsweep::kernels {
namespace {
HWY_EXPORT(Add);
HWY_EXPORT(AddDelta);
HWY_EXPORT(AddToParent);
HWY_EXPORT(Rotate);
HWY_EXPORT(RotateDelta);
HWY_EXPORT(GatherDelta);
HWY_EXPORT(SumRows);
HWY_EXPORT(Convert);
HWY_EXPORT(WidenBf16);
HWY_EXPORT(Split);
HWY_EXPORT(AddParts);
HWY_EXPORT(SubtractParent);
}  // namespace

void add(Threads threads, Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(Add)(a.rows_at(begin, n), b.rows_at(begin, n), y.rows_at(begin, n));
  });
}

void add_delta(Threads threads, std::span<const RowBlock> blocks, DeltaView da, DeltaView db, DeltaView dy) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(AddDelta)(b, first, count, da, db, dy);
  });
}

void add_to_parent(Threads threads, std::span<const RowBlock> blocks, Matrix<const float> parent, DeltaView d,
                   DeltaView y) {
  QSWEEP_CHECK(d.data == nullptr || d.dtype == y.dtype || y.dtype == DType::f32, "a parent and {} into {}",
               name(d.dtype), name(y.dtype));
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(AddToParent)(b, first, count, parent, d, y);
  });
}

void rotate(Threads threads, Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y) {
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(Rotate)(x.rows_at(begin, n), cos_sin.rows_at(begin, n), y.rows_at(begin, n));
  });
}

void rotate_delta(Threads threads, std::span<const RowBlock> blocks, Matrix<const float> cos_sin,
                  DeltaView dx, DeltaView dy) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(RotateDelta)(b, first, count, cos_sin, 1.0f, dx, dy);
  });
}

void rotate_back(Threads threads, std::span<const RowBlock> blocks, Matrix<const float> cos_sin, DeltaView dy,
                 DeltaView dx) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(RotateDelta)(b, first, count, cos_sin, -1.0f, dy, dx);
  });
}

void gather(Threads threads, std::span<const int64_t> source, Matrix<const float> x, Matrix<float> y) {
  const DeltaView from{const_cast<float*>(x.data), DType::f32, x.rows, x.cols, x.stride};
  const DeltaView to{y.data, DType::f32, y.rows, y.cols, y.stride};
  const RowBlock whole{.rows = y.rows, .parent = 0, .in = {0, kAbsent, kAbsent}, .out = 0};
  gather_delta(threads, {&whole, 1}, source, from, to);
}

void gather_delta(Threads threads, std::span<const RowBlock> blocks, std::span<const int64_t> source,
                  DeltaView dx, DeltaView dy) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(GatherDelta)(b, first, count, source.data(), dx, dy);
  });
}

void sum_rows(Threads threads, std::span<const RowBlock> blocks, std::span<const int64_t> start,
              std::span<const int64_t> readers, DeltaView dy, DeltaView dx) {
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(SumRows)(b, first, count, start.data(), readers.data(), dy, dx);
  });
}

void convert(Threads threads, Matrix<const float> x, DeltaView y) {
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Convert)(x.rows_at(begin, end - begin), y.rows_at(begin, end - begin));
  });
}

void to_f32(Threads threads, TensorView x, Matrix<float> y) {
  QSWEEP_CHECK(x.elements() == y.rows * y.cols && y.contiguous(), "{} elements into {} x {}", x.elements(),
               y.rows, y.cols);
  parallel_for(threads, x.elements(), [&](int64_t begin, int64_t end) {
    switch (x.dtype) {
      case DType::bf16:
        HWY_DYNAMIC_DISPATCH(WidenBf16)(end - begin, x.as<bf16>().data() + begin, y.data + begin);
        break;
      case DType::f16:
        for (int64_t i = begin; i < end; ++i) y.data[i] = to_float(x.as<f16>()[static_cast<size_t>(i)]);
        break;
      default:
        std::copy(x.as<float>().begin() + begin, x.as<float>().begin() + end, y.data + begin);
    }
  });
}

void split(Threads threads, Matrix<const float> x, Matrix<bf16> parts) {
  if (x.rows == 0) return;
  QSWEEP_CHECK(parts.rows % x.rows == 0 && parts.cols == x.cols, "[{}, {}] in parts of [{}, {}]", parts.rows,
               parts.cols, x.rows, x.cols);
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Split)(begin, end, x, parts);
  });
}

void add_parts(Threads threads, Matrix<const float> parts, const float* bias, bool accumulate,
               Matrix<float> y) {
  if (y.rows == 0) return;
  QSWEEP_CHECK(parts.rows % y.rows == 0 && parts.cols == y.cols, "parts of [{}, {}] into [{}, {}]",
               parts.rows, parts.cols, y.rows, y.cols);
  parallel_for(threads, y.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddParts)(begin, end, parts, bias, accumulate, y);
  });
}

void subtract_parent(Threads threads, std::span<const RowBlock> blocks, DeltaView a,
                     Matrix<const float> parent, DeltaView y) {
  QSWEEP_CHECK(a.dtype == DType::f32 || a.dtype == y.dtype, "{} less a parent into {}", name(a.dtype),
               name(y.dtype));
  for_block_rows(threads, blocks, [&](const RowBlock& b, int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(SubtractParent)(b, first, count, a, parent, y);
  });
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
