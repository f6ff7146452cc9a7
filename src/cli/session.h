// What the engine's subcommands share: the flags that choose model, data, formats and resources, and what
// they open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "pass/finite.h"
#include "sweep/score.h"

namespace qsweep::cli {

// Empty: the CPU computes.
using Gpus = std::vector<std::shared_ptr<kernels::cuda::Queue>>;

struct EngineFlags {
  std::string model;
  std::string data;
  std::string calib;
  std::vector<std::string> format, kv;
  bool caches = false;  // whether the model's caches are ops: where a format of theirs is asked for
  std::string ops = "*";
  std::optional<int64_t> max_ops;
  std::vector<std::string> groups;
  std::optional<std::string> coarse;
  std::optional<int64_t> samples;
  std::optional<int64_t> image_size;
  std::vector<std::string> allow_outside;
  std::optional<std::string> chat_template;
  std::string device = "cpu";
  std::string memory;  // of each device
  int threads = 0;
  std::string precision = "fast";
  std::string metric = "kl:all";
  uint64_t seed = 0;
  std::string trace;

  // Opens the GPUs, and fills in what was left to the machine: memory, threads.
  Gpus resolve();
  sweep::ScoreOptions options() const;
};

// Flags of everything that runs a model: what to load and with which resources.
void add_engine_flags(Flags& flags, EngineFlags& values);
// Of these all but the model and the metric.
void add_data_flags(Flags& flags, EngineFlags& values);
// These, and which scores are asked for.
void add_scoring_flags(Flags& flags, EngineFlags& values);

struct Engine {
  models::Model model;
  std::vector<models::Sample> data;
  std::vector<models::Sample> calibration;  // empty: the data itself
  Gpus gpus;
  std::vector<std::unique_ptr<kernels::Gemm>> gemms;  // of each device
  std::optional<schedule::Devices> devices;
  std::vector<std::string> warnings;  // of model and data, that the user was told

  void warn(std::string warning);
  const std::vector<models::Sample>& calibration_data() const {
    return calibration.empty() ? data : calibration;
  }
};
// Opens the model and, where given, reads the data. gpus: those of the resolved flags.
Engine open_engine(const EngineFlags& flags, Gpus gpus);

// Ranking by answers needs positions that predict one: an Error where the data has none.
void check_metric(const scores::Metric& metric, const std::vector<models::Sample>& data);
// After all checks, as a refusal is one line.
void warn_without_answers(Engine& engine);

// Once the passes are planned: an Error where reading model and data has taken more than the run may.
void check_memory(const Engine& engine, const EngineFlags& flags);

// The memory plan in words, and for programs.
std::string describe(const schedule::MemoryPlan& plan);
io::Json plan_json(const schedule::MemoryPlan& plan);

}  // namespace qsweep::cli
