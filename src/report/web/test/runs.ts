// Files of runs made from one that was measured.

export interface Sums {
  kl: number;
  top1_flips: number;
  nll_delta: number;
  positions: number;
  targets: number;
  ci95: { kl: [number, number] | null };
}

interface Metrics {
  all: Sums;
  answer: Sums;
}

interface LocalSums {
  error_sse: number;
  output_sse: number;
  input_min: number;
  input_max: number;
  input_sum_squares: number;
  input_elements: number;
}

export interface ScoreRecord {
  op: string;
  tower: string;
  block: number | null;
  role: string;
  format: string;
  mode: string;
  method: string;
  status: string;
  flags: string[];
  rank: number | null;
  ranked_by: string;
  effective_bits: number;
  metrics: Metrics | null;
  local: LocalSums | null;
  [key: string]: unknown;
}

export interface OpRecord {
  name: string;
  tower: string;
  block: number | null;
  role: string;
  in_features: number;
  out_features: number;
  parameters: number;
  [key: string]: unknown;
}

export interface ScoresFile {
  data: { samples: number; tokens: number; answer_tokens: number; image_tokens: number };
  settings: Record<string, unknown>;
  provenance: { wall_s: number; phases_s: Record<string, number>; work: Record<string, Record<string, { seconds: number }>>; gemm: { gflops_per_s: number; share: number } };
  ops: OpRecord[];
  scores: ScoreRecord[];
  baselines: { name: string; format: string; metrics: Metrics | null }[];
  reliability: { format: string; spearman: number }[];
  verification: unknown[];
  [key: string]: unknown;
}

export const hostileNames = [
  "</script><script>alert(1)</script>",
  '"><img src=x onerror=alert(1)>',
  "<!-- <script>",
  "\u202egnp.exe\u202c",
  "x".repeat(500),
  "שלום עולם",
  "'; DROP TABLE ops;--",
  "`a|b`",
  "=cmd|calc",
  "__proto__",
  "constructor",
  "a\\u003c/b",
];

const FORMATS = ["w8a8", "w8a8_dynamic", "w8a16", "w4a16_g32", "w4a16_g128", "w4a8", "fp8", "fp8_tensor", "fp8_dynamic", "nvfp4", "nvfp4a16", "mxfp4", "mxfp6", "mxfp8"];

// A generator of equal numbers for every run.
function random(): () => number {
  let state = 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function built(like: ScoresFile, places: [string, string, number | null, string][], formats: string[]): ScoresFile {
  const next = random();
  const measured = like.scores.find((s) => s.status === "ok" && s.metrics) as ScoreRecord;
  const ops = places.map(([name, tower, block, role]) => ({ ...(like.ops[0] as OpRecord), name, tower, block, role, fusion_group: null }));
  const scores = formats.flatMap((format) => {
    const values = ops.map(() => Math.exp(-8 + 5 * next()));
    const order = values.map((_, i) => i).sort((a, b) => (values[b] as number) - (values[a] as number));
    const ranks: number[] = [];
    order.forEach((op, i) => (ranks[op] = i + 1));
    return ops.map((op, i) => {
      const score = structuredClone(measured);
      const { name, tower, block, role } = op;
      Object.assign(score, { op: name, tower, block, role, format, rank: ranks[i] });
      for (const sums of [score.metrics?.all, score.metrics?.answer])
        if (sums) {
          const value = values[i] as number;
          sums.kl = value * sums.positions;
          sums.ci95.kl = [value / 2, value * 2];
        }
      if (score.local) score.local.error_sse *= Math.exp(3 * next());
      return score;
    });
  });
  const baselines = formats.map((format) => ({ ...structuredClone(like.baselines[0] as ScoresFile["baselines"][0]), name: `all:${format}`, format }));
  const reliability = like.reliability.slice(0, 1).flatMap((r) => formats.map((format) => ({ ...r, format })));
  return { ...like, ops, scores, baselines, reliability, verification: [] };
}

// 416 ops in 14 formats; or some 3,000 ops with experts in two.
export function large(like: ScoresFile, experts: boolean): ScoresFile {
  const places: [string, string, number | null, string][] = [];
  const layers = (tower: string, n: number, prefix: string, roles: string[]): void => {
    for (let b = 0; b < n; ++b) for (const role of roles) places.push([`${prefix}.${b}.${role}`, tower, b, role]);
  };
  if (experts) {
    const roles = ["q_proj", "k_proj", "v_proj", "o_proj"];
    for (let e = 0; e < 64; ++e) roles.push(`experts.${e}.gate_proj`, `experts.${e}.up_proj`, `experts.${e}.down_proj`);
    layers("language", 15, "model.layers", roles);
    return built(like, places, FORMATS.slice(0, 2));
  }
  layers("vision", 32, "visual.blocks", ["qkv", "proj", "gate_proj", "up_proj", "down_proj"]);
  layers("language", 36, "model.layers", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]);
  places.push(["visual.patch_embed.proj", "vision", null, "proj"], ["visual.merger.mlp.0", "projector", null, "mlp.0"]);
  places.push(["visual.merger.mlp.2", "projector", null, "mlp.2"], ["lm_head", "language", null, "lm_head"]);
  return built(like, places, FORMATS);
}

export function renamed(like: ScoresFile, names: string[]): ScoresFile {
  return built(like, names.map((name, i) => [name, i % 2 === 0 ? "language" : "<b>vision</b>", i % 3, name.slice(0, 40)]), FORMATS.slice(0, 2));
}
