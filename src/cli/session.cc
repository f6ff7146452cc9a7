#include "cli/session.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>
#include <span>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "base/limits.h"
#include "base/process.h"
#include "base/team.h"
#include "base/trace.h"
#include "cli/address_space.h"
#include "kernels/gpu.h"
#include "text/dialects.h"

namespace qsweep::cli {
namespace {

constexpr uint64_t kMaxThreads = 1024;  // the system refuses far more, without a word
constexpr double kMemoryShare = 0.8;    // of what is available, where --memory is not given
constexpr int64_t kTileShare = 8;       // attention may take an eighth of the memory for its tiles,
constexpr int64_t kMaxTileBytes = int64_t{256} << 20;  // at most this much

std::vector<models::Sample> read_samples(Engine& engine, const std::string& path,
                                         std::optional<int64_t> first_n) {
  std::vector<models::Sample> samples;
  std::set<std::string> told;
  for (const text::Sample& sample : text::read_dataset(path, first_n)) {
    samples.push_back(with_context(path, [&] { return engine.model.inputs->prepare(sample); }));
    for (const std::string& warning : samples.back().warnings)
      if (told.insert(warning).second) engine.warn(fmt::format("{}: {}", path, warning));
  }
  return samples;
}

// Whether any position's next token is part of an answer.
bool any_answer(const std::vector<models::Sample>& samples) {
  return std::ranges::any_of(samples, [](const models::Sample& s) {
    return std::find(s.answer_mask.begin() + 1, s.answer_mask.end(), 1) != s.answer_mask.end();
  });
}

std::string names_of(std::span<const quant::Format> formats) {
  std::vector<std::string_view> names;
  for (const quant::Format& format : formats) names.push_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// The numbers of the GPUs that --device names; none for the CPU.
std::vector<int> gpu_numbers(const std::string& device) {
  if (device == "cpu") return {};
  if (device == "cuda") return {0};
  constexpr std::string_view prefix = "cuda:";
  std::string_view left = device;
  std::vector<int> numbers;
  for (bool more = left.starts_with(prefix); more;) {
    left.remove_prefix(numbers.empty() ? prefix.size() : 1);  // or a comma
    const char* const end = left.data() + left.size();
    int number = 0;
    const auto [rest, status] = std::from_chars(left.data(), end, number);
    if (status != std::errc() || number < 0) break;
    if (std::ranges::find(numbers, number) != numbers.end())
      fail("--device: GPU {} is given twice in \"{}\"", number, device);
    numbers.push_back(number);
    if (rest == end) return numbers;
    left = {rest, end};
    more = left.starts_with(',');
  }
  fail("--device: expected cpu, cuda, cuda:N or several as cuda:N,N, found \"{}\"", device);
}

// What the least of the devices has free.
int64_t free_bytes(const Gpus& gpus) {
  if (gpus.empty()) return available_memory_bytes();
  int64_t least = INT64_MAX;
  for (const auto& gpu : gpus) least = std::min(least, kernels::free_bytes(*gpu));
  return least;
}

int64_t most_of_the_memory(const Gpus& gpus) {
  const auto bytes = static_cast<int64_t>(kMemoryShare * static_cast<double>(free_bytes(gpus)));
  if (bytes <= 0)
    fail(
        "--memory: this system does not say how much memory is free (no /proc?): say how much the run may "
        "take, such as --memory 4G");
  return bytes;
}

// A product library for the CPU or for each of the GPUs, which then share the CPU's threads.
void open_devices(Engine& engine, const EngineFlags& flags) {
  const int count = std::max(1, static_cast<int>(engine.gpus.size()));
  std::vector<ops::Context> contexts;
  for (int i = 0; i < count; ++i) {
    const kernels::Device device(Threads{std::max(1, flags.threads / count)},
                                 engine.gpus.empty() ? nullptr : engine.gpus[static_cast<size_t>(i)].get());
    engine.gemms.push_back(with_context("--device", [&] { return std::make_unique<kernels::Gemm>(device); }));
    contexts.push_back({.gemm = *engine.gemms.back(),
                        .tile_bytes = std::min(parse_bytes(flags.memory) / kTileShare, kMaxTileBytes)});
  }
  engine.devices.emplace(std::move(contexts));
}

// What of the environment can keep OpenMP from giving the threads that are asked for.
std::string thread_limits() {
  std::string limits;
  for (const char* name : {"OMP_THREAD_LIMIT", "OMP_MAX_ACTIVE_LEVELS"})
    if (const char* value = std::getenv(name))
      limits += fmt::format("{}{}={}", limits.empty() ? " with " : " and ", name, value);
  return limits;
}

constexpr const char* kDefaultFormat = "w8a8";
constexpr uint64_t kAnyNumber = INT64_MAX;

// What of the checkpoint and the data is not as it should be, though it can be computed with.
void warn_of_model(Engine& engine) {
  for (const std::string& warning : engine.model.warnings) engine.warn(warning);
  constexpr size_t kShown = 3;
  const std::vector<std::string>& unused = engine.model.unused_tensors;
  if (unused.empty()) return;
  const auto shown = std::span(unused).first(std::min(unused.size(), kShown));
  spdlog::warn("{} tensor{} of the checkpoint that the model does not use: {}{}", unused.size(),
               unused.size() == 1 ? "" : "s", fmt::join(shown, ", "),
               unused.size() > kShown
                   ? fmt::format(" and {} more; qsweep inspect lists them", unused.size() - kShown)
                   : "");
}

void warn_of_long_samples(Engine& engine, const std::vector<models::Sample>& samples,
                          const std::string& path) {
  int64_t beyond = 0, longest = 0;
  const models::Sample* first = nullptr;
  for (const models::Sample& sample : samples) {
    const auto tokens = static_cast<int64_t>(sample.token_ids.size());
    longest = std::max(longest, tokens);
    if (tokens <= engine.model.max_positions) continue;
    if (beyond++ == 0) first = &sample;
  }
  if (first != nullptr)
    engine.warn(fmt::format(
        "{}: {} sample{} longer than the {} tokens of \"max_position_embeddings\" in config.json, the first "
        "\"{}\", the longest of {} tokens",
        path, beyond, beyond == 1 ? " is" : "s are", engine.model.max_positions, first->id, longest));
}

}  // namespace

void Engine::warn(std::string warning) {
  spdlog::warn("{}", warning);
  warnings.push_back(std::move(warning));
}

void add_scoring_flags(Flags& flags, EngineFlags& v) {
  add_engine_flags(flags, v);
  flags
      .add("format", v.format,
           "Format to score, repeated for several; int, fp and all stand for the integer formats, the small "
           "floats and both: " +
               names_of(quant::all_formats()))
      ->default_str(kDefaultFormat);
  flags.add("kv", v.kv,
            "Format of the keys and values that attention reads from its cache, repeated for several: every "
            "layer's cache is an op to score, beside the linear ops where --format is given, else alone: " +
                names_of(quant::cache_formats()) + ", with or without kv_");
  flags
      .add("ops", v.ops,
           "Score only ops whose name matches this shell pattern, such as 'model.layers.0.*'; the others "
           "are listed as skipped")
      ->capture_default_str();
  flags.add("max-ops", v.max_ops, "Of the ops that --ops chooses, only the first so many in model order")
      ->check(whole_number(1, kAnyNumber));
  flags
      .add(
          "groups", v.groups,
          "Also measure groups of ops, all of a group quantized together, in every format: fused (those that "
          "serving stacks store as one), block, role, or those that a shell pattern matches; separated by "
          "commas. "
          "`recipe` and `eval --scores` take them in place of the sums of their ops")
      ->delimiter(',');
  flags
      .add(
          "coarse", v.coarse,
          "Measure only one block of every four (block), or one of each tower (role), the middle one; ops of "
          "the same role in the others get its scores, with the status spread. Ops outside of blocks are "
          "always measured")
      ->check(CLI::IsMember({"block", "role"}));
  flags.add("seed", v.seed, "Seed of everything random: probes, and the reliability's splits")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str();
}

void add_engine_flags(Flags& flags, EngineFlags& v) {
  flags.add_argument("model", "MODEL", v.model,
                     "Folder of a Hugging Face checkpoint (config.json, *.safetensors, tokenizer.json)");
  add_data_flags(flags, v);
  flags
      .add("metric", v.metric,
           "What to rank by: kl, logits_sse or hidden_sse, then :all for all positions or :answer for those "
           "that predict an answer")
      ->capture_default_str();
}

void add_data_flags(Flags& flags, EngineFlags& v) {
  flags.add("data", v.data, "Captions (.txt), or dialogues with images or token ids (.jsonl)")->check(path());
  flags
      .add("calib", v.calib,
           "Data for static activation ranges, read whole; the samples of --data where not given")
      ->check(path());
  flags.add("samples", v.samples, "Only the first so many samples of --data")
      ->check(whole_number(1, kAnyNumber));
  flags
      .add("image-size", v.image_size,
           "Resize every image to a square of this side in pixels, a multiple of a merged patch (28 in "
           "Qwen2.5-VL); by the model's own rule where not given")
      ->check(whole_number(1, kAnyNumber));
  flags
      .add("allow-outside", v.allow_outside,
           "Folder from which images may come besides that of the data file; may be repeated")
      ->check(path());
  flags.add("chat-template", v.chat_template,
            "Dialect in which dialogues are written, one of " + text::dialect_names() +
                "; where not given, that of the checkpoint's own chat template");
  flags
      .add("device", v.device,
           "What computes: cpu, or a GPU: cuda, which is the first one, or cuda:N; several GPUs of a kind, "
           "such as cuda:0,1, share the samples or the variants")
      ->capture_default_str();
  flags.add("memory", v.memory,
            "Memory that the run may take of each device, such as 4G; where not given most of what is free "
            "within the limits of control groups and Slurm");
  flags
      .add("threads", v.threads,
           "Threads; where not given as many as the affinity and the CPU quota of control groups give")
      ->check(whole_number(1, kMaxThreads));
  flags.add("precision", v.precision, "Deltas in bf16 (fast) or f32 (strict); the reference is f32 in both")
      ->check(CLI::IsMember({"fast", "strict"}))
      ->capture_default_str();
}

Gpus EngineFlags::resolve() {
  if (format.empty() && kv.empty()) format = {kDefaultFormat};
  caches = caches || !kv.empty();
  if (!memory.empty()) with_context("--memory", [&] { parse_bytes(memory); });
  Gpus gpus;
  for (const int number : gpu_numbers(device))
    gpus.push_back(with_context("--device", [&] { return kernels::open_gpu(number); }));
  if (memory.empty()) memory = fmt::format("{}B", most_of_the_memory(gpus));
  const int wanted = threads == 0 ? usable_processors() : threads;
  check_address_space(wanted, 0);
  const int given = team_size({wanted});
  if (threads > given)
    fail("--threads: expected at most the {} that OpenMP gives{}, found {}", given, thread_limits(), threads);
  threads = given;
  return gpus;
}

sweep::ScoreOptions EngineFlags::options() const {
  sweep::ScoreOptions options{.formats = {},
                              .ops_glob = ops,
                              .max_ops = max_ops,
                              .groups = groups,
                              .coarse = !coarse             ? sweep::Coarse::none
                                        : *coarse == "role" ? sweep::Coarse::role
                                                            : sweep::Coarse::block,
                              .strict = precision == "strict",
                              .memory_bytes = parse_bytes(memory),
                              .metric = {},
                              .seed = seed};
  std::set<std::string> seen;
  for (const std::string& name : format) {
    if (!seen.insert(name).second) fail("--format: \"{}\" is given twice", name);
    for (const quant::Format* f : with_context("--format", [&] { return quant::find_formats(name); }))
      if (std::find(options.formats.begin(), options.formats.end(), f) == options.formats.end())
        options.formats.push_back(f);
  }
  for (const std::string& name : kv) {
    const quant::Format* f = with_context("--kv", [&] { return &quant::find_cache_format(name); });
    if (std::ranges::find(options.formats, f) != options.formats.end())
      fail("--kv: \"{}\" is given twice", f->name);
    options.formats.push_back(f);
  }
  options.metric = with_context("--metric", [&] { return scores::parse_metric(metric); });
  return options;
}

Engine open_engine(const EngineFlags& flags, Gpus gpus) {
  const trace::Span span(trace::kPhase, "load");
  Engine engine{.model = models::load(flags.model, {.image_size = flags.image_size,
                                                    .allow_outside = flags.allow_outside,
                                                    .chat_template = flags.chat_template,
                                                    .caches = flags.caches}),
                .data = {},
                .calibration = {},
                .gpus = std::move(gpus),
                .gemms = {},
                .devices = {},
                .warnings = {}};
  warn_of_model(engine);
  if (!flags.data.empty()) engine.data = read_samples(engine, flags.data, flags.samples);
  if (!flags.calib.empty()) engine.calibration = read_samples(engine, flags.calib, std::nullopt);
  warn_of_long_samples(engine, engine.data, flags.data);
  warn_of_long_samples(engine, engine.calibration, flags.calib);
  open_devices(engine, flags);
  return engine;
}

void check_metric(const scores::Metric& metric, const std::vector<models::Sample>& data) {
  if (metric.scope == scores::Scope::answer && !any_answer(data))
    fail("--metric: {} ranks by answers, but no sample of --data has an answer after its first token",
         scores::name(metric));
}

void check_memory(const Engine& engine, const EngineFlags& flags) {
  const int64_t memory = parse_bytes(flags.memory), taken = peak_resident_bytes();
  if (engine.gpus.empty() && taken > memory)
    fail("--memory: reading the model and the data takes {} MiB, the limit is {} MiB", (taken >> 20) + 1,
         memory >> 20);
}

void warn_without_answers(Engine& engine) {
  if (!any_answer(engine.data))
    engine.warn("no position of --data is an answer: sums over answer positions are all 0");
}

std::string describe(const schedule::MemoryPlan& plan) {
  size_t pairs = 0;
  for (const schedule::Chunk& chunk : plan.chunks) pairs += chunk.variants.size() * chunk.samples.size();
  return fmt::format(
      "{} of {} at the peak{}, {} pass{} over the weights ({} read), {}{:.3g} GFLOP",
      format_bytes(plan.peak_bytes()), format_bytes(plan.budget_bytes),
      plan.devices() > 1 ? fmt::format(" of each of {} devices", plan.devices()) : "", plan.chunks.size(),
      plan.chunks.size() == 1 ? "" : "es", format_bytes(plan.weight_bytes()),
      pairs > 0 ? fmt::format("{} (variant, sample) pairs, ", pairs) : "", plan.flops() * 1e-9);
}

io::Json plan_json(const schedule::MemoryPlan& plan) {
  return {{"peak_bytes", plan.peak_bytes()},
          {"budget_bytes", plan.budget_bytes},
          {"passes", plan.chunks.size()},
          {"weight_bytes_read", plan.weight_bytes()},
          {"gflop", plan.flops() * 1e-9}};
}

}  // namespace qsweep::cli
