// What is special to a GPU: its queue, and kernels that tests/ops measures on the CPU, here against the CPU.
#ifdef QSWEEP_CUDA
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/activations.h"
#include "kernels/cuda/copy_stream.h"
#include "kernels/cuda/queue.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/padded.h"
#include "kernels/quantize.h"
#include "kernels/row_moves.h"
#include "kernels/runner.h"
#include "support/compare.h"
#include "support/random.h"

namespace qsweep::kernels {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class CudaTest : public ::testing::Test, public Runner {
 protected:
  void SetUp() override {
    if (gpus() == 0) GTEST_SKIP() << "this machine has no GPU";
    use_gpu();
  }
};

// Operands of all kernels, the deltas in f32 or bf16.
struct Operands {
  Padded x, up, table, dx, du;
  Rng rng{6};
  std::vector<float> w;
  std::vector<bf16> dx16, du16;
  std::vector<int64_t> source{2, kAbsent, 0, 1}, start{0, 2, 2, 3, 4}, readers{1, 3, 0, 2};
  std::vector<RowBlock> blocks{{.rows = 3, .parent = 1, .in = {5, 0, kAbsent}, .out = 1},
                               {.rows = 4, .parent = 0, .in = {1, 4, kAbsent}, .out = 4}};
  DType dtype;

  Operands(int64_t n, DType type)
      : x(Padded::random(1, 4, n)),
        up(Padded::random(2, 4, n)),
        table(Padded::random(3, 4, n)),
        dx(Padded::random(4, 9, n, 0.1)),
        du(Padded::random(5, 9, n, 0.1)),
        w(testing::normals(rng, n)),
        dx16(dx.narrow()),
        du16(du.narrow()),
        dtype(type) {}
  MatrixView first() { return dtype == DType::bf16 ? view(dx16) : dx.view(); }
  MatrixView second() { return dtype == DType::bf16 ? view(du16) : du.view(); }
  MatrixView view(std::vector<bf16>& m) const {
    return {m.data(), DType::bf16, 9, x.cols, x.cols + kPadding};
  }
  // The same blocks, one of whose inputs is absent.
  std::vector<RowBlock> without(size_t input) const {
    std::vector<RowBlock> some = blocks;
    for (RowBlock& block : some) block.in[input] = kAbsent;
    return some;
  }
};

using Kernel = std::function<void(Runner& run, Operands& of, MatrixView y)>;

// What the kernel makes of its operands, as f32.
std::vector<float> result(Runner& run, const Kernel& kernel, int64_t n, DType dtype) {
  Operands of(n, dtype);
  Padded wide(9, n);
  if (dtype == DType::f32) {
    kernel(run, of, wide.view());
  } else {
    std::vector<bf16> narrow = wide.narrow();
    kernel(run, of, of.view(narrow));
    for (size_t i = 0; i < narrow.size(); ++i) wide.values[i] = to_float(narrow[i]);
  }
  EXPECT_TRUE(wide.padding_untouched());
  return wide.values;
}

struct Named {
  std::string name;
  Kernel run;
  bool values = false;  // no deltas: f32 only
};

void add_activation(std::vector<Named>& kernels, Activation f) {
  const std::string number = std::to_string(static_cast<int>(f));
  const auto add = [&](const std::string& name, const Kernel& run, bool values = false) {
    kernels.push_back({name + number, run, values});
  };
  add(
      "activation",
      [f](Runner& run, Operands& of, MatrixView y) {
        activation(run.device(), f, run.on(of.x.matrix()), run.on(y.rows_at(0, 4).as<float>()));
      },
      true);
  add("activation_delta", [f](Runner& run, Operands& of, MatrixView y) {
    activation_delta(run.device(), of.blocks, f, run.on(of.x.matrix()), run.on(of.first()), run.on(y));
  });
  add("activation_vjp", [f](Runner& run, Operands& of, MatrixView y) {
    activation_vjp(run.device(), of.blocks, f, run.on(of.x.matrix()), run.on(of.first()), run.on(y));
  });
  add(
      "gated",
      [f](Runner& run, Operands& of, MatrixView y) {
        gated(run.device(), {.f = f}, run.on(of.x.matrix()), run.on(of.up.matrix()),
              run.on(y.rows_at(0, 4).as<float>()));
      },
      true);
  add("gated_delta", [f](Runner& run, Operands& of, MatrixView y) {
    for (const auto& blocks : {of.without(0), of.without(1), of.blocks})
      gated_delta(run.device(), blocks, {.f = f}, run.on(of.x.matrix()), run.on(of.up.matrix()),
                  run.on(of.first()), run.on(of.second()), run.on(y));
  });
  add("gated_vjp", [f](Runner& run, Operands& of, MatrixView y) {
    gated_vjp(run.device(), of.blocks, {.f = f}, run.on(of.x.matrix()), run.on(of.up.matrix()),
              run.on(of.first()), run.on(of.second()), run.on(y));
  });
}

std::vector<Named> kernels_of_ops() {
  std::vector<Named> kernels{
      {"rms_norm",
       [](Runner& run, Operands& of, MatrixView y) {
         rms_norm(run.device(), run.on(of.x.matrix()), {run.on(of.w), 1e-6f}, run.on(y.as<float>()));
       },
       true},
      {"rms_norm_delta",
       [](Runner& run, Operands& of, MatrixView y) {
         rms_norm_delta(run.device(), of.blocks, run.on(of.x.matrix()), run.on(of.first()),
                        {run.on(of.w), 1e-6f}, run.on(y));
       }},
      {"rms_norm_vjp",
       [](Runner& run, Operands& of, MatrixView y) {
         rms_norm_vjp(run.device(), of.blocks, run.on(of.x.matrix()), {run.on(of.w), 1e-6f},
                      run.on(of.first()), run.on(y));
       }},
      {"layer_norm",
       [](Runner& run, Operands& of, MatrixView y) {
         layer_norm(run.device(), run.on(of.x.matrix()), {run.on(of.w), run.on(of.w), 1e-6f},
                    run.on(y.as<float>()));
       },
       true},
      {"layer_norm_delta",
       [](Runner& run, Operands& of, MatrixView y) {
         layer_norm_delta(run.device(), of.blocks, run.on(of.x.matrix()), run.on(of.first()),
                          {run.on(of.w), {}, 1e-6f}, run.on(y));
       }},
      {"layer_norm_vjp",
       [](Runner& run, Operands& of, MatrixView y) {
         layer_norm_vjp(run.device(), of.blocks, run.on(of.x.matrix()), {run.on(of.w), {}, 1e-6f},
                        run.on(of.first()), run.on(y));
       }},
      {"add_delta",
       [](Runner& run, Operands& of, MatrixView y) {
         add_delta(run.device(), of.blocks, run.on(of.first()), run.on(of.second()), run.on(y));
       }},
      {"rotate_delta",
       [](Runner& run, Operands& of, MatrixView y) {
         rotate_delta(run.device(), of.blocks, run.on(of.table.matrix()), run.on(of.first()), run.on(y));
       }},
      {"gather_delta",
       [](Runner& run, Operands& of, MatrixView y) {
         gather_delta(run.device(), of.blocks, run.on(of.source), run.on(of.first()), run.on(y));
       }},
  };
  using enum Activation;
  for (const Activation f : {silu, gelu, gelu_tanh, quick_gelu}) add_activation(kernels, f);
  return kernels;
}

// But for the order of sums and the last bits of exp and erfc; in bf16 for roundings that these turn over.
TEST_F(CudaTest, KernelsOfOpsAgreeWithTheCpu) {
  Runner cpu;
  for (const Named& kernel : kernels_of_ops())
    for (const int64_t n : {2, 16, 74, 600})
      for (const DType dtype : {DType::f32, DType::bf16}) {
        if (kernel.values && dtype != DType::f32) continue;
        const std::vector<float> want = result(cpu, kernel.run, n, dtype);
        const std::vector<float> got = result(*this, kernel.run, n, dtype);
        std::vector<float> w, g;  // without what is untouched, which would hide all else
        for (size_t i = 0; i < want.size(); ++i) {
          EXPECT_EQ(want[i] == kUntouched, got[i] == kUntouched) << kernel.name;
          if (want[i] == kUntouched) continue;
          w.push_back(want[i]);
          g.push_back(got[i]);
        }
        EXPECT_FALSE(w.empty()) << kernel.name;
        EXPECT_TRUE(testing::relative_error(std::span<const float>(g), std::span<const float>(w)) <=
                    (dtype == DType::f32 ? 1e-6 : 1e-3))
            << kernel.name << ", " << n << " columns, " << name(dtype) << ": "
            << testing::relative_error(std::span<const float>(g), std::span<const float>(w));
      }
}

TEST_F(CudaTest, PartsOfAMatrix) {
  constexpr int64_t rows = 5, n = 37;
  const Padded x = Padded::random(1, rows, n);
  std::vector<bf16> parts(static_cast<size_t>(3 * rows * n));
  split(device(), on(x.matrix()), on(Matrix(parts.data(), 3 * rows, n)));
  std::vector<float> wide;
  for (const bf16 part : parts) wide.push_back(to_float(part));
  Padded y = x;
  add_parts(device(), on(Matrix<const float>(wide.data(), 3 * rows, n)), on(x.values).data(), true,
            on(y.matrix()));
  expect_elements(y, [&](int64_t r, int64_t c) { return (x.at(r, c) + x.at(0, c)) + x.at(r, c); });
}

// So many launches that the ring of staging memory comes round, before any is waited for.
TEST_F(CudaTest, BlocksOfManyLaunches) {
  constexpr int64_t n = 1, rows = 3000;
  constexpr int launches = 40;
  cuda::Queue queue;
  const int64_t bytes = rows * int64_t{sizeof(float)};
  const std::vector<float> ones(rows, 1.0f);
  std::vector<float> sums(rows);
  auto* const x = static_cast<float*>(queue.allocate(bytes));
  auto* const y = static_cast<float*>(queue.allocate(bytes));
  queue.upload(x, ones.data(), bytes);
  queue.upload(y, sums.data(), bytes);
  const MatrixView sum{y, DType::f32, rows, n, n};
  for (int launch = 0; launch < launches; ++launch) {  // y += 1 in the launch's own rows
    std::vector<RowBlock> blocks;
    for (int64_t r = 0; r < rows; ++r)
      blocks.push_back(
          {.rows = r % launches == launch ? 1 : 0, .parent = r, .in = {r, kAbsent, kAbsent}, .out = r});
    add_to_parent({Threads{1}, &queue}, blocks, Matrix<const float>(x, rows, n), sum, sum);
  }
  queue.download(sums.data(), y, bytes);
  queue.free(x);
  queue.free(y);
  queue.wait();
  EXPECT_EQ(sums, ones);
}

TEST_F(CudaTest, MoreBlocksThanAreStagedAtOnce) {
  constexpr int64_t rows = 20000;
  std::vector<float> x(rows), y(rows);
  std::vector<RowBlock> blocks;
  for (int64_t r = 0; r < rows; ++r) {
    x[static_cast<size_t>(r)] = static_cast<float>(r);
    blocks.push_back({.rows = 1, .parent = r, .out = rows - 1 - r});
  }
  add_to_parent(device(), blocks, on(Matrix<const float>(x.data(), rows, 1)), {},
                on(MatrixView{y.data(), DType::f32, rows, 1, 1}));
  for (int64_t r = 0; r < rows; ++r) EXPECT_EQ(y[static_cast<size_t>(r)], static_cast<float>(rows - 1 - r));
}

// Whichever GPU the thread used last.
TEST_F(CudaTest, TwoGpusInTurns) {
  if (gpus() < 2) GTEST_SKIP() << "this machine has one GPU";
  cuda::Queue first(0), second(1);
  cuda::CopyStream to_first(first, {1}), to_second(second, {1});
  for (cuda::Queue* queue : {&first, &second, &first}) {
    cuda::CopyStream& copies = queue == &first ? to_first : to_second;
    EXPECT_NE(copies.mark(), nullptr);
    std::vector<int> here(16, 7);
    const auto bytes = static_cast<int64_t>(here.size() * sizeof(int));
    void* const block = queue->allocate(bytes);
    double seconds = 0;
    queue->timed(seconds, [&] { queue->clear(block, bytes); });
    queue->settle_times();
    queue->download(here.data(), block, bytes);
    queue->wait();
    EXPECT_EQ(here, std::vector<int>(16, 0));
    const std::vector<int> ones(16, 1);
    copies.join(copies.copy(block, ones.data(), bytes, copies.mark()));
    queue->download(here.data(), block, bytes);
    queue->wait();
    EXPECT_EQ(here, ones);
    queue->free(block);
  }
}

TEST_F(CudaTest, ErrorsSayWhatWasAskedFor) {
  EXPECT_THAT([] { cuda::Queue queue(99); }, ThrowsMessage<Error>(HasSubstr("no GPU 99")));
  EXPECT_THAT([] { cuda::Queue().allocate(int64_t{1} << 60); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("GPU 0 has no 1099511627776 MiB left"), HasSubstr("MiB there, and "))));
  Padded x(1, 200000);  // its groups of one element need more scratch memory than a block has
  EXPECT_THAT(
      [&] { fake_quantize_groups(device(), {.high = 127, .group = 1}, on(x.matrix()), on(x.matrix())); },
      ThrowsMessage<Error>(HasSubstr("launching FakeQuantizeGroups: invalid argument")));
}

}  // namespace
}  // namespace qsweep::kernels
#endif  // QSWEEP_CUDA
