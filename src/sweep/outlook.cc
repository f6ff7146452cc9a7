#include "sweep/outlook.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/ranges.h>

#include "pass/setting.h"
#include "scores/grouping.h"
#include "scores/op_names.h"
#include "sweep/records.h"

namespace qsweep::sweep {
namespace {

using quant::Format;
using scores::Mode;
using scores::Status;

// Per op; Error where the flag's pattern matches none.
std::vector<bool> matching_ops(const models::Model& model, const char* flag, const std::string& pattern) {
  std::vector<std::string> names;
  for (const graph::LinearOp& op : model.ops) names.push_back(op.name);
  std::vector<bool> matching = scores::matching_ops(pattern, names);
  if (std::ranges::find(matching, true) == matching.end())
    fail("{}: no op matches \"{}\" (qsweep inspect lists the ops)", flag, pattern);
  return matching;
}

// Error where a format cannot be that of the model's caches.
void check_cache_formats(const models::Model& model, const std::vector<const Format*>& formats) {
  for (const Format* format : formats)
    for (const graph::LinearOp& op : model.ops)
      if (format->of_caches && op.cache) check_heads(*format, op);
}

// Which ops are to be scored at all.
std::vector<bool> selected_ops(const models::Model& model, const ScoreOptions& options) {
  std::vector<bool> selected = matching_ops(model, "--ops", options.ops_glob);
  int64_t left = options.max_ops.value_or(INT64_MAX);
  for (size_t op = 0; op < selected.size(); ++op) selected[op] = selected[op] && left-- > 0;
  return selected;
}

// The members of the set that starts in float, whose re-quantization is scored.
std::vector<bool> float_ops(const models::Model& model, const ScoreOptions& options) {
  return matching_ops(model, "--keep-float", options.keep_float);
}

constexpr int64_t kBlockRun = 4;  // blocks that share a representative

// Per op, the one whose score it gets: itself, or of those with its tower and role in its run of blocks the
// middle one.
std::vector<int> representatives(const models::Model& model, Coarse coarse,
                                 const std::vector<Status>& statuses) {
  std::map<std::tuple<graph::Tower, std::string, int64_t>, std::vector<int>> runs;
  std::vector<int> representative;
  for (size_t op = 0; op < statuses.size(); ++op) {
    representative.push_back(static_cast<int>(op));
    const graph::LinearOp& linear = model.ops[op];
    if (coarse == Coarse::none || statuses[op] != Status::ok || !linear.block) continue;
    const int64_t run = coarse == Coarse::block ? *linear.block / kBlockRun : 0;
    runs[{linear.tower, linear.role, run}].push_back(static_cast<int>(op));
  }
  for (const auto& [key, ops] : runs)
    for (const int op : ops) representative[static_cast<size_t>(op)] = ops[ops.size() / 2];
  return representative;
}

// The ops of --groups, each set of several ops once, by the first name it has.
std::vector<scores::OpGroup> groups_to_measure(const models::Model& model, const ScoreOptions& options) {
  const std::vector<scores::OpRecord> ops = op_records(model);
  std::vector<scores::OpGroup> groups;
  std::map<std::vector<size_t>, std::string> seen;
  const auto add = [&](scores::OpGroup group) {
    if (group.ops.size() > 1 && seen.try_emplace(group.ops, group.name).second)
      groups.push_back(std::move(group));
  };
  for (const std::string& text : options.groups) {
    if (text == "fused" || text == "block" || text == "role") {
      for (scores::OpGroup& group : scores::groups_of(ops, scores::parse_grouping(text)))
        add(std::move(group));
      continue;
    }
    const std::vector<bool> matching = matching_ops(model, "--groups", text);
    scores::OpGroup group{.name = text, .ops = {}};
    for (size_t op = 0; op < matching.size(); ++op)
      if (matching[op]) group.ops.push_back(op);
    if (group.ops.size() == 1)
      fail(
          "--groups: expected fused, block, role, or a pattern that several ops match, found \"{}\", which "
          "{} does",
          text, ops[group.ops.front()].name);
    add(std::move(group));
  }
  return groups;
}

class Planner {
 public:
  Planner(const models::Model& model, const std::vector<models::Sample>& data,
          const std::vector<models::Sample>& calibration, const ScoreOptions& options)
      : model_(model),
        options_(options),
        selected_(selected_ops(model, options)),
        members_(float_ops(model, options)),
        reached_(reached_ops(model, data)),
        calibrated_(reached_ops(model, calibration)),
        groups_(groups_to_measure(model, options)) {
    check_groups();
    check_cache_formats(model, options.formats);
    const auto apart = [](bool member, bool selected) { return !(member && selected); };
    if (needs_members() && std::equal(members_.begin(), members_.end(), selected_.begin(), apart))
      fail(
          "--keep-float: expected a pattern for some of the ops that --ops and --max-ops select, found "
          "\"{}\"",
          options.keep_float);
  }

  Outlook plan() {
    for (const Format* format : options_.formats) plan_format(*format);
    sort_leaves();
    return std::move(outlook_);
  }

 private:
  int op_count() const { return static_cast<int>(model_.ops.size()); }
  bool in(const std::vector<bool>& set, int op) const { return set[static_cast<size_t>(op)]; }
  bool needs_members() const {
    return options_.mode == Mode::requantize || options_.mode == Mode::requantize_cumulative;
  }
  bool selects_all(const scores::OpGroup& group) const {
    return std::ranges::all_of(group.ops, [&](size_t op) { return selected_[op]; });
  }
  void check_groups() const {
    QSWEEP_CHECK(groups_.empty() || options_.mode == Mode::isolated, "groups in mode {}",
                 name(options_.mode));
    if (!options_.groups.empty() &&
        std::ranges::none_of(groups_, [&](const auto& group) { return selects_all(group); }))
      fail(
          "--groups: expected groups of several ops of which --ops and --max-ops select all, found none in "
          "{}",
          fmt::join(options_.groups, ", "));
  }

  // Whether the op is of the kind that the format is for.
  bool is_for(const Format& format, int op) const {
    return model_.ops[static_cast<size_t>(op)].cache.has_value() == format.of_caches;
  }
  // Whether the op can be in the format, given the data.
  bool usable(const Format& format, int op) const {
    return is_for(format, op) && in(reached_, op) && (!format.activations.calibrated || in(calibrated_, op));
  }

  scores::Measured measured() const {
    if (options_.metrics.empty() || options_.method != scores::Method::exact) return scores::Measured::all();
    scores::Measured wanted = scores::Measured::none();
    wanted.add(options_.metric);
    for (const scores::Metric metric : options_.metrics) wanted.add(metric);
    return wanted;
  }

  Status status_of(const Format& format, int op) const {
    if (!in(selected_, op) || (needs_members() && !in(members_, op))) return Status::skipped;
    if (!in(reached_, op)) return Status::unexercised;
    return usable(format, op) ? Status::ok : Status::uncalibrated;
  }

  pass::VariantId carried(std::vector<const Format*> formats, const std::string& name, const Format& format) {
    scores::Baseline baseline;
    baseline.name = name + ":" + std::string(format.name);
    baseline.format = scores::format_of_baseline(baseline.name);
    for (int op = 0; op < op_count(); ++op)
      if (is_for(format, op) && in(reached_, op) && !usable(format, op))
        baseline.float_ops.push_back(model_.ops[static_cast<size_t>(op)].name);
    outlook_.variants.push_back({.carried = true, .formats = std::move(formats)});
    outlook_.targets.push_back({{Target::Kind::baseline, outlook_.baselines.size()}});
    outlook_.baselines.push_back(std::move(baseline));
    return pass::VariantId{static_cast<int>(outlook_.variants.size()) - 1};
  }

  void plan_format(const Format& format) {
    std::vector<const Format*> all(model_.ops.size());
    for (int op = 0; op < op_count(); ++op)
      if (usable(format, op)) all[static_cast<size_t>(op)] = &format;
    const pass::VariantId all_quantized = carried(all, "all", format);
    pass::VariantId parent = options_.mode == Mode::isolated ? pass::kReference : all_quantized;
    if (options_.mode == Mode::requantize) {
      bool everything = true;
      for (int op = 0; op < op_count(); ++op)
        everything = everything && (in(members_, op) || !is_for(format, op));
      for (size_t op = 0; op < all.size(); ++op)
        if (members_[op]) all[op] = nullptr;
      parent = everything ? pass::kReference : carried(all, "all-but-float", format);
    }
    std::vector<Status> statuses;
    for (int op = 0; op < op_count(); ++op) statuses.push_back(status_of(format, op));
    const std::vector<int> from = representatives(model_, options_.coarse, statuses);
    for (int op = 0; op < op_count(); ++op) {
      if (!is_for(format, op)) continue;
      const auto i = static_cast<size_t>(op);
      scores::ScoreRecord record;
      record.op = op;
      record.format = format.name;
      record.mode = options_.mode;
      record.measured = measured();
      record.effective_bits = bits_of(format, model_.ops[i]);
      record.status = statuses[i];
      if (from[i] != op) {
        record.status = Status::spread;
        record.spread_from = model_.ops[static_cast<size_t>(from[i])].name;
      }
      const Target target{Target::Kind::score, outlook_.records.size()};
      if (record.status == Status::ok) plan_leaf(format, op, parent, target);
      outlook_.records.push_back(std::move(record));
    }
    for (const scores::OpGroup& group : groups_) plan_group(format, group);
  }

  Status status_of(const Format& format, const scores::OpGroup& group,
                   const std::vector<int>& reached) const {
    if (!selects_all(group)) return Status::skipped;
    if (reached.empty()) return Status::unexercised;
    const bool all = std::ranges::all_of(reached, [&](int op) { return usable(format, op); });
    return all ? Status::ok : Status::uncalibrated;
  }

  // Of a group of which data reaches one op alone, that op's score is its own.
  void plan_group(const Format& format, const scores::OpGroup& group) {
    std::vector<int> all, reached;
    for (const size_t op : group.ops) {
      if (!is_for(format, static_cast<int>(op))) continue;
      all.push_back(static_cast<int>(op));
      if (reached_[op]) reached.push_back(all.back());
    }
    if (all.size() < 2 || reached.size() == 1) return;
    scores::GroupScore record;
    record.name = group.name;
    record.ops = reached.empty() ? all : reached;
    record.format = format.name;
    record.measured = measured();
    record.status = status_of(format, group, reached);
    record.effective_bits = mean_bits(format, record.ops);
    if (record.status == Status::ok) {
      std::vector<graph::Override> overrides;
      for (const int op : reached) overrides.push_back({op, &format});
      outlook_.variants.push_back({.parent = pass::kReference, .overrides = std::move(overrides)});
      outlook_.targets.push_back({{Target::Kind::group, outlook_.groups.size()}});
    }
    outlook_.groups.push_back(std::move(record));
  }

  static double bits_of(const Format& format, const graph::LinearOp& op) {
    return op.cache ? quant::effective_cache_bits(format, op.cache->head_dim)
                    : quant::effective_weight_bits(format, op.in_features());
  }

  double mean_bits(const Format& format, const std::vector<int>& ops) const {
    double bits = 0, weights = 0;
    for (const int op : ops) {
      const graph::LinearOp& linear = model_.ops[static_cast<size_t>(op)];
      const auto n = static_cast<double>(linear.cache ? linear.in_features() : linear.weights());
      bits += n * bits_of(format, linear);
      weights += n;
    }
    return bits / weights;
  }

  void plan_leaf(const Format& format, int op, pass::VariantId parent, Target target) {
    std::vector<graph::Override> overrides;
    if (options_.mode == Mode::requantize_cumulative) {
      for (int later = op + 1; later < op_count(); ++later)
        if (in(members_, later) && usable(format, later)) overrides.push_back({later, nullptr});
    } else {
      overrides.push_back({op, options_.mode == Mode::leave_one_out ? nullptr : &format});
    }
    if (overrides.empty()) {  // the last of the members: nothing is left in float
      at(outlook_.targets, parent).push_back(target);
      return;
    }
    outlook_.variants.push_back({.parent = parent, .overrides = std::move(overrides)});
    outlook_.targets.push_back({target});
  }

  // Carried variants first, each before its leaves; pairs join in model order; at one op, formats in the
  // order they were asked for.
  void sort_leaves() {
    const auto place = [&](size_t v) {
      const pass::Variant& variant = outlook_.variants[v];
      return variant.carried ? -1 : variant.overrides.front().op;
    };
    std::vector<size_t> order(outlook_.variants.size());
    std::vector<pass::VariantId> position(order.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place(a) < place(b); });
    for (size_t i = 0; i < order.size(); ++i) position[order[i]] = pass::VariantId{static_cast<int>(i)};
    std::vector<pass::Variant> variants;
    std::vector<std::vector<Target>> targets;
    for (const size_t i : order) {
      pass::Variant& variant = variants.emplace_back(std::move(outlook_.variants[i]));
      if (variant.parent != pass::kReference) variant.parent = at(position, variant.parent);
      targets.push_back(std::move(outlook_.targets[i]));
    }
    outlook_.variants = std::move(variants);
    outlook_.targets = std::move(targets);
  }

  const models::Model& model_;
  const ScoreOptions& options_;
  std::vector<bool> selected_, members_, reached_, calibrated_;
  std::vector<scores::OpGroup> groups_;
  Outlook outlook_;
};

}  // namespace

void check_heads(const Format& format, const graph::LinearOp& cache) {
  const quant::Scheme& scheme = format.activations;
  if (scheme.granularity != quant::Granularity::per_group || cache.cache->head_dim % scheme.group == 0)
    return;
  fail("{}: expected heads of a multiple of {} numbers, which are its blocks; {} has heads of {}",
       format.name, scheme.group, cache.name, cache.cache->head_dim);
}

std::vector<bool> reached_ops(const models::Model& model, const std::vector<models::Sample>& samples) {
  std::vector<bool> reached;
  for (const graph::Rows kind : pass::row_kinds(model))
    reached.push_back(
        std::ranges::any_of(samples, [&](const models::Sample& s) { return s.rows[kind] > 0; }));
  return reached;
}

std::vector<pass::VariantId> select_leaves(const Outlook& outlook, std::span<const size_t> records) {
  std::vector<pass::VariantId> leaves = all_of(outlook.variants);
  std::erase_if(leaves, [&](pass::VariantId v) {
    const Target& target = at(outlook.targets, v).front();
    return at(outlook.variants, v).carried || target.kind != Target::Kind::score ||
           std::ranges::count(records, target.index) == 0;
  });
  return leaves;
}

Outlook make_outlook(const models::Model& model, const std::vector<models::Sample>& data,
                     const std::vector<models::Sample>& calibration, const ScoreOptions& options) {
  return Planner(model, data, calibration, options).plan();
}

}  // namespace qsweep::sweep
