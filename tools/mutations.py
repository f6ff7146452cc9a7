#!/usr/bin/env python3
"""Proves that the tests can fail: plants deliberate defects one at a time and expects the named test to fail.
    tools/mutations.py [NAME...]           all of them, or those named
    tools/mutations.py --tenth [SEED]      a tenth, chosen by the seed: by default the commit's hash
Works on the programs of build/release, which it builds where they are not; the sources are left alone. A test that takes
longer than --limit seconds with a defect is ended, and has found it."""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutated_page import mutated_page, test_page, WEB
from mutated_program import BuildTree, Failed, Processes, mutated_program

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
BUILD_LIMIT_S = 900
# What runs the tests of a program named `cli` is the program itself.
PROGRAM_OF = {"cli": "qsweep"}
# The tests of the page's modules are no program; what installs their packages is this library.
PAGE, PAGE_BUILT_BY = "page", "qsweep_report"

# name: (file, text, replacement, test program, test filter; of PAGE a pattern of names)
MUTATIONS = {
    "page_ranks_from_the_last": (
        "src/report/web/src/data.ts", "(a.rank as number) - (b.rank as number)", "(b.rank as number) - (a.rank as number)", PAGE,
        "the first ops in order"),
    "page_interval_ends_swapped": (
        "src/report/web/src/data.ts", "low: s.interval[i]?.[0] ?? null", "low: s.interval[i]?.[1] ?? null", PAGE, "table has"),
    "page_share_without_its_unit": (
        "src/report/web/src/table.ts", "text: (s) => percent(s.share)", "text: (s) => number(s.share)", PAGE, "table has"),
    "page_minutes_of_as_many_seconds": (
        "src/report/web/src/text.ts", "`${number(value / 60)} min`", "`${number(value)} min`", PAGE, "three significant digits"),
    "page_cells_a_class_too_light": (
        "src/report/web/src/maps.ts", "fill: known ? (theme.classes[k] as string)",
        "fill: known ? (theme.classes[Math.max(0, k - 1)] as string)", PAGE, "heat map shows"),
    "page_bound_in_the_class_below": (
        "src/report/web/src/theme.ts", "share >= bound", "share > bound", PAGE, "classes of shares"),
    "page_filter_ignored": (
        "src/report/web/src/table.ts", "return words.every((w) => text.includes(w));", "return true;", PAGE, "filtered"),
    "page_unknown_first": (
        "src/report/web/src/table.ts", "x === null ? 1 : -1", "x === null ? -1 : 1", PAGE, "filtered"),
    "page_experts_with_the_share_of_one": (
        "src/report/web/src/maps.ts", "share = (share ?? 0) + s.share", "share = s.share", PAGE, "experts of a role have"),
    "page_formats_on_each_other's_axis": (
        "src/report/web/src/figures.ts", "x: p.s.value,", "x: p.t.value,", PAGE, "formats are compared"),
    "page_other_tool's_ranks_on_our_axis": (
        "src/report/web/src/figures.ts", "x: u.run_rank,", "x: u.other_rank,", PAGE, "another ranking"),
    "page_outliers_without_names": (
        "src/report/web/src/figures.ts", "named.indexOf(u.name) >= 0", "named.indexOf(u.name) > 99", PAGE, "another ranking"),
    "page_least_difference_first": (
        "src/report/web/src/difference.ts", "Math.abs(y.predicted ?? 0) - Math.abs(x.predicted ?? 0)",
        "Math.abs(x.predicted ?? 0) - Math.abs(y.predicted ?? 0)", PAGE, "two recipes"),
    "page_recipe_of_the_next_op": (
        "src/report/web/src/maps.ts", "place.ops.map((op) => choice[op] ?? -1)", "place.ops.map((op) => choice[op + 1] ?? -1)",
        PAGE, "recipes are drawn"),
    "page_ends_at_a_name": (
        "src/report/page.cc", "c == '<' ?", "false ?", "report", "Page.*"),
    "verdict_by_half_the_flips": (
        "src/report/verdict.cc", "return flips < level.below;", "return flips / 2 < level.below;", "report", "Verdict.*"),
    "many_places_called_few": (
        "src/report/verdict.cc", "constexpr double kFew = 0.15;", "constexpr double kFew = 1;", "report", "Verdict.*"),
    "nothing_is_little": (
        "src/report/verdict.cc", "return verdict.level == kLevels[0].name;", "return verdict.level.empty();", "report",
        "Verdict.*"),
    "weights_of_all_ops_named": (
        "src/report/verdict.cc", "for (size_t i = 0; i < n; ++i) part +=",
        "for (size_t i = 0; i < ranking.scores.size(); ++i) part +=", "report", "Verdict.*"),
    "returned_to_float_is_what_remains": (
        "src/report/ranked.cc", "group.mode == Mode::leave_one_out ? all - value(score) : value(score)", "value(score)",
        "report", "*"),
    "most_of_the_error_is_nearly_all": (
        "src/report/ranked.cc", "constexpr double kMostOfTheError = 0.8;", "constexpr double kMostOfTheError = 0.95;", "report",
        "Verdict.*"),
    "ratio_of_a_group_upside_down": (
        "src/report/groups.cc", "return group.sum(run.ranking_metric) / sum_of_ops(run, group, run.ranking_metric);",
        "return sum_of_ops(run, group, run.ranking_metric) / group.sum(run.ranking_metric);", "report", "Page.*"),
    "held_out_samples_do_not_judge": (
        "src/report/view.cc", "measured.has(\"held_out\") ? \"held_out\" : \"seen\"", "\"seen\"", "report", "Page.*"),
    "recipes_measured_shown_twice": (
        "src/report/view.cc", "return p.chosen && p.name == measured.name && p.formats == measured.formats;", "return false;",
        "report", "Page.*"),
    "commands_are_not_quoted": (
        "src/report/view.cc", "safe += c == '\\'' ? std::string(\"'\\\\''\") : std::string(1, c);", "safe += c;", "report", "Page.*"),
    "cached_values_not_quantized": (
        "src/quant/quantizers.cc", "x.cols_at(width, width), quantized.cols_at(width, width));",
        "x.cols_at(width, width), quantized.cols_at(width, width));\n"
        "  copy(device, x.cols_at(width, width), quantized.cols_at(width, width));", "quant", "CacheFormats.*"),
    "cache_scale_per_row": (
        "src/quant/quantizers.cc", "symmetric_quantizer(scheme, head_dim, keys)", "symmetric_quantizer(scheme, width, keys)",
        "quant", "CacheFormats.*"),
    "keys_cached_before_rotation": (
        "src/graph/graph.cc",
        "  const Value both = join(k, v);\n"
        "  const Value read = push(Cache{push_op(std::move(op))}, {both.node}, at(both).rows, at(both).cols);\n"
        "  return {columns(read, 0, width), columns(read, width, width)};",
        "  const auto* turn = std::get_if<Rope>(&at(k).operation);\n"
        "  const std::string table = turn == nullptr ? \"\" : turn->cos_sin;\n"
        "  const Value both = join(turn == nullptr ? k : Value{at(k).inputs[0]}, v);\n"
        "  const Value read = push(Cache{push_op(std::move(op))}, {both.node}, at(both).rows, at(both).cols);\n"
        "  const Value keys = columns(read, 0, width);\n"
        "  return {table.empty() ? keys : rope(keys, table), columns(read, width, width)};", "sweep", "CacheScores.Isolated*"),
    "cached_values_in_the_range_of_keys": (
        "src/graph/variants.cc", "ranges_.of(op.cache->values_range) : nullptr", "ranges_.of(op_index) : nullptr", "sweep",
        "CacheScores.Isolated*"),
    "cache_error_of_a_live_pair_left_out": (
        "src/graph/linear_step.cc", "if (run.format == format_) add_error(b, run, e);", ";", "sweep",
        "CacheScores.GroupsAre*"),
    "caches_in_formats_of_linear_ops": (
        "src/sweep/outlook.cc", ".cache.has_value() == format.of_caches;", ".cache.has_value() >= format.of_caches;", "sweep",
        "CacheScores.*"),
    "cache_counts_as_weights": (
        "src/choose/question.cc", "  if (op.cache) return 0;\n", "", "choose", "QuestionOfCaches.*"),
    "caches_of_layers_exported_apart": (
        "src/stacks/refusal.cc", "if (stack(kind).caches_apart) return;", "return;", "stacks", "CacheExports.*"),
    "joined_delta_not_cleared": (
        "src/ops/join.cc", "clear_rows(context.device(), alone, x, other);", ";", "ops", "*join*"),
    "transposed_weight_read_straight": (
        "src/models/weights.cc", ".column_step = s.transposed ? s.outputs : 1}};", ".column_step = 1}};", "models",
        "ExpertLayouts.*"),
    "alternate_columns_as_halves": (
        "src/models/weights.cc", ".row_step = part.every * output_step,", ".row_step = output_step,", "models",
        "ExpertLayouts.*"),
    "projector_not_transposed": (
        "src/models/weights.cc", "{.source = stored, .row_step = 1, .column_step = out}}",
        "{.source = stored, .row_step = in, .column_step = 1}}", "models", "*Families*"),
    "scale_of_the_wrong_block": (
        "src/kernels/unpack-inl.h", "row / s.block_rows * s.scale_columns;", "at / s.block_rows * s.scale_columns;",
        "models", "PackedBy.*"),
    "last_block_forgotten": (
        "src/models/packing.cc", "(n + block - 1) / block", "n / block", "models", "PackedBy.*"),
    "nibbles_in_the_other_order": (
        "src/kernels/unpack-inl.h", "row[c / 2] >> (c % 2 * 4)", "row[c / 2] >> (4 - c % 2 * 4)", "models", "Packed*"),
    "scale_of_scales_ignored": (
        "src/kernels/unpack-inl.h", "if (s.whole == nullptr) return scale;", "if (s.scales != nullptr) return scale;", "models",
        "PackedBy.*"),
    "scale_of_scales_multiplied": (
        "src/graph/stored_weight.cc", ".divided = s.divided,", ".divided = false,", "models", "PackedBy.*"),
    "awq_in_plain_order": (
        "src/kernels/unpack-inl.h", "in_turns ? kPlaces >> (4 * at) & 15u : at", "in_turns ? at : at", "kernels", "*UnpackTest*"),
    "zero_points_of_gptq_as_they_stand": (
        "src/models/packing.cc", 'format == "gptq" ? 1 : 0', "0", "models", "PackedBy.*"),
    "order_of_groups_ignored": (
        "src/graph/stored_weight.cc", ".groups = s.groups ? bytes(parts[3]) : nullptr", ".groups = nullptr", "models", "PackedBy.*"),
    "groups_of_inputs_unchecked": (
        "src/models/packing.cc", "if (group < 0 || group >= groups)", "if (false)", "models", "Packing.Groups*"),
    "rows_of_column_codes_from_the_first": (
        "src/graph/stored_weight.cc", "    ByColumns part = *by_columns;\n    part.first += from;", "    ByColumns part = *by_columns;", "models", "PackedBy.*"),
    "zero_point_ignored": (
        "src/models/packing.cc", "  if (!scheme.symmetric)\n    weight.zeros", "  if (false)\n    weight.zeros", "models",
        "PackedBy.*"),
    "alternate_rows_of_mxfp4_as_halves": (
        "src/models/weights.cc", "scaled.every = part.every;", "scaled.every = 1;", "models", "PackedExperts.*"),
    "shared_part_of_experts_read_twice": (
        "src/graph/graph.cc", "if (part.data == nullptr || std::ranges::none_of(stage_.weights, same))", "", "graph",
        "StoredWeightTest.*"),
    "answer_without_its_end": (
        "src/text/chat.cc", "prompt_.answers.push_back({begin, text.size()});",
        "prompt_.answers.push_back({begin, text.size() - 1});", "text", "Dialects.*"),
    "empty_thoughts_as_answer": (
        "src/text/chat.cc", "if (answer.thoughts.empty()) begin = text.size();", "", "text", "Dialects.*"),
    "dialogue_not_compared": (
        "src/text/chat_format.cc", "if (format.checked_by != nullptr) {", "if (false) {", "text", "ChatFormat.*"),
    "default_system_not_learned": (
        "src/text/chat_format.cc", "if (dialect.system.head.empty()) return std::nullopt;", "return std::nullopt;", "text",
        "ChatFormat.*"),
    "line_break_kept_after_a_block": (
        "src/text/jinja/lexer.cc", "} else if (sign != '+' && takes_line_break", "} else if (false && takes_line_break",
        "text", "ChatTemplates.Run*"),
    "macro_sees_no_globals": (
        "src/text/jinja/evaluate.cc", "inner.push_back(std::move(scopes_.front()));", "inner.emplace_back();", "text",
        "ChatTemplates.Run*"),
    "space_before_every_part": (
        "src/text/tokenizer.cc", "first && offset == 0", "offset == 0", "text", "TokenSamples.*"),
    "characters_before_bytes_forgotten": (
        "src/text/bpe.cc", "if (known != characters_.end()) {", "if (known != characters_.end() && step.bytes == 1) {",
        "text", "TokenSamples.*"),
    "matches_all_to_the_piece_before": (
        "src/text/split.cc", "if (piece.matches && !previous && !joined.empty())", "if (piece.matches && !joined.empty())",
        "text", "TokenSamples.*"),
    "place_of_a_replaced_text_shifted": (
        "src/text/mapped_text.cc", "mapped.add_other(to, at);", "mapped.add_other(to, done);", "text", "TokenSamples.*"),
    "begin_token_twice": (
        "src/text/encode.cc", "for (const Token& token : tokens) encoded.ids.push_back(token.id);",
        "encoded.ids = tokenizer.with_template(tokenizer.encode(prompt.text));", "text", "EncodeSample.Puts*"),
    "smallest_part_dropped": (
        "src/kernels/elementwise-inl.h", "for (int64_t part = count; part-- > 0;) sum",
        "for (int64_t part = count - 1; part-- > 0;) sum", "kernels", "*GemmTest.*"),
    "weights_of_chosen_experts_as_over_all": (
        "src/ops/router.cc", "if (rule.softmax == Softmax::over_chosen) all.resize", "if (false) all.resize", "models",
        "*qwen3_moe*"),
    "flips_of_parents_not_told": (
        "src/graph/variants_experts.cc", "if (!at.known && !dry()) tell_flips(at);", "", "graph", "*ExpertsTest.*"),
    "estimates_that_miss_flips_unflagged": (
        "src/scores/finalize.cc", "everything->flipped_rows.value_or(0) >= kManyFlippedRows", "false", "scores", "Finalize.*"),
    "flipped_row_to_the_parents_experts": (
        "src/graph/variants_experts.cc", "for (const auto& [expert, weight] : change.shares) {",
        "for (const auto& [expert, weight] : before) {", "graph", "*ExpertsTest.*"),
    "weights_of_flipped_rows_stay": (
        "src/graph/variants_experts.cc", "for (const auto& [expert, moved] : change.moved)",
        "for (const auto& [expert, moved] : std::vector<ops::router::Share>())", "graph", "*ExpertsTest.*"),
    "rows_of_leaves_told_as_the_reference": (
        "src/graph/variants_experts.cc", ".own_rows = here.own_rows", ".own_rows = x.rows", "graph", "*ExpertsTest.Rows*"),
    "up_rows_read_as_gate": (
        "src/models/mixture.cc", 'of_gate_up(expert, "up_proj", 1)', 'of_gate_up(expert, "up_proj", 0)', "models",
        "MixtureLayers.*"),
    "stacked_experts_read_straight": (
        "src/models/mixture.cc", "const Stacked all{n_experts_, outputs, inputs, transposed_};",
        "const Stacked all{n_experts_, outputs, inputs, false};", "models",
        "*qwen3_vl_moe*:MixtureLayers.*"),
    "gate_and_up_in_turns_as_halves": (
        "src/models/mixture.cc", "if (in_turns_) its = {", "if (false) its = {", "models", "*gpt_oss*"),
    "experts_without_biases": (
        "src/models/mixture.cc", "if (in_turns_) its.bias", "if (false) its.bias", "models", "*gpt_oss*"),
    "router_without_bias": (
        "src/models/mixture.cc", "if (mixture.biased_in_turns) router.bias", "if (false) router.bias", "models",
        "*Mixtures*gpt_oss*"),
    "up_not_shifted": (
        "src/models/gpt_oss.cc", ".offset = 1", ".offset = 0", "models", "*gpt_oss*"),
    "gate_not_cut_off": (
        "src/kernels/activations-inl.h", "V gate(V x) const { return L::select(x > top(), top(), x); }",
        "V gate(V x) const { return x; }", "ops", "*within*"),
    "gradient_through_the_limit": (
        "src/kernels/activations-inl.h", "V gate_vjp(V x, V g) const { return L::select(x > top(), L::zero(), g); }",
        "V gate_vjp(V, V g) const { return g; }", "ops", "*within*"),
    "sink_left_out": (
        "src/kernels/attention_rows-inl.h", "const float total = of_keys + std::exp(sink - largest);",
        "const float total = of_keys;", "kernels", "*SoftmaxTest*"),
    "sink_moves_with_the_keys": (
        "src/kernels/attention_rows-inl.h", "const float change = of_keys + sink_change(sink, lse, -common);",
        "const float change = of_keys;", "kernels", "*SoftmaxTest*"),
    "cotangents_without_the_sink": (
        "src/kernels/attention_rows-inl.h", "L::set(of_keys - of_sink * common)", "L::set(of_keys)", "kernels",
        "*SoftmaxTest*"),
    "keys_centred_beside_sinks": (
        "src/ops/attention_tile.cc", "if (!spec.sinks.empty()) {", "if (false) {", "ops", "*sinks*"),
    "yarn_amplitude_left_out": (
        "src/models/rope.cc", "number *= rope.amplitude;", "number *= 1;", "models", "Rope.*"),
    "yarn_always_truncated": (
        "src/models/rope.cc", 'if (!r.has("truncate") || r.boolean("truncate")) {', "if (true) {", "models", "Rope.*"),
    "last_answer_ends_as_others": (
        "src/text/chat.cc", "const bool last_answer = message.role == \"assistant\" && index + 1 == count;",
        "const bool last_answer = false;", "text", "Dialects.*"),
    "unreached_expert_keeps_its_layer_float": (
        "src/choose/question.cc", "return has_score(op) || unreached_[op];", "return has_score(op);", "choose",
        "Question.OpsThatNothing*"),
    "unreached_experts_scored_as_zero": (
        "src/sweep/score.cc", "if (never_forked(outlook_, v, told, run)) {", "if (false) {", "sweep",
        "*MixtureScores.*"),
    "small_silu_without_its_curvature": (
        "src/kernels/activations-inl.h", "return L::fma(d * left, one + u, a * rest * left * u);",
        "return L::fma(d * left, one, a * rest * left * u);", "ops", "*DeltaTest*gated_silu*"),
    "parent_without_its_weight_error": (
        "src/graph/linear_step.cc", "view_of(b.y), /*accumulate=*/true);",
        "view_of(b.y), /*accumulate=*/false);", "sweep", "ModesSlow*"),
    "codes_without_their_zero_point": (
        "src/kernels/quantize-inl.h", "sum = sum - zero_point * D::load", "sum = sum + zero_point * D::load",
        "sweep", "SweepSlow.FastAgreesWithStrictW*"),
    "codes_less_nothing": (
        "src/graph/linear_step.cc", "product_of_codes(b.x, b.y, e.f32())", "product_of_codes(b.x, {}, e.f32())",
        "sweep", "SweepSlow.FastAgreesWithStrictW*"),
    "ranges_without_the_head": (
        "src/pass/pass.cc", "if (calibrates_) find_range(op, x);", "if (calibrates_ && false) find_range(op, x);", "sweep",
        "Sweep.RangesAre*"),
    "gram_of_the_last_tile": (
        "src/pass/head.cc", "{.accumulate = true, .purpose = kernels::GemmPurpose::deltas});",
        "{.accumulate = false, .purpose = kernels::GemmPurpose::deltas});", "sweep", "SweepSlow.SquaredErrors*"),
    "kept_beyond_the_peak": (
        "src/tensor/tensor.cc", "while (used_ + kept_ > most_used_) drop(std::prev(free_.end()));", "",
        "tensor", "Tensor.FreedBlocks*"),
    "head_tile_not_planned": (
        "src/pass/walk.cc", "note_peak(head.weight.rows(", "note_peak(0 * head.weight.rows(",
        "pass", "PlanOfText.*"),
    "attention_scratch_not_planned": (
        "src/graph/forward.cc", "scratch_bytes(pass.ops, n.spec, layout, {}, DType::f32));",
        "scratch_bytes(pass.ops, n.spec, {}, {}, DType::f32));", "pass", "Plan.Attention*"),
    "limit_of_the_innermost_group_alone": (
        "src/base/limits.cc", "if (below.empty()) return folders;", "return folders;", "base", "Limits.*"),
    "sections_of_positions_in_turn": (
        "src/models/rope.cc", "axes.insert(axes.end(), static_cast<size_t>(section[axis]), axis);",
        "axes.insert(axes.end(), static_cast<size_t>(section[axis]), (axis + 1) % 3);", "models", "Forward.*"),
    "rope_scaling_ignored": (
        "src/models/rope.cc", "if (wave < shortest) continue;", "if (wave < shortest || wave > 0) continue;", "models",
        "*Families*"),
    "sliding_window_ignored": (
        "src/models/text_config.cc", ".window = windows[static_cast<size_t>(layer)]", ".window = 0", "models",
        "*Families*"),
    "query_norm_missing": (
        "src/models/qwen3.cc", 's.head_norm(s.linear(h, "self_attn.q_proj", c.q_size()), "self_attn.q_norm", c.head_dim,',
        's.head_norm(s.linear(h, "self_attn.q_proj", c.q_size()), "self_attn.k_norm", c.head_dim,', "models",
        "*Families*"),
    "gelu_of_another_tower": (
        "src/models/qwen2_vl/model.cc", "Kind::quick_gelu", "Kind::gelu_tanh", "models", "*Families*"),
    "proxy_one_block_off": (
        "src/compare/transfer.cc", "(2 * *op.block + 1) * blocks_", "(2 * *op.block + 2) * blocks_", "compare",
        "Transfer.*"),
    "deepstack_layer_off_by_one": (
        "src/models/qwen3_vl/model.cc", "add_features(model, c.text, i);",
        "add_features(model, c.text, i > 0 ? i - 1 : i);", "models", "*Families*"),
    "post_norms_skipped": (
        "src/models/gemma3.cc", 'norm(s, c, h, "post_feedforward_layernorm")',
        '(norm(s, c, h, "post_feedforward_layernorm"), h)', "models", "*Families*"),
    "embedding_scale_left_out": (
        "src/models/gemma3.cc", "s.scale(embedded, rounded_to(stored, scale))", "s.scale(embedded, rounded_to(stored, scale) / scale)",
        "models", "*Families*"),
    "break_tokens_left_out": (
        "src/models/mistral3/model.cc", 'row + 1 < grid.h / merge_ ? "[IMG_BREAK]" : "[IMG_END]"',
        'row + 1 < grid.h / merge_ ? "" : "[IMG_END]"', "sweep", "*FamilyScores*"),
    "image_tokens_causal": (
        "src/models/gemma3/model.cc", "inputs.spans[kImageSpans] = image_spans(inputs.token_ids);",
        "inputs.spans[kImageSpans] = {};", "models", "*Families*"),
    "window_order_not_undone": (
        "src/models/qwen2_5_vl/model.cc", "s.output(kImageFeatures, s.gather(h, kWindowRestore));",
        "s.output(kImageFeatures, h);", "models", "Forward.*"),
    "full_attention_windowed": (
        "src/models/qwen2_5_vl/model.cc", "full ? qwen_vl::kImages : kWindows", "full ? kWindows : kWindows",
        "models", "Forward.*"),
    "qkv_bias_dropped": (
        "src/models/qwen2.cc", 's.linear(h, "self_attn.q_proj", c.q_size(), Bias::added)',
        's.linear(h, "self_attn.q_proj", c.q_size())', "models", "Forward.*"),
    "gate_and_up_swapped": (
        "src/models/assembly.cc", "s.gated(gate, up, ", "s.gated(up, gate, ", "models", "Forward.*"),
    "causal_mask_dropped": (
        "src/models/text_config.cc", ".causal = true", ".causal = false", "models", "Forward.*"),
    "round_half_up": (
        "src/kernels/lanes-inl.h", "return hn::Round(x); }  // half to even",
        "return hn::Floor(x + set(T{0.5})); }", "quant", "*"),
    "small_float_ties_the_wrong_way": (
        "src/kernels/quantize-inl.h", "L::set(std::ldexp(1.5f, 23", "L::set(std::ldexp(1.5000001f, 23", "quant", "*"),
    "short_last_group_merged": (
        "src/kernels/quantize-inl.h", "const int64_t groups = groups_of(x.cols, q.group);",
        "const int64_t groups = std::max(int64_t{1}, x.cols / q.group);", "quant", "*"),
    "mx_exponent_rounded": (
        "src/kernels/quantize-inl.h", "L::larger(L::binade(absmax) * down, least)",
        "L::larger(L::binade(absmax * L::set(1.4142135f)) * down, least)", "quant", "*"),
    "tensor_scale_ignored": (
        "src/kernels/quantize-inl.h", "tensor_absmax(q) / (q.high * kE4M3.max);", "1.0f;", "quant", "*"),
    "slices_with_a_range_of_their_own": (
        "src/quant/quantizers.cc", "if (given != nullptr || !needs_weight_range(format)) return;",
        "if (!needs_weight_range(format)) return;", "quant", "*"),
    "subnormal_small_floats_flushed": (
        "src/kernels/quantize-inl.h", "return (inside + shift) - shift;",
        "return L::select(L::abs(inside) < L::set(std::ldexp(1.0f, format.min_exponent)), L::zero(), (inside + shift) - shift);",
        "quant", "*"),
    "zero_point_off_by_one": (
        "src/kernels/quantize-inl.h", "std::nearbyint(-low / scale)", "std::nearbyint(-low / scale) + 1", "quant", "*"),
    "int8_codes_as_if_not_shifted": (
        "src/kernels/quantize-inl.h", "found.zero_point + affine_shift(from.affine_codes)", "found.zero_point", "kernels",
        "*QuantizeTest.Dequantize*"),
    "numbers_for_the_host_overwritten": (
        "src/kernels/deferred.cc", "if (used_ + bytes > memory_.size_bytes()) settle();",
        "if (used_ + bytes > memory_.size_bytes()) used_ = 0;", "kernels", "Deferred.*"),
    "sides_rounded_down": (
        "src/image/size.cc", "((side - 1) / unit + 1) * unit", "std::max(side / unit, int64_t{1}) * unit", "image",
        "FitLongestEdge.*"),
    "bilinear_not_widened_when_shrinking": (
        "src/image/resize.cc", "kernel.support * widening", "kernel.support * (kernel.support > 1 ? widening : 1)", "image",
        "Resize.*"),
    "bilinear_rows_always_first": (
        "src/image/resize.cc", "rows_lost > 0 && rows_lost > 2 * columns_lost", "false", "image", "Resize.*"),
    "pixels_rescaled_in_f32": (
        "src/image/patches.cc", "static_cast<float>(u8 * processor.rescale_factor)",
        "static_cast<float>(u8) * static_cast<float>(processor.rescale_factor)", "image", "Patches.PixelValuesOfEvery*"),
    "raster_in_merged_units": (
        "src/image/patches.cc", "processor.patch_order == PatchOrder::merged_units ? processor.merge_size : 1",
        "processor.merge_size", "image", "Patches.PixelValuesOfEvery*"),
    "merging_of_the_processor_ignored": (
        "src/image/processor_rows.cc", 'p.merge_size = read_same(whole, "spatial_merge_size"',
        'read_same(whole, "spatial_merge_size"', "image", "PixtralConfig.*"),
    "rows_that_wait_not_counted": (
        "src/image/resize.cc", "max_open() * (open_row_bytes + kBlockBytes)", "open_row_bytes", "image", "ImageMemory.*"),
    "fork_at_the_wrong_op": (
        "src/graph/variants.cc", "forks(b, op, node.rows, dx)", "forks(b, op > 0 ? op - 1 : 0, node.rows, dx)", "sweep", "Oracle*"),
    "neighbours_rows": (
        "src/graph/value.cc", ".parent = batch.first_row(out.kind, sample),",
        ".parent = batch.first_row(out.kind, sample > 0 ? sample - 1 : 0),", "sweep", "Sweep.NoSampleLeaks*"),
    "weight_error_left_out": (
        "src/graph/linear_step.cc", "product(rounded.view, weight_error(), error, changes_input());", "product(rounded.view, weight_error(), error, false);", "sweep", "Oracle*"),
    "old_keys_in_attention": (
        "src/ops/attention.cc", "{run.has(input) ? run.in[i]", "{run.has(input) && input == 2 ? run.in[i]",
        "ops", "*ttention*"),
    "rms_norm_vjp_mean_term_dropped": (
        "src/kernels/norm-inl.h", "scale_x = L::set(-projection /", "scale_x = L::set(0 * projection /",
        "ops", "VjpTest.*rms_norm*"),
    "rms_norm_vjp_sign": (
        "src/kernels/norm-inl.h", "scale_x = L::set(-projection /", "scale_x = L::set(projection /",
        "ops", "VjpTest.*rms_norm*"),
    "tokens_left_out_of_a_scattered_delta": (
        "src/kernels/row_moves-inl.h", "row_or_null<T>(x, b.in[0], r)", "row_or_null<T>(x, kAbsent, r)", "ops",
        "*DeltaTest*scatter*"),
    "tokens_cotangent_where_features_stand": (
        "src/ops/scatter.cc", "from == kernels::kAbsent ? std::ssize(kept) : kernels::kAbsent", "std::ssize(kept)", "ops",
        "VjpTest.*scatter*"),
    "mean_of_other_rows": (
        "src/kernels/row_moves-inl.h", "factor * r + k), at);", "r + k), at);", "ops", "*DeltaTest*mean*"),
    "merged_rows_swapped_on_the_way_back": (
        "src/kernels/row_moves-inl.h", "+ r % factor, factor,", "+ (r + 1) % factor, factor,", "ops", "VjpTest.*merge*"),
    "convolution_reads_later_tokens": (
        "src/kernels/causal_conv-inl.h", "x.row(row + step * j)", "x.row(row - step * j)", "ops", "OpTest.*causal_conv*"),
    "convolution_reads_the_sequence_before": (
        "src/kernels/causal_conv-inl.h", "position[b.parent + r] + 1;", "r + 1;", "ops", "OpTest.*causal_conv*"),
    "delta_rule_parent_stands_still": (
        "src/kernels/delta_rule-inl.h", "        parent.step(t, update, at);\n", "", "ops", "DeltaTest*delta_net*"),
    "delta_rule_decay_without_change": (
        "src/kernels/delta_rule-inl.h", "more = L::set(g.d_decay);", "more = L::set(0 * g.d_decay);", "ops",
        "DeltaTest*delta_net*"),
    "delta_rule_beta_without_change": (
        "src/kernels/delta_rule-inl.h", "L::fma(L::set(g.d_beta), error,", "L::fma(L::set(0 * g.d_beta), error,", "ops",
        "DeltaTest*delta_net*"),
    "delta_rule_softplus_cancels": (
        "src/kernels/delta_rule_parts-inl.h", "if (std::fabs(d) > 1) return softplus(x + d) - softplus(x);",
        "if (d != 0) return static_cast<float>(softplus(x + d)) - static_cast<float>(softplus(x));", "ops",
        "DeltaTest*delta_net*"),
    "delta_rule_vjp_keeps_what_was_updated": (
        "src/kernels/delta_rule_vjp-inl.h", "L::load(row, whole(at)) - L::set(key[i]) * d_value;", "L::load(row, whole(at));",
        "ops", "VjpTest.*delta_net*"),
    "delta_rule_vjp_one_head_of_a_group": (
        "src/kernels/delta_rule_vjp-inl.h", "V of_key = L::load(dk + t * rule.key_dim, at);\n      for", "V of_key = L::zero();\n      for",
        "ops", "VjpTest.*delta_net*"),
    "rms_norm_offset_ignored": (
        "src/kernels/norm-inl.h", "return L::load(w, at) + L::set(offset);", "return L::load(w, at) + L::set(0 * offset);",
        "ops", "*DeltaTest*rms_norm*one_plus*"),
    "rms_norm_groups_in_one": (
        "src/kernels/norm-inl.h", "body(part, group * n);", "body(part, 0 * group);", "ops", "OpTest.*rms_norm*groups*"),
    "layer_norm_mean_left_in_the_delta": (
        "src/kernels/norm-inl.h", "mean_change = mean_of(n, dx), count", "mean_change = 0 * mean_of(n, dx), count", "ops",
        "*DeltaTest*layer_norm*"),
    "layer_norm_vjp_mean_term_dropped": (
        "src/kernels/norm-inl.h", "const V shift = L::set(total / count)", "const V shift = L::set(0 * total / count)",
        "ops", "VjpTest.*layer_norm*"),
    "silu_slope_sign": (
        "src/kernels/activations-inl.h", "L::fma(x * G::slope(x), rest, L::set(1))",
        "L::fma(x * G::slope(x), L::zero() - rest, L::set(1))", "ops", "VjpTest.*gated_silu*"),
    "rotation_not_turned_back": (
        "src/kernels/elementwise.cc", "QSWEEP_KERNEL_OF(RotateDelta), cos_sin, -1.0f, dy, dx);",
        "QSWEEP_KERNEL_OF(RotateDelta), cos_sin, 1.0f, dy, dx);", "pass", "F64Backward.Gradients*"),
    "attention_keys_not_transposed": (
        "src/ops/attention_vjp.cc", "std::swap(x.strides.end()[-1], x.strides.end()[-2]);", "",
        "ops", "VjpTest.*attention*"),
    "attention_groups_not_summed": (
        "src/ops/attention_vjp.cc", "accumulate || head > 0);", "accumulate);", "ops", "VjpTest.*attention*"),
    "softmax_vjp_mean_dropped": (
        "src/kernels/attention_rows-inl.h", "((L::load(dp, at) - shift) - mean) * factor",
        "((L::load(dp, at) - shift) - L::zero() * mean) * factor", "kernels", "*Cotangents*"),
    "softmax_vjp_cancels": (
        "src/kernels/attention_rows-inl.h", "const float common = of_sink > p[argmax] ? 0 : dp[argmax];",
        "const float common = 0 * dp[argmax];", "kernels", "*Cotangents*"),
    "cotangent_overwritten_instead_of_added": (
        "src/graph/backward.cc", "  if (sum.empty()) {\n    sum = std::move(contribution);",
        "  if (true) {\n    sum = std::move(contribution);", "graph", "Backward.*"),
    "window_off_by_one": (
        "src/ops/attention_tile.cc", "first_query - window_ + 1)", "first_query - window_)", "ops",
        "OpTest.ForwardMatchesF64/attention_*window*"),
    "spans_ignored": (
        "src/ops/attention_tile.cc", "spans_.push_back(keys);", "", "ops", "OpTest.ForwardMatchesF64/attention_*span*"),
    "touching_spans_merged": (
        "src/ops/attention_tile.cc", "spans_.push_back(keys);",
        "if (!spans_.empty() && spans_.back().to == keys.from) spans_.back().to = keys.to; else spans_.push_back(keys);",
        "ops", "OpTest.ForwardMatchesF64/attention_*span*"),
    "changed_keys_from_the_segments_first": (
        "src/ops/attention.cc", ".parent = r.tile.first_key,", ".parent = 0,", "ops", "DeltaTest*attention_*window*"),
    "sums_of_a_window_not_begun": (
        "src/ops/attention_vjp.cc", "const bool begins_sums = seen.to - seen.from == segment.rows;",
        "const bool begins_sums = seen.to == segment.rows;", "ops", "VjpTest*attention_*window*"),
    "spans_not_moved_with_their_sample": (
        "src/graph/batch.cc", "first_row(Rows::tokens, static_cast<int64_t>(i)) + span.first", "span.first",
        "graph", "*SeenTokens*"),
    "shared_cotangent_changed_in_place": (
        "src/graph/backward.cc", "return g.block.use_count() > 1;", "return g.block.use_count() > 9;",
        "graph", "Backward.*"),
    "probes_not_apart": (
        "src/ops/probes.h", ".in = {k * in_rows,", ".in = {0 * k * in_rows,", "ops", "VjpTest.*"),
    "element_form_squared_after_the_sum": (
        "src/pass/probe_pass.cc", "products.element += squares[static_cast<size_t>(r)];",
        "products.element += sum * sum + 0 * squares[static_cast<size_t>(r)];", "sweep", "ModelOpt.Gradient*"),
    "fork_of_a_live_pair_left_out": (
        "src/graph/variants.cc", "pair >= 0 && pair < first_without_rows;",
        "pair >= 0 && first_without_rows >= 0;", "sweep", "ModelOpt.Kl*"),
    "stored_rows_run_together": (
        "src/quant/format.cc", "scheme.in_stored_rows = true;", "scheme.in_stored_rows = false;", "sweep",
        "ModelOpt.*Images"),
    "inc_weight_by_division": (
        "src/inc/quantized.cc", "round_code(w.row(row)[c] * inverse)",
        "round_code(inverse > 0 ? w.row(row)[c] / scale[static_cast<size_t>(row)] : 0)", "inc", "Inc.*"),
    "inc_output_not_requantized": (
        "src/inc/quantized.cc", "std::clamp(round_code(scaled) + zero", "std::clamp(scaled + zero", "inc", "Inc.*"),
    "inc_embedding_left_float": (
        "src/inc/pass.cc", "if (!quantizes(variant, input_.reached.embedding))",
        "if (node.cols > 0 || !quantizes(variant, input_.reached.embedding))", "inc", "IncMaps.*"),
    "inc_zero_point_ignored": (
        "src/inc/quantized.cc", "0.0f, kMaxCode) - zero, codes.row(row) + c);", "0.0f, kMaxCode), codes.row(row) + c);",
        "inc", "Inc.*"),
    "inc_sums_not_cut": (
        "src/inc/quantized.cc", "if (most * static_cast<int64_t>(kMaxCode) <= kExactSum) continue;",
        "if (most >= 0) continue;", "inc", "Inc.*"),
    "inc_requantize_not_cumulative": (
        "src/inc/pass.h", "at != position : at <= position;", "at != position : at == position;", "inc", "IncMaps.*"),
    "unmeasured_metric_as_number": (
        "src/scores/schema_parts.cc", "if (!m.measured.has({which, scope})) continue;", "", "scores", "Measured.*"),
    "joint_error_without_kappa": (
        "src/scores/joint.cc", "(*joint.kappa - 1)", "(*joint.kappa * 0)", "scores", "Joint.*"),
    "compare_names_not_matched": (
        "src/scores/op_names.cc", "if (name.starts_with(theirs))", "if (theirs.empty() && name.starts_with(theirs))",
        "compare", "*"),
    "compare_groups_not_summed": (
        "src/compare/match.cc", "unit.run_score += score->second;", "unit.run_score = score->second;", "compare", "*"),
    "inc_fallback_not_reversed": (
        "src/compare/other.cc", "ranking.smallest_first = fallback;", "ranking.smallest_first = false;",
        "compare", "*"),
    "kendall_ignores_ties": (
        "src/base/stats.cc", "untied_y += sy != 0;", "untied_y += 1;", "base", "Stats.*"),
    "leaf_back_in_float_keeps_the_error": (
        "src/graph/linear_step.cc", "if (run.format != format_) subtract_error(b, run, e);", "(void)run;",
        "sweep", "ModesSlow.LeavesEqual*"),
    "leave_one_out_sign": (
        "src/graph/linear_step.cc", "kernels::subtract_parent(device(), fork.blocks, b.dy, e.f32(), b.dy);",
        "kernels::add_to_parent(device(), fork.blocks, e.f32(), {}, b.dy);", "sweep", "ModesSlow.LeavesEqual*"),
    "activations_of_leaves_not_quantized": (
        "src/graph/linear_step.cc", "if (!changes_input()) return product(dx,",
        "if (format_ != nullptr) return product(dx,", "sweep", "ModesSlow.LeavesWith*"),
    "live_pairs_do_not_fork_again": (
        "src/graph/variants.cc", "pair >= 0 && pair < first_without_rows;", "pair >= 0 + 0 * first_without_rows;",
        "sweep", "ModesSlow.LeavesEqual*"),
    "leaves_unreached_by_a_sample_are_unchanged": (
        "src/pass/head.cc", "for (const VariantId leaf : b.leaf_ids) sinks.metrics(leaf,",
        "for (const VariantId leaf : std::vector<VariantId>{}) sinks.metrics(leaf,", "sweep", "ModesSlow.LeavesEqual*"),
    "probe_reused_across_samples": (
        "src/pass/probe_rows.cc", "int64_t{streams.sample_index[static_cast<size_t>(sample)]}, t})", "int64_t{0}, t})",
        "sweep", "Estimate.EverySample*"),
    "sketch_without_its_projection": (
        "src/pass/head_sketch.cc", "if (which_ == Which::kl)\n        a -=", "if (false)\n        a -=", "pass", "Head.*"),
    "sketch_of_shifted_changes": (
        "src/pass/head_sketch.cc", "kl ? sums : std::span<const LogitsSums>()", "std::span<const LogitsSums>()", "pass",
        "Head.*"),
    "interactions_of_prompts_too": (
        "src/scores/sketches.cc", "if (scope == Scope::all || answers_", "if (true || answers_", "scores", "Sketches*"),
    "sketches_in_no_plan": (
        "src/sweep/score.cc", "return sketch_bytes() + summed", "return summed", "cli", "MemorySlow.Sketches"),
    "scales_rounded_up_at_the_edge_too": (
        "src/kernels/quantize-inl.h", "absmax > binade * mantissa", "absmax >= binade * mantissa", "quant", "*"),
    "pairs_of_changes_counted_once": (
        "src/choose/difference.cc", "if (other != op)", "if (other > op)", "choose", "DifferenceOfRecipes.*"),
    "change_corrected_as_the_first": (
        "src/choose/difference.cc", "(sum_of_growth(a_) + sum_of_growth(b_)) / 2)", "sum_of_growth(a_))", "choose",
        "DifferenceOfRecipes.*"),
    "recipes_compared_without_sketches": (
        "src/cli/compare_recipes.cc", "compare::interactions_of(scored, run, by, Threads{usable_processors()})",
        "std::nullopt", "cli", "CompareRecipes.*"),
    "stack_not_asked": (
        "src/cli/recipe_flags.cc", "  wishes.refusal = refusal_of(flags, run);\n", "", "cli", "RecipeCommand.*"),
    "probe_reused_across_positions": (
        "src/pass/probe_rows.cc", "[static_cast<size_t>(sample)]}, t})", "[static_cast<size_t>(sample)]}, 0 * t})",
        "sweep", "EstimateSlow.ManyProbes*"),
    "kl_not_halved": (
        "src/sweep/estimate.cc", "metric.which == Which::kl ? 0.5 : 1.0", "metric.which == Which::kl ? 1.0 : 1.0",
        "sweep", "EstimateSlow.ManyProbes*"),
    "fisher_probe_not_centred": (
        "src/kernels/probes-inl.h", "root * (L::signs(word, at) - root * projection)",
        "root * (L::signs(word, at) - L::zero() * projection)",
        "kernels", "*Fisher*"),
    "bf16_deltas_read_as_f32": (
        "src/kernels/elementwise-inl.h", "    run(narrow, wide);", "    run(wide, wide);", "cli", "Modes.LeaveOneOut"),
    "cumulative_statistics_of_another_op": (
        "src/sweep/score.cc", "overrides.front().op != run.scores[target.index].op", "overrides.empty()",
        "cli", "Modes.RequantizeCumulative"),
    "calibration_images_left_out_of_the_identity": (
        "src/cli/identity.cc", "data_files(flags.calib, engine.calibration, flags.allow_outside)}", "data_files(flags.calib, {}, {})}", "cli",
        "OtherFiles.AreNamed*"),
    "images_of_one_name_taken_for_one": (
        "src/cli/identity.cc", "valid_utf8(relative.empty() ? image : relative);", "valid_utf8(relative);", "cli",
        "OtherFiles.ImagesByAbsolutePaths*"),
    "identity_without_the_instruction_set": (
        "src/cli/identity.cc", 'machine["isa"] = kernels::isa_name();', "", "cli", "BadResume.AnotherInstructionSet"),
    "identity_without_onednn": (
        "src/cli/identity.cc", 'machine["oneDNN"] = kernels::onednn_version();', "", "cli",
        "OtherFiles.SlowEverythingElse*"),
    "recipes_left_out_of_the_identity": (
        "src/cli/identity.cc", "recipe_files(recipes)", "recipe_files({})", "cli", "BadResume.OtherRecipes"),
    "outputs_compared_by_their_names": (
        "src/cli/outputs.cc", "if (stat(path.c_str(), &file) == 0)", "if (path.empty() && stat(path.c_str(), &file) == 0)",
        "cli", "Outputs.UnderAnyOtherName"),
    "signals_not_checked": (
        "src/cli/job.h", "    interruption_.check();\n", "", "cli", "KilledSlow.BySignals"),
    "patterns_of_other_layouts_first": (
        "src/scores/op_names.cc", "if (std::ranges::find(matching, true) != matching.end()) return matching;", "", "scores",
        "Names.Patterns*"),
    "float_members_of_a_group_not_seen": (
        "src/scores/eval.cc", 'groups[*op.fusion_group][op.name] = format == recipe.ops.end() ? "float" : format->second;',
        'if (format != recipe.ops.end()) groups[*op.fusion_group][op.name] = format->second;', "cli", "Jobs.RecipesThat*"),
    "limits_that_nan_keeps": (
        "src/cli/eval.cc", "if (!(value <= limit.value))", "if (value > 1e300)", "cli", "FailAbove.HasAn*"),
    "earlier_rules_win": (
        "src/recipe/recipe.cc", "      formats[op] = rule.format;",
        "      if (formats[op] == nullptr) formats[op] = rule.format;", "recipe", "*"),
    "names_of_the_other_checkpoint_layout": (
        "src/scores/op_names.cc", 'moved("model.", "model.language_model.")', 'moved("model.", "model.")', "stacks",
        "Export.OfEveryKind*"),
    "a_module_left_out": (
        "src/stacks/compressed_tensors.cc", "if (choice.formats[op] == &format) targets",
        "if (choice.formats[op] == &format && op != 40) targets", "stacks", "Export.OfEveryKind*"),
    "ignore_list_without_the_head": (
        "src/stacks/stacks.cc", "if (formats[op] == nullptr && is_module(op)) modules",
        "if (formats[op] == nullptr && is_module(op) && place_of(model.ops[op]) != Place::head) modules", "stacks",
        "Export.Names*"),
    "split_groups_exported": (
        "src/stacks/refusal.cc", "(splits ? findings.warnings : findings.refusals)", "findings.warnings", "stacks",
        "Refusal.OfSplit*"),
    "columns_that_no_group_divides": (
        "src/stacks/refusal.cc", "op.in_features % expression.in_multiple != 0", "op.in_features < 0", "stacks",
        "Refusal.OfShapes"),
    "tied_head_exported": (
        "src/stacks/refusal.cc", "if (model.tied_embeddings) return std::string(stack.head_reason);",
        "if (model.tied_embeddings) return std::nullopt;", "stacks", "Refusal.OfTheHead"),
    "first_entry_of_modelopt_wins": (
        "src/stacks/read_modelopt.cc", "if (!attributes.is_null()) to.last_attributes = attributes;",
        "if (!attributes.is_null() && to.last_attributes == untouched().attributes) to.last_attributes = attributes;",
        "stacks", "Import.*"),
    "expressions_of_compressed_tensors_anywhere": (
        "src/stacks/read_compressed_tensors.cc", "return Pattern(text.substr(kPattern.size()), true);",
        "return Pattern(text.substr(kPattern.size()), false);", "stacks", "Import.*"),
    "classes_before_names": (
        "src/stacks/read_compressed_tensors.cc", "return text_ == class_of(op) ? 2 : -1;",
        "return text_ == class_of(op) ? 0 : -1;", "stacks", "Import.*"),
    "scales_left_out_of_the_bits": (
        "src/choose/question.cc", "quant::effective_weight_bits(*format, op.in_features)",
        "static_cast<double>(quant::facts(format->weights.codec).bits)", "choose", "Question.Bits*:Spectrum.TheBudget*"),
    "fusion_group_split": (
        "src/scores/grouping.cc", "if (group && grouping != Grouping::op) {", "if (false) {", "choose", "Question.*"),
    "measured_group_ignored_by_the_choice": (
        "src/choose/question.cc", "groups = scores::take_groups(measured->second, left);", "groups.clear();", "choose",
        "Question.AMeasured*"),
    "measured_group_beside_its_ops": (
        "src/scores/grouping.cc", "for (const std::string& op : groups[i]) ops.erase(op);", "", "scores", "Groups.*"),
    "parts_of_a_group_as_the_group": (
        "src/scores/grouping.cc", "return ops.contains(op); }))", "return ops.contains(op) || true; }))", "scores",
        "Groups.*"),
    "group_of_its_first_op": (
        "src/sweep/outlook.cc", "for (const int op : reached) overrides.push_back({op, &format});",
        "overrides.push_back({reached.front(), &format});", "sweep", "GroupsSlow.AreTheRecipes*"),
    "group_with_ops_that_are_skipped": (
        "src/sweep/outlook.cc", "if (!selects_all(group)) return Status::skipped;", "", "sweep", "Groups.HaveAStatus*"),
    "sketch_of_a_group_in_the_place_of_a_score": (
        "src/sweep/score.cc", "? part_of_group(run, target.index) : target.index;", "? target.index : target.index;", "sweep",
        "Groups.HaveSketches*"),
    "group_verified_as_a_score": (
        "src/sweep/outlook.cc", "target.kind != Target::Kind::score ||", "", "sweep", "Groups.TakeNoPart*"),
    "held_out_samples_in_groups": (
        "src/scores/sketches.cc", "keep_samples(run.groups[i], sketches, part_of_group(run, i), samples);", "(void)i;",
        "scores", "Groups.HaveSketches*"),
    "live_leaf_quantized_without_its_error": (
        "src/graph/linear_step.cc", "if (run.format == format_) add_error(b, run, e);", "(void)run;", "graph",
        "Variants.LeavesOfTheReferenceWith*"),
    "squares_of_a_quantized_head_by_its_floats": (
        "src/pass/head.cc", "branch.is_reference() &&\n                         in_float &&",
        "branch.is_reference() &&", "sweep", "GroupsSlow.OfSquared*"),
    "fix_ignored": (
        "src/choose/question.cc", "if (matching[op] && is_for(op)) fix_of_[op] = &fix;",
        "if (matching[op] && is_for(op)) fix_of_[op] = nullptr;", "choose", "Question.Fix*"),
    "pairs_within_a_decision_forgotten": (
        "src/choose/question.cc", "choice.error += interactions->pairs(choice.scores);", "", "choose", "Question.Pairs*"),
    "pairs_counted_once": (
        "src/scores/interactions.cc", "return 2 * once;", "return once;", "scores", "Interactions.*"),
    "budget_exceeded_by_pairs_of_moves": (
        "src/choose/descent.cc", "bits_ + all[i].bits + all[j].bits <= budget_", "bits_ + all[i].bits <= budget_", "choose",
        "Solve.Candidates*:Solve.TheEnds*"),
    "core_without_the_bits_left_over": (
        "src/choose/program.cc", "cost <= most)", "cost <= 0.3 * most)", "choose", "Solve.TheSum*"),
    "wrong_sign_in_the_refit": (
        "src/choose/refit.cc", "share(problem, rows[i], d) * weight[i] / kRidge;",
        "-share(problem, rows[i], d) * weight[i] / kRidge;", "choose", "Refit.*"),
    "refit_in_sums_of_other_samples": (
        "src/choose/refit.cc", "measured.per_position(i) * static_cast<double>(problem.positions())",
        "measured.per_position(i) * measured.positions.front()", "choose", "Refit.*"),
    "held_out_samples_choose": (
        "src/choose/verdict.cc", "if (std::ranges::find(held_out, s) == held_out.end()) others.push_back(s);",
        "others.push_back(s);", "choose", "Verdict*"),
    "held_out_samples_teach": (
        "src/sweep/recipe_search.cc", "choose::refit(problem_, seen(b))", "choose::refit(problem_, results_[b].measured)", "sweep", "RecipeSearchSlow.*"),
    "held_out_samples_in_the_scores": (
        "src/cli/recipe_measure.cc",
        "choose::other_samples(samples, measured_on_.held_out)", "choose::other_samples(samples, {})", "cli", "RecipeMeasure.*"),
    "search_measures_again": (
        "src/sweep/recipe_search.cc", "solving.skip.push_back(recipe.selection);", "static_cast<void>(recipe);",
        "sweep", "RecipeSearchSlow.*"),
    "pick_of_the_least_measured": (
        "src/choose/pick.cc", "return mean <= kToldApart * standard_error;", "return mean <= 0 * standard_error;", "choose",
        "Pick.*"),
    "additive_candidate_dropped": (
        "src/choose/solve.cc", "    found.best.push_back(candidate_of(problem, additive));\n",
        "    found.best.push_back(candidate_of(problem, found.best.front().selection));\n", "choose",
        "Solve.*:SpacesSlow.*"),
    "local_by_a_metric": (
        "src/sweep/estimate.cc", "    records[i].measured = scores::Measured::none();\n    if (!wanted_[i]) continue;",
        "    if (!wanted_[i]) continue;\n    records[i].measured = scores::Measured::none();",
        "cli", "*Methods.*"),
    "span_time_counted_twice": (
        "src/base/trace.cc", "account.self_s += total_s - span.inside_s_;", "account.self_s += total_s;", "base", "Trace.*"),
    "inner_phase_taken": (
        "src/base/trace.cc", "if (phase_ == 0 && std::string_view", "if (phase_ != SIZE_MAX && std::string_view", "base",
        "Trace.*"),
    "trace_keeps_every_span": (
        "src/base/trace.cc", "events_per_limit_ == 0) shortest_ *= 2;", "events_per_limit_ == 0) shortest_ *= 1;",
        "base", "Trace.*"),
    "trace_error_swallowed": (
        "src/base/trace.cc", "if (error_) std::rethrow_exception(error_);", "", "base", "Trace.*"),
    "products_rows_of_unreached_samples": (
        "src/schedule/work.cc", "if (sample.rows.by_kind[k] > 0)", "if (sample.rows.by_kind[k] >= 0)", "schedule", "Work.*"),
    "experts_counted_with_all_rows": (
        "src/schedule/work.cc", "place.share = static_cast<double>(mixture->rule.chosen) / static_cast<double>(all);",
        "place.share = 1;", "sweep", "*ProductsAreThose*"),
    "forks_live_at_other_experts": (
        "src/schedule/work.cc", "auto& left = place.mixture == mixture ? beside : before;", "auto& left = before;", "sweep",
        "*ProductsAreThose*"),
    "rate_by_arithmetic_instead_of_time": (
        "src/sweep/rate.cc", "seconds += product.shape.flops / product.flops_per_s;",
        "seconds += flops / product.flops_per_s;", "sweep", "Rate.*"),
    "short_work_listed_twice": (
        "src/report/time.cc", "    listed_s += entry.seconds;", "", "report", "Time.*"),
    "first_block_stands_for_others": (
        "src/sweep/outlook.cc", "= ops[ops.size() / 2];", "= ops[0];", "sweep", "Coarse*"),
    "representative_outside_the_choice": (
        "src/sweep/outlook.cc", "statuses[op] != Status::ok || !linear.block", "!linear.block", "sweep", "Coarse*"),
    "blocks_of_both_towers_together": (
        "src/sweep/outlook.cc", "runs[{linear.tower, linear.role, run}]", "runs[{linear.tower, \"\", run}]", "sweep", "Coarse*"),
    "spread_score_keeps_its_method": (
        "src/scores/finalize.cc", "    score.method = representative.method;\n", "", "scores", "Finalize.Spread*"),
    "spread_from_anything": (
        "src/scores/schema_check.cc", "  check_representatives(run, where);", "", "scores", "Schema.*"),
    "ranks_out_of_order_are_read": (
        "src/scores/schema_check.cc", "    check_ranks(run, group, where);", "", "scores", "Schema.*"),
    "negative_sums_are_read": (
        "src/scores/schema_parts.cc", "(!is_signed && sum <", "(false && sum <", "scores", "Schema.*"),
    "ranked_anew_by_the_old_reliability": (
        "src/scores/finalize.cc", "    if (!same_kind) r.by_scope = {};", "", "scores", "RankBy.*"),
    "answers_predicted_from_all_positions": (
        "src/scores/joint.cc", "JointModel::from_run(run, metric);", "JointModel::from_run(run, {metric.which, Scope::all});",
        "scores", "Eval.*"),
    "scopes_agree_whatever_the_top": (
        "src/report/scopes.cc", "kLeastInCommon = 0.7", "kLeastInCommon = 0", "report", "Scopes.*"),
    "formats_fit_whatever_they_are": (
        "src/compare/fit.cc", "ours != theirs;", "false;", "compare", "Fit.*"),
    "verified_with_the_runs_own_deltas": (
        "src/sweep/score.cc", "exactly(in_f32(setting_), records)", "exactly(setting_, records)", "sweep",
        "VerifySlow.*"),
    "leaves_of_other_scores_selected": (
        "src/sweep/outlook.cc", "std::ranges::count(records, target.index) == 0;", "std::ranges::count(records, target.index) < 0;", "sweep", "Verify.Leaves*"),
    "verified_tops_of_one_format": (
        "src/sweep/verify.cc", "places.emplace_back(place, members", "places.emplace_back(places.size(), members", "sweep",
        "Verify.*"),
    "verification_ignores_the_seed": (
        "src/sweep/verify.cc", "Rng(seed, kStream)", "Rng(0 * seed, kStream)", "sweep", "Verify.*"),
    "verification_fits_by_luck": (
        "src/sweep/score.cc", "  again.prepare(plan().base_bytes);\n  verify_plan_", "  verify_plan_", "sweep", "Verify.*"),
    "journal_damage_not_looked_for": (
        "src/io/journal.cc", "if (found != bytes || checksum_of(key, bytes, content) != records.number(3))",
        "if (found != bytes)", "io", "JournalTest.Damage*"),
    "journal_half_a_change_kept": (
        "src/io/journal.cc", 'sqlite3_exec(database, "ROLLBACK"', 'sqlite3_exec(database, "COMMIT"', "io",
        "JournalTest.AChange*"),
    "journal_of_two_processes": (
        "src/io/journal.cc", "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA locking_mode=NORMAL", "io", "JournalTest.OneProcess*"),
    "resumed_pairs_fork_again": (
        "src/graph/variants_state.cc", "pair_of(state, {leaf, pair.sample}) = state.pairs.size();", "", "sweep",
        "Resume.Cumulative*"),
    "resumed_results_of_the_first_stages_lost": (
        "src/schedule/phase_log.cc", "                tell_again();\n", "", "sweep", "Resume.Isolated*"),
    "resumed_time_lost": (
        "src/schedule/phase_log.cc", "  earlier_[pass.device].add(pass.earlier);\n  return stages;", "  return stages;",
        "sweep", "Resume.Isolated*"),
    "devices_told_as_they_finish": (
        "src/schedule/share_passes.h", "next < chunks.size() && told[next]; ++next", "told[next = i]; ++next", "schedule",
        "SharePasses.Results*"),
    "a_device_fails_alone": (
        "src/schedule/workers.cc", "if (ends_) throw Ended();", "", "sweep", "SharedSweep.WhatProgress*"),
    "products_of_the_first_device": (
        "src/schedule/devices.h", "for (const ops::Context& context : contexts_) sum", "const auto& context = first();\n    sum",
        "sweep", "SharedSweep.Products*"),
    "shared_passes_calibrate": (
        "src/sweep/variant_run.cc", "wants_ranges() && setting_.devices.size() == 1 && ", "wants_ranges() && ",
        "sweep", "SharedSweep.Ranges*"),
    "devices_forgotten_in_the_journal": (
        "src/schedule/phase_log.cc", "if (plan.devices() > 1) keeping_", "if (false) keeping_", "sweep", "Resume.TwoDevices"),
    "samples_shared_whatever_they_cost": (
        "src/schedule/shares.cc", "largest = std::max(largest, work(share));", "largest = 0;", "schedule", "Shares.*"),
    "weight_error_of_the_first_pass": (
        "src/sweep/estimate.cc", "if (error.pass == nullptr) error.pass", "if (&chunk == &plan_.chunks[0]) error.pass",
        "sweep", "SharedSweep.Estimates"),
    "resumed_choice_made_again": (
        "src/sweep/score.cc", '!keeping_.journal->read(phase + "/count", read)) {',
        '!keeping_.journal->read(phase + "/count", read) || count > 0) {', "sweep", "Resume.TheChoice*"),
    "resumed_with_other_data": (
        "src/cli/identity.cc", '{{"file", io::sha256_hex_of_file(data)}, {"images", io::Json(images)}}', '{{"images", io::Json(images)}}', "cli",
        "OtherFiles.AreNamed*"),
    "hybrid_without_shrinkage": (
        "src/sweep/hybrid.cc", "mean + trust * (f.ratio - mean)", "f.ratio + 0 * trust * mean", "sweep", "Hybrid.*"),
    "outlier_channels_by_layer": (
        "src/synth/values.cc", "norm ? static_cast<uint64_t>(width) : stream_of(name)", "stream_of(name)",
        "synth", "Values.NormsShare*"),
    "synthetic_fan_in_of_one_axis": (
        "src/synth/values.cc", "element_count(shape) / shape[0]", "shape[1]", "synth", "Values.Convolutions*"),
    "synthetic_values_by_piece": (
        "src/synth/values.cc", "first / kDrawsPerWord + word", "word", "synth", "Values.Depend*"),
    "synthetic_weights_too_large": (
        "src/synth/values.cc", '{"", 1, true}', '{"", 4, true}', "synth", "Synthesize.ActivationsStaySane"),
    "synthetic_norms_all_around_one": (
        "src/synth/synthesize.cc", "less_one ? 0 : 1", "less_one ? 1 : 1", "synth", "*Families.HaveNorms*"),
    "synthetic_tokens_anywhere": (
        "src/synth/tokenizer.cc", "if (!token.key.empty()) {", "if (false) {", "synth", "*Families.HaveTheTokens*"),
    "synthetic_heads_all_tied": (
        "src/models/assembly.cc", ": c.usually_tied", ": true", "synth", "*Families.HaveTheWeights*"),
    "synthetic_config_of_all_layers": (
        "src/synth/config.cc", "if (layer < layers) left.push_back(layer);", "left.push_back(layer);",
        "synth", "Synthesize.OnlyTheFirstLayers"),
    "failed_folder_left_behind": (
        "src/io/atomic_file.cc", "std::filesystem::remove_all(temporary_path_, ignored);", "(void)ignored;",
        "io", "AtomicFolder.*"),
    "reference_of_another_branch": (
        "src/graph/variants.cc", "reference_.output(op_index, reference[index]);",
        "reference_.output(op_index, states_.back().local[index]);", "pass",
        "ProbePass.TheReferenceOfAnEarlierPassIsTakenToTheSameBits"),
    "known_output_of_another_op": (
        "src/graph/backward.cc", "known_->extract(op_index);", "known_->extract(known_->begin());", "pass",
        "ProbePass.WhatIsKeptChangesNothing"),
    "changed_inputs_of_every_tile_to_the_first_rows": (
        "src/graph/linear_step.cc", "b.dy.rows_at(run.blocks[first].out, rows)", "b.dy.rows_at(run.blocks[0].out, rows)",
        "graph", "LinearStep.LivePairs*"),
    "forks_of_live_pairs_in_the_order_of_leaves": (
        "src/graph/variants.cc", "placed.push_back({pair >= 0 ? pair : state.pairs.size(), {leaf, s}});",
        "placed.push_back({int64_t{0}, {leaf, s}});", "graph", "Variants.LeavesThatForkAgainInTheOrder*"),
    "hybrid_without_a_least_ratio": (
        "src/sweep/hybrid.cc", "std::max(kLeastRatio, mean + trust", "std::max(-1e30, mean + trust", "sweep", "Hybrid.ARatio*"),
    "hybrid_ratio_thought_exact": (
        "src/sweep/hybrid.cc", "std::sqrt(f.token_variance + ratio_variance / (ratio * ratio));",
        "std::sqrt(f.token_variance);", "sweep", "Hybrid.Follows*"),
    "flagged_estimates_measured_by_their_size": (
        "src/sweep/refinement.cc", "return std::pair(!run.scores[i].has_flag(kNonlinearFlag), -total_error",
        "return std::pair(false, -total_error", "sweep", "Refinement.Flagged*"),
    "leaves_shift_without_their_parents": (
        "src/pass/head.cc", "at(block.out + r).shift += at(first_self", "at(block.out + r).shift += 0 * at(first_self",
        "pass", "Head.AShift*"),
    "dry_walk_of_the_first_tile_alone": (
        "src/graph/linear_step.cc", "      first = last;\n", "      first = dry() ? run.blocks.size() : last;\n", "graph",
        "Variants.ADryWalk*"),
    "consumed_by_the_first_reader": (
        "src/graph/forward.cc", "if (j > i && reads(stages[j], input->name)) needed = true;", "", "graph", "Forward.AName*"),
    "index_without_total": (
        "src/io/checkpoint_writer.cc", 'index["metadata"]["total_size"] = total_bytes;', "(void)total_bytes;",
        "io", "CheckpointWriter.*"),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="defects to plant (default: all)")
    parser.add_argument("--tenth", nargs="?", const="", metavar="SEED", help="a tenth, by a seed")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="of a test's time (default: 300)")
    return parser.parse_args()


def chosen(args):
    for name in args.names:
        if name not in MUTATIONS:
            sys.exit(f"no defect is named {name}")
    if args.tenth is None:
        return args.names or list(MUTATIONS)
    seed = args.tenth or subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=True, capture_output=True,
                                        text=True).stdout.strip()
    print(f"a tenth of {len(MUTATIONS)} defects; again: tools/mutations.py --tenth {seed}", flush=True)
    return sorted(random.Random(seed).sample(sorted(MUTATIONS), -(-len(MUTATIONS) // 10)))


def build(programs):
    """build/release with these test programs, as it is configured."""
    targets = [PAGE_BUILT_BY if program == PAGE else f"qsweep_test_{program}" for program in programs]
    for command in (["cmake", "--preset", "release", "-DQSWEEP_TESTS=ON"],
                    ["cmake", "--build", str(BUILD), "--target", *targets]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the build failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return BuildTree(ROOT, BUILD)


class Planting:
    def __init__(self, tree, processes, folder, limit_s):
        self.tree, self.processes, self.folder, self.limit_s = tree, processes, folder, limit_s

    def test(self, program, tests, environment):
        """Exit status of the tests; None where they do not end."""
        env = {"OMP_WAIT_POLICY": "passive", "PATH": "/usr/bin:/bin", **environment}
        status, output = self.processes.run([str(program), f"--gtest_filter={tests}"], self.limit_s, env=env)
        if "Running 0 tests" in output:
            raise Failed(f"no test of {program} is named {tests}")
        return status

    def status_with(self, name):
        """The named test's with the defect; Failed where it cannot tell anything."""
        file, old, new, program, tests = MUTATIONS[name]
        content = (ROOT / file).read_text()
        if content.count(old) != 1:
            raise Failed(f"expected its text once in {file}, found it {content.count(old)} times")
        if program == PAGE:
            return self.status_of_page(name, content.replace(old, new))
        unchanged = BUILD / "tests" / f"qsweep_test_{program}"
        if self.test(unchanged, tests, {}) != 0:
            raise Failed(f"{program} {tests} fails without the defect")
        target = PROGRAM_OF.get(program, f"qsweep_test_{program}")
        mutated = mutated_program(self.processes, self.tree, target, file, content.replace(old, new),
                                  self.folder / name, BUILD_LIMIT_S)
        if program in PROGRAM_OF:
            return self.test(unchanged, tests, {"QSWEEP_PROGRAM": mutated})
        return self.test(mutated, tests, {})

    def status_of_page(self, name, content):
        file, *_, tests = MUTATIONS[name]
        if test_page(self.processes, ROOT / WEB, tests, self.limit_s) != 0:
            raise Failed(f"the page's {tests} fails without the defect")
        return test_page(self.processes, mutated_page(ROOT, file, content, self.folder / name), tests, self.limit_s)

    def plant(self, name):
        """One line about what came of it, and whether the defect was found."""
        *_, program, tests = MUTATIONS[name]
        try:
            status = self.status_with(name)
        except Failed as failure:
            return f"{name}: {failure}", False
        finally:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        result = "SURVIVED" if status == 0 else "caught, without an end," if status is None else "caught"
        return f"{name:40} {result} by {program} {tests}", status != 0


def main():
    args = arguments()
    names = chosen(args)
    tree = build(sorted({MUTATIONS[name][3] for name in names}))
    not_caught = []
    with tempfile.TemporaryDirectory(prefix="mutations-", dir=BUILD.parent) as folder:
        planting = Planting(tree, Processes(), Path(folder), args.limit)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, (line, caught) in zip(names, pool.map(planting.plant, names)):
                print(line, flush=True)
                if not caught:
                    not_caught.append(name)
    sys.exit(f"not caught: {', '.join(not_caught)}" if not_caught else 0)


if __name__ == "__main__":
    main()
