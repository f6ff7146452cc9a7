// --device: scores of a GPU, where the program was built for one (QSWEEP_CUDA) and finds one.
#include <cmath>

#include <gtest/gtest.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

TEST(Device, AGpuThatIsNotThereIsNamed) {
  const Workplace work;
  const auto refused = [&](const std::string& device) {
    const Outcome run =
        run_qsweep({"score", testdata("tiny-qwen2.5-vl"), "--data", testdata("data/eval.jsonl"), "--out",
                    work.at("run"), "--device", device});
    EXPECT_EQ(run.code, 2) << device;
    EXPECT_FALSE(std::filesystem::exists(work.at("run"))) << device;
    return run.err;
  };
  for (const char* device : {"cuda:99", "cuda:", "cuda:-1", "cuda:1x", "cuda0", "GPU"})
    EXPECT_NE(refused(device).find("--device"), std::string::npos) << device;
  for (const std::string device :
       {"cuda:one", "cuda:0,", "cuda:,0", "cuda:0,,1", "cuda:0;1", "cuda:0,cuda:1", "cuda,cuda", "cuda,0",
        "cpu,cuda:0", "cuda:0,cpu", "cuda:0, 1", "cuda:0,-1", "cuda:0,99999999999"})
    EXPECT_NE(refused(device).find("--device: expected cpu, cuda, cuda:N or several as cuda:N,N, found \"" +
                                   device + "\""),
              std::string::npos)
        << device;
  EXPECT_NE(refused("cuda:0,1,0").find("--device: GPU 0 is given twice in \"cuda:0,1,0\""),
            std::string::npos);
  // Without CUDA there is not even the first one.
  EXPECT_NE(refused("cuda:0,99").find("--device: "), std::string::npos);
}

class CudaScore : public ::testing::Test {
 protected:
  void SetUp() override {
    const Outcome probe = run_qsweep({"inspect", testdata("tiny-qwen2.5-vl"), "--device", "cuda"});
    if (probe.code != 0) GTEST_SKIP() << probe.err;
  }
};

// Images, the vision tower, the head and all: the scores of the CPU, but for the order of sums. In a format
// that rounds no activation: a rounding tie that falls the other way changes a small score by several per
// cent, between the CPU's own instruction sets too.
TEST_F(CudaScore, AgreesWithTheCpu) {
  const Workplace place;
  for (const std::string method : {"exact", "adjoint"}) {
    const auto scores_on = [&](const std::string& device) {
      const ScoreRun run = score_run(
          place, device + "_" + method, testdata("tiny-qwen2.5-vl"),
          {"--data", testdata("data/eval.jsonl"), "--samples", "1", "--format", "w4a16_g32", "--ops", "*.1.*",
           "--precision", "strict", "--method", method, "--memory", "2G", "--device", device});
      return run.kl_sums();
    };
    const std::vector<double> cpu = scores_on("cpu"), gpu = scores_on("cuda");
    EXPECT_EQ(cpu.size(), 12u) << method;
    ASSERT_EQ(gpu.size(), cpu.size()) << method;
    for (size_t i = 0; i < cpu.size(); ++i)
      EXPECT_LE(std::abs(gpu[i] - cpu[i]), 1e-3 * cpu[i]) << method << ", score " << i;
  }
}

TEST_F(CudaScore, TwoGpusAgreeWithOne) {
  const Outcome probe = run_qsweep({"inspect", testdata("tiny-qwen2.5-vl"), "--device", "cuda:0,1"});
  if (probe.code != 0) GTEST_SKIP() << probe.err;
  const Workplace place;
  const auto score_on = [&](const std::string& name, const std::string& device) {
    return score_run(
        place, name, testdata("tiny-qwen2.5-vl"),
        {"--data", testdata("data/captions.txt"), "--samples", "2", "--format", "w8a8_dynamic", "--ops",
         "model.layers.[12].mlp.down_proj", "--precision", "strict", "--device", device});
  };
  const ScoreRun one = score_on("one", "cuda"), two = score_on("two", "cuda:1,0");
  EXPECT_EQ(two.json["settings"]["device"], "cuda:1,0");
  ASSERT_EQ(two.kl_sums().size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_LE(std::abs(two.kl_sums()[i] / one.kl_sums()[i] - 1), 0.02) << i;
}

}  // namespace
}  // namespace qsweep::cli
