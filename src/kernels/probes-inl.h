// The bodies of the output probes. Compiled once per instruction set and for CUDA, in the words of lanes.h.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "kernels/lanes.h"
#include "kernels/probes.h"

HWY_BEFORE_NAMESPACE();
namespace qsweep::kernels::HWY_NAMESPACE {
namespace {

using L = Lanes;
using L64 = Lanes64;

// body(part, i, first, n, word) for the i-th sign_blocks of columns: n from `first` on, whose signs are the
// bits of `word`.
template <class Body>
QSWEEP_KERNEL void for_sign_blocks(uint64_t stream, int64_t first_column, int64_t columns, Body&& body) {
  L::each_part(sign_blocks(first_column, columns), kSignBlock, [&](auto part, int64_t i) QSWEEP_LANES {
    const int64_t block = first_column / kSignBlock + i;
    const int64_t begin = std::max(block * kSignBlock, first_column);
    const int64_t end = std::min((block + 1) * kSignBlock, first_column + columns);
    const uint64_t random = mix64(stream + static_cast<uint64_t>(block) * 0x9e3779b97f4a7c15u);
    body(part, i, begin - first_column, end - begin, random >> begin % kSignBlock);
  });
}

QSWEEP_KERNEL float log_sum(const LogitsNormalizer& row) {
  return static_cast<float>(row.max + std::log(row.sum));
}

template <class T>
QSWEEP_KERNEL void fill_row(ProbeKind kind, const ProbeRow& probe, int64_t n, const float* z,
                            const LogitsNormalizer& normalizer, int64_t first_column, T* u) {
  if (!probe.used) {
    L::fill(n, T{}, u);
    return;
  }
  if (kind == ProbeKind::rademacher) {
    for_sign_blocks(probe.stream, first_column, n,
                    [&](auto part, int64_t, int64_t first, int64_t count, uint64_t word) QSWEEP_LANES {
                      part.each(count,
                                [&](auto at) QSWEEP_LANES { L::store(L::signs(word, at), u + first, at); });
                    });
    return;
  }
  const auto lse = L::set(log_sum(normalizer));
  if (kind == ProbeKind::cross_entropy) {
    const int64_t target = probe.target - first_column;
    L::each(n, [&](auto at) QSWEEP_LANES { L::store(L::exp(L::load(z, at) - lse), u, at); });
    if (target >= 0 && target < n) {
      // Rounded once: p - 1 where p is near 1 is what matters.
      L::each(1, [&](auto at)
                     QSWEEP_LANES { L::store(L::expm1(L::load(z + target, at) - lse), u + target, at); });
    }
    return;
  }
  const auto half = L::set(0.5f), projection = L::set(static_cast<float>(probe.projection));
  for_sign_blocks(probe.stream, first_column, n,
                  [&](auto part, int64_t, int64_t first, int64_t count, uint64_t word) QSWEEP_LANES {
                    part.each(count, [&](auto at) QSWEEP_LANES {
                      const auto root = L::exp((L::load(z + first, at) - lse) * half);
                      L::store(root * (L::signs(word, at) - root * projection), u + first, at);
                    });
                  });
}

QSWEEP_KERNEL void FillProbes(int64_t begin, int64_t end, ProbeKind kind, const ProbeRow* probes,
                              Matrix<const float> logits, const LogitsNormalizer* normalizers,
                              int64_t first_column, MatrixView u) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r)
      fill_row(kind, probes[r], u.cols, logits.row(r % logits.rows), normalizers[r % logits.rows],
               first_column, u.as<T>().row(r));
  };
  u.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void AddProjections(int64_t begin, int64_t end, ProbeRow* probes, Matrix<const float> logits,
                                  const LogitsNormalizer* normalizers, int64_t first_column) {
  const auto half = L::set(0.5f);
  const int64_t blocks = sign_blocks(first_column, logits.cols);
  L64::Scratch scratch(blocks);
  double* const sums = scratch.data();
  for (int64_t r = begin; r < end; ++r) {
    const auto lse = L::set(log_sum(normalizers[r % logits.rows]));
    const float* z = logits.row(r % logits.rows);
    for_sign_blocks(probes[r].stream, first_column, logits.cols,
                    [&](auto part, int64_t i, int64_t first, int64_t count, uint64_t word) QSWEEP_LANES {
                      const float sum = part.sum(count, [&](auto at) QSWEEP_LANES {
                        return L::exp((L::load(z + first, at) - lse) * half) * L::signs(word, at);
                      });
                      part.once([&]() QSWEEP_LANES { sums[i] = static_cast<double>(sum); });
                    });
    double projection = probes[r].projection;
    for (int64_t i = 0; i < blocks; ++i) projection += sums[i];
    L::once([&]() QSWEEP_LANES { probes[r].projection = projection; });
  }
}

template <class Term>
QSWEEP_KERNEL void row_sums(int64_t begin, int64_t end, MatrixView g, Matrix<const float> e, double* sums,
                            Term&& term) {
  const auto run = [&]<class T>(T*) QSWEEP_LANES {
    for (int64_t r = begin; r < end; ++r) {
      const T* a = g.as<T>().row(r);
      const float* b = e.row(r % e.rows);
      const double sum =
          L64::sum(g.cols, [&](auto at) QSWEEP_LANES { return term(L64::load(a, at) * L64::load(b, at)); });
      L::once([&]() QSWEEP_LANES { sums[r] = sum; });
    }
  };
  g.dtype == DType::bf16 ? run(static_cast<bf16*>(nullptr)) : run(static_cast<float*>(nullptr));
}

QSWEEP_KERNEL void RowProducts(int64_t begin, int64_t end, MatrixView g, Matrix<const float> e,
                               double* sums) {
  row_sums(begin, end, g, e, sums, [](auto product) QSWEEP_LANES { return product; });
}

QSWEEP_KERNEL void RowSquaredProducts(int64_t begin, int64_t end, MatrixView g, Matrix<const float> e,
                                      double* sums) {
  row_sums(begin, end, g, e, sums, [](auto product) QSWEEP_LANES { return product * product; });
}

// Four probes at once: a change is read once for them, and their sums do not wait for each other.
template <class T>
QSWEEP_KERNEL void probe_products_of(const RowBlock& b, int64_t first, int64_t count, int64_t probes,
                                     Matrix<const float> u, MatrixView d, const LogitsSums* shifts,
                                     double* products) {
  for (int64_t r = first; r < first + count; ++r) {
    const T* change = d.as<T>().row(b.in[0] + r);
    const auto shift = L::set(shifts == nullptr ? 0.0f : static_cast<float>(shifts[b.out + r].shift));
    for (int64_t p = 0; p < probes; p += 4) {
      const auto along = [&](int64_t i) QSWEEP_LANES {
        return u.row(std::min(p + i, probes - 1) * (u.rows / probes) + b.parent + r);
      };
      const float *u0 = along(0), *u1 = along(1), *u2 = along(2), *u3 = along(3);
      auto s0 = L::zero(), s1 = s0, s2 = s0, s3 = s0;
      L::each(d.cols, [&](auto at) QSWEEP_LANES {
        const auto x = L::inside(L::load(change, at) - shift, at, L::zero());
        s0 = L::fma(L::load(u0, at), x, s0);
        s1 = L::fma(L::load(u1, at), x, s1);
        s2 = L::fma(L::load(u2, at), x, s2);
        s3 = L::fma(L::load(u3, at), x, s3);
      });
      const float sums[] = {L::sum_of(s0), L::sum_of(s1), L::sum_of(s2), L::sum_of(s3)};
      double* to = products + (b.in[0] + r) * probes + p;
      L::once([&]() QSWEEP_LANES {
        for (int64_t i = 0; i < std::min<int64_t>(4, probes - p); ++i) to[i] += static_cast<double>(sums[i]);
      });
    }
  }
}

QSWEEP_KERNEL void ProbeProducts(const RowBlock& b, int64_t first, int64_t count, int64_t probes,
                                 Matrix<const float> u, MatrixView d, const LogitsSums* shifts,
                                 double* products) {
  d.dtype == DType::bf16 ? probe_products_of<bf16>(b, first, count, probes, u, d, shifts, products)
                         : probe_products_of<float>(b, first, count, probes, u, d, shifts, products);
}

}  // namespace
}  // namespace qsweep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
