#include "sweep/evaluate.h"

#include "scores/eval.h"
#include "sweep/outlook.h"
#include "sweep/records.h"

namespace qsweep::sweep {
namespace {

constexpr double kFloatBits = 16;  // what serving stacks keep float weights in

// Takes the ops back to float that the data reaches but the calibration data does not; returns their names.
// Ops that the data does not reach either keep their format: it changes nothing.
std::vector<std::string> drop_uncalibrated(const Setting& setting,
                                           std::vector<const quant::Format*>& formats) {
  const std::vector<bool> reached = reached_ops(setting.model, setting.data);
  const std::vector<bool> calibrated = reached_ops(setting.model, setting.calibration);
  std::vector<std::string> dropped;
  for (size_t op = 0; op < formats.size(); ++op) {
    if (formats[op] == nullptr || !formats[op]->activations.calibrated || calibrated[op] || !reached[op])
      continue;
    formats[op] = nullptr;
    dropped.push_back(setting.model.ops[op].name);
  }
  return dropped;
}

double effective_bits(const models::Model& model, const std::vector<const quant::Format*>& formats) {
  double bits = 0, weights = 0;
  for (size_t op = 0; op < formats.size(); ++op) {
    const auto n = static_cast<double>(model.ops[op].weights());
    bits += n * (formats[op] == nullptr
                     ? kFloatBits
                     : quant::effective_weight_bits(*formats[op], model.ops[op].in_features()));
    weights += n;
  }
  return bits / weights;
}

}  // namespace

Evaluation::Evaluation(const Setting& setting, std::vector<RecipeFormats> recipes)
    : setting_(setting),
      recipes_(std::move(recipes)),
      variants_([&] {
        std::vector<pass::Variant> variants;
        for (RecipeFormats& recipe : recipes_) {
          for (size_t op = 0; op < recipe.formats.size(); ++op)
            if (recipe.formats[op] != nullptr && recipe.formats[op]->of_caches)
              check_heads(*recipe.formats[op], setting.model.ops[op]);
          uncalibrated_.push_back(drop_uncalibrated(setting, recipe.formats));
          variants.push_back({.carried = true, .formats = recipe.formats});
        }
        return variants;
      }()),
      variant_run_(setting, variants_, all_of(variants_)) {}

void Evaluation::prepare() {
  constexpr int64_t kOpBytes = 1024;    // of an op of a recipe: its name and format here and as JSON
  constexpr int64_t kErrorBytes = 128;  // of a sample of a recipe, the same
  const int64_t of_recipe = std::ssize(setting_.data) * (int64_t{sizeof(scores::ScopedSums)} + kErrorBytes) +
                            std::ssize(setting_.model.ops) * kOpBytes;
  variant_run_.prepare(
      schedule::base_bytes_of(setting_.devices.first().device(), std::ssize(recipes_) * of_recipe));
}

scores::EvalRun Evaluation::run(scores::Metric ranking, const ProgressObserver& progress) {
  scores::EvalRun run;
  run.data = data_counts(setting_.data);
  const std::vector<bool> reached = reached_ops(setting_.model, setting_.data);
  for (size_t i = 0; i < recipes_.size(); ++i) {
    const RecipeFormats& recipe = recipes_[i];
    scores::EvalRecipe& record = run.recipes.emplace_back();
    record.name = recipe.name;
    record.rules_file = recipe.rules_file;
    for (size_t op = 0; op < recipe.formats.size(); ++op) {
      if (recipe.formats[op] == nullptr) continue;
      const std::string& name = setting_.model.ops[op].name;
      record.ops[name] = std::string(recipe.formats[op]->name);
      if (!reached[op]) record.unexercised.push_back(name);
    }
    record.float_ops = static_cast<int64_t>(recipe.formats.size() - record.ops.size());
    record.effective_bits = effective_bits(setting_.model, recipe.formats);
    record.uncalibrated = uncalibrated_[i];
    scores::find_mixed_groups(record, op_records(setting_.model));
    record.per_sample = unchanged(setting_.model, setting_.data);
  }
  variant_run_.run({.metrics =
                        [&](pass::VariantId variant, int sample, const scores::ScopedSums& sums) {
                          at(run.recipes, variant).per_sample[static_cast<size_t>(sample)] = sums;
                        },
                    .local = {}},
                   progress);
  variant_run_.report().timed("statistics", [&] { scores::finalize(run, ranking); });
  return run;
}

}  // namespace qsweep::sweep
