#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/probes.cc"
#include "kernels/probes.h"

#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "base/rng.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;
using L64 = Lanes64;

constexpr int64_t kSignBlock = 64;  // one random word

// body(first, n, signs) for up to kSignBlock columns at a time; `signs` are those of columns
// [first_column + first, ...).
template <class Body>
void for_sign_blocks(uint64_t stream, int64_t first_column, int64_t columns, Body&& body) {
  float signs[kSignBlock];
  for (int64_t first = 0; first < columns;) {
    const int64_t column = first_column + first, bit = column % kSignBlock;
    const int64_t n = std::min(kSignBlock - bit, columns - first);
    const uint64_t word =
        mix64(stream + static_cast<uint64_t>(column / kSignBlock) * 0x9e3779b97f4a7c15u) >> bit;
    for (int64_t i = 0; i < n; ++i) signs[i] = (word >> i & 1) != 0 ? 1.0f : -1.0f;
    body(first, n, static_cast<const float*>(signs));
    first += n;
  }
}

float log_sum(const LogitsNormalizer& row) { return static_cast<float>(row.max + std::log(row.sum)); }

template <class T>
void fill_row(ProbeKind kind, const ProbeRow& probe, int64_t n, const float* z,
              const LogitsNormalizer& normalizer, int64_t first_column, T* u) {
  if (!probe.used) {
    std::fill_n(u, n, T{});
    return;
  }
  if (kind == ProbeKind::rademacher) {
    for_sign_blocks(probe.stream, first_column, n,
                    [&](int64_t first, int64_t count, const float* e) QSWEEP_LANES {
                      L::each(count, [&](auto at) QSWEEP_LANES { L::store(L::load(e, at), u + first, at); });
                    });
    return;
  }
  const auto lse = L::set(log_sum(normalizer));
  if (kind == ProbeKind::cross_entropy) {
    const int64_t target = probe.target - first_column;
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::exp(L::load(z, at) - lse), u, at); });
    if (target >= 0 && target < n) {
      // Rounded once: p - 1 where p is near 1 is what matters.
      float p = 0;
      L::each(1, [&](auto at) QSWEEP_LANES {
        L::store(L::expm1(L::load(z + target, at) - lse), &p, at);
        L::store(L::load(&p, at), u + target, at);
      });
    }
    return;
  }
  const auto half = L::set(0.5f), projection = L::set(static_cast<float>(probe.projection));
  for_sign_blocks(probe.stream, first_column, n,
                  [&](int64_t first, int64_t count, const float* e) QSWEEP_LANES {
                    L::each(count, [&](auto at) QSWEEP_LANES {
                      const auto root = L::exp((L::load(z + first, at) - lse) * half);
                      L::store(root * (L::load(e, at) - root * projection), u + first, at);
                    });
                  });
}

void FillProbes(int64_t begin, int64_t end, ProbeKind kind, const ProbeRow* probes,
                Matrix<const float> logits, const LogitsNormalizer* normalizers, int64_t first_column,
                DeltaView u) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      fill_row(kind, probes[r], u.cols, logits.row(r % logits.rows), normalizers[r % logits.rows],
               first_column, u.as<T>().row(r));
  };
  u.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void AddProjections(int64_t begin, int64_t end, ProbeRow* probes, Matrix<const float> logits,
                    const LogitsNormalizer* normalizers, int64_t first_column) {
  const auto half = L::set(0.5f);
  for (int64_t r = begin; r < end; ++r) {
    const auto lse = L::set(log_sum(normalizers[r % logits.rows]));
    const float* z = logits.row(r % logits.rows);
    for_sign_blocks(probes[r].stream, first_column, logits.cols,
                    [&](int64_t first, int64_t count, const float* e) QSWEEP_LANES {
                      probes[r].projection += static_cast<double>(L::sum(count, [&](auto at) QSWEEP_LANES {
                        return L::exp((L::load(z + first, at) - lse) * half) * L::load(e, at);
                      }));
                    });
  }
}

template <class Term>
void row_sums(int64_t begin, int64_t end, DeltaView g, Matrix<const float> e, double* sums, Term&& term) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const T* a = g.as<T>().row(r);
      const float* b = e.row(r % e.rows);
      sums[r] =
          L64::sum(g.cols, [&](auto at) QSWEEP_LANES { return term(L64::load(a, at) * L64::load(b, at)); });
    }
  };
  g.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

void RowProducts(int64_t begin, int64_t end, DeltaView g, Matrix<const float> e, double* sums) {
  row_sums(begin, end, g, e, sums, [](auto product) QSWEEP_LANES { return product; });
}

void RowSquaredProducts(int64_t begin, int64_t end, DeltaView g, Matrix<const float> e, double* sums) {
  row_sums(begin, end, g, e, sums, [](auto product) QSWEEP_LANES { return product * product; });
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qsweep::kernels {
namespace {
HWY_EXPORT(FillProbes);
HWY_EXPORT(AddProjections);
HWY_EXPORT(RowProducts);
HWY_EXPORT(RowSquaredProducts);
}  // namespace

void fill_probes(Threads threads, ProbeKind kind, std::span<const ProbeRow> probes,
                 Matrix<const float> logits, std::span<const LogitsNormalizer> normalizers,
                 int64_t first_column, DeltaView u) {
  parallel_for(threads, u.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(FillProbes)
    (begin, end, kind, probes.data(), logits, normalizers.data(), first_column, u);
  });
}

void add_projections(Threads threads, std::span<ProbeRow> probes, Matrix<const float> logits,
                     std::span<const LogitsNormalizer> normalizers, int64_t first_column) {
  parallel_for(threads, static_cast<int64_t>(probes.size()), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddProjections)
    (begin, end, probes.data(), logits, normalizers.data(), first_column);
  });
}

void row_products(Threads threads, DeltaView g, Matrix<const float> e, std::span<double> sums) {
  parallel_for(threads, g.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowProducts)(begin, end, g, e, sums.data());
  });
}

void row_squared_products(Threads threads, DeltaView g, Matrix<const float> e, std::span<double> sums) {
  parallel_for(threads, g.rows, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowSquaredProducts)(begin, end, g, e, sums.data());
  });
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
