// The data of the page, as report/view.cc writes it, and its columns as records.

export type Interval = [number | null, number | null] | null;

export interface Ops {
  name: string[];
  tower: string[];
  block: (number | null)[];
  role: string[];
  in: number[];
  out: number[];
  parameters: number[];
  group: (string | null)[];
}

export interface Baseline {
  name: string;
  format: string;
  value: number | null;
  interval: Interval;
  flips: number | null;
  perplexity: number | null;
  float_ops: number;
}

export interface ScoreColumns {
  op: number[];
  status: string[];
  method: string[];
  rank: (number | null)[];
  value: (number | null)[];
  interval: Interval[];
  share: (number | null)[];
  bits: (number | null)[];
  kl: (number | null)[];
  flips: (number | null)[];
  relative_error: (number | null)[];
  sqnr_db: (number | null)[];
  outlier_ratio: (number | null)[];
  input_absmax: (number | null)[];
  spread_from: (string | null)[];
  flags: string[];
}

export interface Group {
  format: string;
  mode: string;
  method: string;
  meaning: string;
  level: string;
  level_text: string;
  verdict: [string, string][]; // topic and text
  value_name: string;
  share_name: string;
  additive: boolean;
  ranked: number;
  positions: number;
  everything: Baseline | null;
  reliability: number | null;
  explanations: Record<string, string>;
  scores: ScoreColumns;
}

// Ops that were measured together.
export interface MeasuredGroup {
  name: string;
  format: string;
  ops: number[];
  value: number | null;
  interval: Interval;
  sum: number | null; // of the ops' own values
  ratio: number | null;
}

export interface Run {
  headline: string;
  summary: string;
  warnings: string[];
  samples: number;
  metric: string;
  ops: Ops;
  groups: Group[];
  together: MeasuredGroup[]; // the largest error first
}

export interface Recipe {
  name: string;
  bits: number | null;
  predicted: number | null;
  measured: number | null;
  interval: Interval;
  flips: number | null;
  positions: number;
  counts: Record<string, number>;
  choice: number[] | null; // index in the formats by op, -1 for float
}

export interface Recipes {
  metric: string;
  samples: number | null;
  formats: string[];
  points: Recipe[];
}

export interface RecipeSide {
  name: string;
  file: string;
  bits: number | null;
  bytes: number | null;
  predicted: number | null;
  plain_sum: number | null;
  unscored: string[];
}

// Two recipes; what B has more than A.
export interface Difference {
  metric: string;
  positions: number;
  samples: number;
  a: RecipeSide;
  b: RecipeSide;
  bits: number | null;
  predicted: number | null;
  same: number;
  changes: { name: string; ops: string[]; a: string; b: string; bits: number | null; predicted: number | null }[];
}

export interface Unit {
  name: string;
  tower: string;
  run_score: number | null;
  other_score: number | null;
  run_rank: number;
  other_rank: number;
}

export interface Comparison {
  run: { source: string; what: string };
  other: { source: string; what: string };
  matched: number;
  spearman: number | null;
  kendall: number | null;
  warnings: string[];
  outliers: string[];
  units: Unit[];
}

export interface Time {
  wall_s: number | null;
  line: string;
  phases: [string, number | null, [string, number | null][]][];
}

export interface Command {
  command: string;
  settings: [string, string][];
  version: string | null;
}

export interface View {
  title: string;
  run: Run | null;
  recipes: Recipes | null;
  difference: Difference | null;
  comparisons: Comparison[];
  time: Time | null;
  commands: Command[];
}

// One score, its op's facts beside it.
export interface Score {
  op: number;
  name: string;
  tower: string;
  block: number | null;
  role: string;
  status: string;
  method: string;
  rank: number | null;
  value: number | null;
  low: number | null;
  high: number | null;
  share: number | null;
  bits: number | null;
  kl: number | null;
  flips: number | null;
  relativeError: number | null;
  sqnr: number | null;
  outlierRatio: number | null;
  inputAbsmax: number | null;
  spreadFrom: string | null;
  flags: string;
}

export function scoresOf(run: Run, group: Group): Score[] {
  const { ops } = run;
  const s = group.scores;
  return s.op.map((op, i) => ({
    op,
    name: ops.name[op] ?? "",
    tower: ops.tower[op] ?? "",
    block: ops.block[op] ?? null,
    role: ops.role[op] ?? "",
    status: s.status[i] ?? "",
    method: s.method[i] ?? "",
    rank: s.rank[i] ?? null,
    value: s.value[i] ?? null,
    low: s.interval[i]?.[0] ?? null,
    high: s.interval[i]?.[1] ?? null,
    share: s.share[i] ?? null,
    bits: s.bits[i] ?? null,
    kl: s.kl[i] ?? null,
    flips: s.flips[i] ?? null,
    relativeError: s.relative_error[i] ?? null,
    sqnr: s.sqnr_db[i] ?? null,
    outlierRatio: s.outlier_ratio[i] ?? null,
    inputAbsmax: s.input_absmax[i] ?? null,
    spreadFrom: s.spread_from[i] ?? null,
    flags: s.flags[i] ?? "",
  }));
}

// Those with a rank, the most sensitive first.
export function ranked(scores: Score[]): Score[] {
  return scores.filter((s) => s.rank !== null).sort((a, b) => (a.rank as number) - (b.rank as number));
}

// "w8a8", with mode and method where formats alone do not tell groups apart.
export function groupLabel(group: Group, groups: Group[]): string {
  const same = groups.filter((g) => g.format === group.format).length > 1;
  return same ? `${group.format}, ${group.mode}, ${group.method}` : group.format;
}

// Distinct values in the order of their first.
export function distinct<T extends string>(values: T[]): T[] {
  const seen: Record<string, boolean> = {};
  return values.filter((value) => {
    const key = `_${value}`;
    const first = seen[key] === undefined;
    seen[key] = true;
    return first;
  });
}

export function median(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.slice().sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2;
}
