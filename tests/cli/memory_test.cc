// `--memory` is a promise about the whole process: its peak is no higher, without any slack. (Slow: left out
// under sanitizers, whose memory is their own.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/atomic_file.h"
#include "io/checkpoint.h"
#include "io/safetensors_writer.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

const std::string kTiny = testdata("tiny-qwen2.5-vl");

// Within so many MiB a run keeps, from beginning to end, to what it has planned.
void expect_within(int64_t mebibytes, const Outcome& outcome, const io::Json& json) {
  const int64_t planned = json["provenance"]["planned_bytes"].get<int64_t>(), limit = mebibytes << 20;
  std::printf("peak %.1f MiB, planned %.1f, allowed %.1f\n",
              static_cast<double>(outcome.peak_bytes) / 1048576.0, static_cast<double>(planned) / 1048576.0,
              static_cast<double>(limit) / 1048576.0);
  EXPECT_LE(planned, limit);
  EXPECT_LE(outcome.peak_bytes, planned);
}

ScoreRun score_within(const Workplace& place, int64_t mebibytes, Arguments flags,
                      const std::string& model = kTiny) {
  const std::string memory = std::to_string(mebibytes) + "M";
  flags.insert(flags.end(), {"--memory", memory});
  const ScoreRun run = score_run(place, "run-" + memory, model, flags);
  expect_within(mebibytes, run.outcome, run.json);
  return run;
}

// As many samples as that, of two images in turn.
std::string image_samples(const Workplace& place, int samples) {
  for (const char* name : {"eval-000.png", "eval-003.jpg"})
    std::filesystem::copy_file(testdata(std::string("data/images/") + name), place.at(name));
  std::string lines;
  for (int i = 0; i < samples; ++i) {
    const io::Json image = {{"type", "image"}, {"image", i % 2 == 0 ? "eval-000.png" : "eval-003.jpg"}};
    const io::Json question = {{"type", "text"}, {"text", "What is this?"}};
    const io::Json line = {{"id", std::to_string(i)},
                           {"messages",
                            {{{"role", "user"}, {"content", {image, question}}},
                             {{"role", "assistant"}, {"content", "A shape."}}}}};
    lines += line.dump() + "\n";
  }
  return place.write("images.jsonl", lines);
}

std::string short_samples(const Workplace& place, int samples) {
  std::string lines;
  for (int i = 0; i < samples; ++i) lines += "Text " + std::to_string(i) + "\n";
  return place.write("short.txt", lines);
}

TEST(MemorySlow, PassesKeepToThePlanAndDoNotChangeScores) {
  const Workplace place;
  const auto run_within = [&](int64_t mebibytes) {
    return score_within(place, mebibytes,
                        {"--data", testdata("data/eval.jsonl"), "--samples", "12", "--format", "w8a8",
                         "--format", "w8a8_dynamic"});
  };
  const ScoreRun one_pass = run_within(4096), passes = run_within(140);
  EXPECT_THAT(one_pass.outcome.out, HasSubstr("1 pass over the weights"));
  EXPECT_THAT(passes.outcome.out, HasSubstr(" passes over the weights"));
  EXPECT_TRUE(median_relative_difference(passes.kl_sums(), one_pass.kl_sums()) <= 1e-3);
}

// What is held of every sample, and what is left of a pass for the next one, shows with many of them.
TEST(MemorySlow, AThousandImages) {
  const Workplace place;
  const ScoreRun run = score_within(place, 110,
                                    {"--data", image_samples(place, 1000), "--samples", "1000",
                                     "--image-size", "28", "--max-ops", "1", "--format", "w8a8_dynamic"});
  EXPECT_GT(number_after(run.outcome.out, "at the peak, "), 1);  // passes
}

TEST(MemorySlow, CalibrationWithMoreThanIsScored) {
  const Workplace place;
  const ScoreRun run =
      score_within(place, 110,
                   {"--data", testdata("data/eval.jsonl"), "--samples", "1", "--calib",
                    image_samples(place, 250), "--image-size", "28", "--max-ops", "1", "--format", "w8a8"});
  EXPECT_THAT(run.outcome.out, HasSubstr("of the calibration: "));
}

TEST(MemorySlow, ALargeImage) {
  const Workplace place;
  score_within(place, 250,
               {"--data", image_samples(place, 1), "--samples", "1", "--image-size", "672", "--max-ops", "1",
                "--format", "w8a8_dynamic"});
}

TEST(MemorySlow, ThreeThousandSamplesInFourteenFormats) {
  const Workplace place;
  score_within(place, 200,
               {"--data", short_samples(place, 3000), "--samples", "3000", "--method", "local", "--format",
                "all", "--ops", "lm_head"});
}

// Exact scores hold records of every sample, and a pass what it tells of every pair.
TEST(MemorySlow, ManyPairs) {
  const Workplace place;
  score_within(place, 150,
               {"--data", short_samples(place, 1000), "--samples", "1000", "--ops", "model.layers.[23].*",
                "--format", "w8a8_dynamic"});
}

TEST(MemorySlow, Sketches) {
  const Workplace place;
  score_within(place, 200,
               {"--data", short_samples(place, 300), "--samples", "300", "--ops", "model.layers.[23].*",
                "--format", "w8a8_dynamic", "--sketch", "384", "--groups", "fused,block"});
}

// Two of eight experts get all rows: routers of zeros choose the first ones.
std::string lopsided_mixture(const Workplace& place) {
  io::Json config = io::read_json_file(testdata("families/qwen3_moe/config.json"));
  for (const auto& [key, size] : {std::pair{"hidden_size", 256},
                                  {"moe_intermediate_size", 384},
                                  {"num_experts", 8},
                                  {"num_experts_per_tok", 2},
                                  {"num_hidden_layers", 1}})
    config[key] = size;
  const std::string shapes = place.at("shapes"), made = place.at("mixture");
  std::filesystem::create_directory(shapes);
  io::write_file_atomically(shapes + "/config.json", config.dump());
  EXPECT_EQ(run_qsweep_synth({shapes, made}).code, 0);
  const std::string weights = made + "/model.safetensors", changed = made + "/changed";
  {
    const io::Checkpoint stored = io::Checkpoint::open(made);
    const Tensor zeros = Tensor::zeros<bf16>({8, 256});
    std::vector<io::NamedTensor> tensors;
    for (const std::string& name : stored.names())
      tensors.push_back({name, name.ends_with(".mlp.gate.weight") ? zeros.view() : *stored.find(name)});
    io::write_safetensors(changed, tensors);
  }
  std::filesystem::rename(changed, weights);
  return made;
}

TEST(MemorySlow, OneExpertGetsAllRows) {
  const Workplace place;
  std::string lines;
  for (int i = 0; i < 16; ++i) {
    for (int word = 0; word < 60; ++word) lines += "text " + std::to_string(i * word) + " ";
    lines += "\n";
  }
  const ScoreRun run = score_within(
      place, 110, {"--data", place.write("long.txt", lines), "--samples", "16", "--format", "w8a8"},
      lopsided_mixture(place));
  EXPECT_THAT(run.outcome.out, HasSubstr(" passes over the weights"));
  EXPECT_EQ(run.ops_with("unexercised").size(), 6u * 3);  // six experts
}

TEST(MemorySlow, ProductsOfProbes) {
  const Workplace place;
  score_within(place, 150,
               {"--data", short_samples(place, 500), "--samples", "500", "--method", "adjoint", "--format",
                "int", "--ops", "lm_head"});
}

TEST(MemorySlow, ManyRecipes) {
  const Workplace place;
  Arguments flags{"--data", short_samples(place, 100), "--samples", "100", "--memory", "150M"};
  for (int i = 0; i < 40; ++i) {
    const std::string name = std::to_string(i);
    const io::Json rule = {{"ops", "*." + std::to_string(i % 4) + ".*"}, {"format", "w8a8"}};
    const io::Json recipe = {{"name", name}, {"rules", io::Json::array({rule})}};
    flags.insert(flags.end(), {"--recipe", place.write("recipe-" + name + ".json", recipe.dump())});
  }
  const EvalRun run = eval_run(place, "recipes", kTiny, flags);
  expect_within(150, run.outcome, run.json);
}

}  // namespace
}  // namespace qsweep::cli
