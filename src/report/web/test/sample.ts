// A small run with known numbers.
import type { Group, Run, ScoreColumns, View } from "../src/data.ts";

export const NAMES = ["visual.patch_embed.proj", "model.layers.0.q_proj", "model.layers.0.down_proj", "model.layers.1.q_proj", "lm_head"];

// Shares 0, 50, 30, 20 %; the first op has no score.
export function scores(factor = 1): ScoreColumns {
  const values = [null, 0.5, 0.3, 0.2, 0].map((v) => (v === null ? null : v * factor));
  return {
    op: [0, 1, 2, 3, 4],
    status: ["unexercised", "ok", "ok", "ok", "ok"],
    method: ["exact", "exact", "exact", "exact", "exact"],
    rank: [null, 1, 2, 3, 4],
    value: values,
    interval: values.map((v) => (v === null ? null : [v / 2, v * 2])),
    share: [null, 0.5, 0.3, 0.2, 0],
    bits: [8, 8, 8, 8, 8],
    kl: values,
    flips: [null, 0.1, 0.1, 0, 0],
    relative_error: [null, 0.01, 0.1, 0.02, 0.03],
    sqnr_db: [null, 40, 20, 34, 30],
    outlier_ratio: [null, 5, 50, 4, 3],
    input_absmax: [null, 1, 2, 3, 4],
    spread_from: [null, null, null, null, null],
    flags: ["", "", "", "", ""],
  };
}

export function group(format: string, factor = 1): Group {
  return {
    format,
    mode: "isolated",
    method: "exact",
    meaning: "One op is quantized.",
    level: "some",
    level_text: "changes the output a little",
    verdict: [["How much", "Every op in `w8a8` changes the output a little."]],
    value_name: "kl:all per position, nats",
    share_name: "share of the summed error",
    additive: true,
    ranked: 4,
    positions: 100,
    everything: { name: `all:${format}`, format, value: 1.5 * factor, interval: [1, 2], flips: 0.03, perplexity: 1.1, float_ops: 0 },
    reliability: 0.95,
    explanations: { "1": "It is a sensitive place." },
    scores: scores(factor),
  };
}

export const run = (groups: Group[] = [group("w8a8")]): Run => ({
  headline: "",
  summary: "5 ops on 3 samples.",
  warnings: [],
  samples: 3,
  metric: "kl:all",
  ops: {
    name: NAMES,
    tower: ["vision", "language", "language", "language", "language"],
    block: [null, 0, 0, 1, null],
    role: ["proj", "q_proj", "down_proj", "q_proj", "lm_head"],
    in: [8, 8, 8, 8, 8],
    out: [8, 8, 8, 8, 8],
    parameters: [64, 64, 64, 64, 64],
    group: [null, null, null, null, null],
  },
  groups,
  together: [],
});

export const view = (r: Run): View => ({ title: "tiny", run: r, recipes: null, difference: null, comparisons: [], time: null, commands: [] });
