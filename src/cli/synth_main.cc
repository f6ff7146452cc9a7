// The program qsweep-synth.
#include <fmt/format.h>

#include "base/limits.h"
#include "cli/flags.h"
#include "cli/manual.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "synth/synthesize.h"

namespace {

constexpr uint64_t kMaxLayers = 1000, kMaxThreads = 1024;

struct Arguments {
  std::string config, out;
  qsweep::synth::Options options;
  int threads = qsweep::usable_processors();
};

void run(Arguments arguments) {
  arguments.options.threads = {arguments.threads};
  qsweep::cli::ProgressBar bar(true, "GB/s");
  arguments.options.progress = [&](int64_t done, int64_t total, const std::string& tensor) {
    bar.update(static_cast<double>(done), static_cast<double>(total), tensor);
  };
  qsweep::synth::synthesize(arguments.config, arguments.out, arguments.options);
}

}  // namespace

int main(int argc, char** argv) {
  using qsweep::cli::whole_number;
  CLI::App app(
      "qsweep-synth: a checkpoint of random weights with the true shapes of a model, for benchmarks and "
      "tests.",
      "qsweep-synth");
  app.set_version_flag("--version", QSWEEP_VERSION);
  qsweep::cli::add_generate_flag(app, QSWEEP_VERSION);
  Arguments arguments;
  qsweep::cli::Flags flags(app);
  flags.add_argument("config", "CONFIG_DIR", arguments.config,
                     "Folder with config.json, of any family, and the settings of its image processor; a "
                     "tokenizer.json there is copied, else one is made");
  flags.add_argument("out", "OUT", arguments.out, "Folder to write, new or empty");
  flags.add("seed", arguments.options.seed, "Seed of the weights")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str();
  flags.add("layers", arguments.options.layers, "Only the first so many decoder layers")
      ->check(whole_number(1, kMaxLayers));
  flags.add("vision-layers", arguments.options.vision_layers, "Only the first so many vision blocks")
      ->check(whole_number(1, kMaxLayers));
  flags.add_switch("sparse", arguments.options.sparse,
                   "Weights of zeros that take no room on the disk: for inspect and --dry-run");
  flags
      .add("threads", arguments.threads,
           "Threads; where not given as many as the affinity and the CPU quota of control groups give")
      ->check(whole_number(1, kMaxThreads));
  app.callback([&] { run(arguments); });
  return qsweep::cli::run_program(argc, argv, app, [](const CLI::ParseError& error) {
    return fmt::format("{}; see qsweep-synth --help", error.what());
  });
}
