#include <fmt/format.h>

#include "cli/alternatives.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

namespace qsweep::cli {
namespace {

// A stand-in for data: captions of a usual length.
constexpr int64_t kNominalSamples = 8, kNominalTokens = 64;

std::vector<models::Sample> nominal_data() {
  models::Sample caption;
  caption.token_ids.assign(static_cast<size_t>(kNominalTokens), 0);
  caption.answer_mask.assign(static_cast<size_t>(kNominalTokens), 1);
  caption.rows[graph::Rows::tokens] = kNominalTokens;
  std::vector<models::Sample> data(static_cast<size_t>(kNominalSamples), caption);
  for (size_t i = 0; i < data.size(); ++i) data[i].id = fmt::format("caption-{}", i);
  return data;
}

void print_model(const models::Model& model) {
  say("family      {}\nparameters  {}\nweights     {}\nlm_head     {}\n\n", model.family,
      model.checkpoint.parameters(), format_bytes(model.checkpoint.size_bytes()),
      model.tied_embeddings ? "tied to the embedding" : "its own");
  say("{:<42} {:<10} {:>8} {:>8} {:>12}\n", "op", "tower", "in", "out", "parameters");
  for (const graph::LinearOp& op : model.ops)
    say("{:<42} {:<10} {:>8} {:>8} {:>12}\n", op.name, graph::name(op.tower), op.in_features(),
        op.out_features(), op.parameters());
  say("\n");
  if (model.unused_tensors.empty()) return;
  say("tensors of the checkpoint that the model does not use:\n");
  for (const std::string& name : model.unused_tensors) {
    const TensorView& tensor = *model.checkpoint.find(name);
    say("  {} {} {}\n", name, qsweep::name(tensor.dtype), to_string(tensor.shape));
  }
  say("\n");
}

void run(EngineFlags flags) {
  Gpus gpus = flags.resolve();
  const sweep::ScoreOptions options = flags.options();
  if (!flags.groups.empty() && flags.coarse)
    fail("--groups: expected every op to be measured, found --coarse beside it");
  Engine engine = open_engine(flags, std::move(gpus));
  print_model(engine.model);
  const bool given = !engine.data.empty();
  if (!given) engine.data = nominal_data();
  sweep::Sweep sweep(engine.model, *engine.devices, engine.data, engine.calibration_data(), options);
  sweep.prepare();
  check_memory(engine, flags);
  std::map<scores::Status, int64_t> counts;
  for (const scores::ScoreRecord& record : sweep.outlook().records) ++counts[record.status];
  say("{}: {} ops in {} formats\n",
      given ? flags.data
            : fmt::format("with {} captions of {} tokens (give --data for your own)", kNominalSamples,
                          kNominalTokens),
      engine.model.ops.size(), options.formats.size());
  for (const auto& [status, count] : counts)
    say("  {:<12} {}\n", status == scores::Status::ok ? "to score" : scores::name(status), count);
  const auto groups =
      std::ranges::count(sweep.outlook().groups, scores::Status::ok, &scores::GroupScore::status);
  if (groups > 0) say("  {:<12} {}\n", "of groups", groups);
  say("memory plan: {}\n", describe(sweep.plan()));
  const auto rates = sweep::measure_rates(*engine.devices, sweep.main_products(), sweep.plan());
  if (rates.empty()) return;
  const sweep::Forecast forecast = sweep.forecast(rates);
  say("time: {} on this machine, whose rate on the main products alone is {:.3g} GFLOP/s\n",
      about(forecast.total_s()), sweep::overall_rate(rates) * 1e-9);
  say_alternatives(Output(), engine, options, forecast, rates);
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "Show a model's ops, what would be scored, and the memory plan");
  auto values = std::make_shared<EngineFlags>();
  Flags flags(*command);
  add_scoring_flags(flags, *values);
  command->callback([values] { run(*values); });
}

}  // namespace qsweep::cli
