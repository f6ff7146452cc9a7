#include "inc/mse_v2.h"

#include <algorithm>
#include <numeric>

#include "base/process.h"
#include "io/atomic_file.h"
#include "io/json.h"

namespace qsweep::inc {
namespace {

// Code and tables that oneDNN makes as products first run.
constexpr int64_t kProductCodeBytes = int64_t{24} << 20;

// Everything that is not one of the two ends of the cumulative map, in the order in which they fork.
std::vector<Variant> all_variants(const ReachedOps& reached) {
  std::vector<Variant> variants;
  for (int at = 0; at < reached.size(); ++at) {
    if (at > 0) variants.push_back({Variant::Kind::requant, at - 1});
    variants.push_back({Variant::Kind::fallback, at});
  }
  return variants;
}

// Cuts the variants into passes that fit the memory. A dry run of the variant that forks first measures what
// a pass needs beside the values that further variants carry from stage to stage.
std::vector<std::vector<Variant>> plan(const PassInput& one, const std::vector<Variant>& variants,
                                       int64_t memory_bytes) {
  const int64_t base =
      resident_bytes() + kernels::Gemm::kScratchBytes + kProductCodeBytes - one.batch.size_bytes();
  graph::Workspace workspace(/*dry=*/true);
  const PassResult dry = run_pass(one, workspace, {});
  if (base + dry.peak_bytes > memory_bytes)
    fail("--memory: at least {} MiB are needed for all samples as one batch, the limit is {} MiB",
         ((base + dry.peak_bytes) >> 20) + 1, memory_bytes >> 20);
  const auto carried = [&](const Variant& v) {
    const auto first = dry.carried_bytes.begin() + one.reached.stage[static_cast<size_t>(v.fork())];
    return first == dry.carried_bytes.end() ? 0 : *std::max_element(first, dry.carried_bytes.end());
  };
  std::vector<std::vector<Variant>> passes(1);
  int64_t used = base + dry.peak_bytes;
  for (const Variant& v : variants) {
    if (used + carried(v) > memory_bytes && !passes.back().empty()) {
      passes.emplace_back();
      used = base + dry.peak_bytes;
    }
    used += passes.back().empty() ? 0 : carried(v);
    passes.back().push_back(v);
  }
  return passes;
}

struct Scores {
  double all_quantized = 0;
  std::vector<double> fallback, requant;  // per position
  std::vector<LinearRanges> ranges;

  void add(const std::vector<Variant>& variants, const PassResult& result) {
    all_quantized = result.all_quantized;
    ranges = result.ranges;
    for (size_t v = 0; v < variants.size(); ++v) {
      auto& map = variants[v].kind == Variant::Kind::fallback ? fallback : requant;
      map[static_cast<size_t>(variants[v].position)] = result.scores[v];
    }
  }
};

// Stages that variants have to go through, counted once per variant.
double work(const PassInput& input) {
  double stages = 0;
  for (const Variant& v : input.variants)
    stages +=
        static_cast<double>(input.model.stages.size()) - input.reached.stage[static_cast<size_t>(v.fork())];
  return stages;
}

// An op without rows changes nothing: leaving it float scores what everything quantized does, and quantizing
// it next scores what was scored before it.
Maps name_scores(const std::vector<ListedOp>& list, const ReachedOps& reached, const Scores& scores) {
  Maps maps;
  maps.all_quantized = scores.all_quantized;
  double last_requant = 0;
  size_t at = 0;
  for (const ListedOp& op : list) {
    if (op.reached) {
      last_requant = scores.requant[at];
      if (op.op != kEmbedding) maps.ranges.emplace_back(op.name, scores.ranges[at]);
    }
    maps.fallback.emplace_back(op.name, op.reached ? scores.fallback[at] : scores.all_quantized);
    maps.requant.emplace_back(op.name, last_requant);
    at += op.reached ? 1 : 0;
  }
  QSWEEP_CHECK(at == static_cast<size_t>(reached.size()), "{} of {} ops named", at, reached.size());
  return maps;
}

}  // namespace

Maps mse_v2(const models::Model& model, const ops::Context& ops, const graph::Batch& batch,
            const Options& options) {
  const std::vector<ListedOp> list = list_ops(model, batch);
  const ReachedOps reached = reached_ops(model, list);
  const std::vector<Variant> variants = all_variants(reached);
  const auto with = [&](const std::vector<Variant>& some) {
    return PassInput{model, ops, batch, reached, some};
  };
  const auto passes = plan(with({variants.front()}), variants, options.memory_bytes);
  Progress progress{.what = {}, .done = 0, .total = work(with(variants))};
  Scores scores;
  scores.fallback.resize(static_cast<size_t>(reached.size()));
  scores.requant.resize(scores.fallback.size());
  for (const std::vector<Variant>& some : passes) {
    graph::Workspace workspace;
    scores.add(some, run_pass(with(some), workspace, [&](size_t stage, size_t computed) {
                 progress.what = model.stages[stage].name;
                 progress.done += static_cast<double>(computed);
                 if (options.progress) options.progress(progress);
               }));
  }
  scores.requant.back() = scores.all_quantized;
  return name_scores(list, reached, scores);
}

Maps mse_v2(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& samples,
            const Options& options) {
  std::vector<graph::SampleInputs> inputs;
  for (const models::Sample& sample : samples)
    inputs.push_back(model.inputs->load(sample, models::InputBuilder::Pixels::decode));
  return mse_v2(model, ops, graph::Batch(inputs), options);
}

void write_maps(const Maps& maps, const std::string& folder) {
  io::Json json;
  for (const auto& [key, map] : {std::pair("fallback", &maps.fallback), std::pair("requant", &maps.requant)})
    for (const auto& [op, score] : *map) json[key][op] = score;
  io::write_file_atomically(folder + "/inc_mse_v2.json", json.dump(1) + "\n");
}

}  // namespace qsweep::inc
