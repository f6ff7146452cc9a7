#include "stacks/import.h"

#include <algorithm>
#include <filesystem>

#include "base/readable.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "compare/run.h"
#include "io/atomic_file.h"

namespace qsweep::cli {
namespace {

struct ImportFlags {
  std::string file, run, kind, out;
};

void run(const ImportFlags& flags) {
  const stacks::Kind kind = with_context("--kind", [&] { return stacks::parse_kind(flags.kind); });
  check_outputs({{"FILE", flags.file}, {"the file of --run", compare::scores_file(flags.run)}},
                {{"--out", flags.out}});
  const stacks::Model model = stacks::model_of(compare::read_run(flags.run));
  const stacks::Choice choice{.name = valid_utf8(std::filesystem::path(flags.file).filename().string()),
                              .formats = stacks::import_recipe(kind, model, flags.file)};
  io::write_file_atomically(flags.out, stacks::recipe_text(model, choice));
  say("{}: {:.4f} bits per weight, {} of {} ops float\n", flags.out,
      stacks::effective_bits(model, choice.formats), std::ranges::count(choice.formats, nullptr),
      choice.formats.size());
}

}  // namespace

void add_import(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("import", "Read another tool's recipe as a recipe that qsweep eval measures");
  auto values = std::make_shared<ImportFlags>();
  Flags flags(*command);
  flags.add_argument(
      "file", "FILE", values->file,
      "A recipe of ModelOpt (YAML or JSON), a layer_config of AutoRound, or config.json or the "
      "quantization_config of compressed-tensors");
  flags.add("kind", values->kind, "Whose it is: " + stacks::names_of(stacks::imported_kinds()))->required();
  flags.add("run", values->run, "Folder of a run, or its scores.json, that lists the model's ops")
      ->check(path())
      ->required();
  flags.add("out", values->out, "Recipe to write")->check(path())->required();
  command->callback([values] { run(*values); });
}

}  // namespace qsweep::cli
