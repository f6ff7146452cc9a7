// What scores.json says of every op, worked out anew: of the page only the way to write a number is taken.
import assert from "node:assert/strict";
import { number, percent } from "../src/text.ts";
import type { ScoreRecord, ScoresFile, Sums } from "./runs.ts";

export interface Expected {
  op: string;
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
  flips: number | null;
  bits: number;
  relative: number | null;
  sqnr: number | null;
  outliers: number | null;
  range: number | null;
}

// The page's data has six digits (report/view_run.h).
export const six = (value: number): number | null => (isFinite(value) ? Number(value.toPrecision(6)) : null);

const sixOf = (values: [number, number] | null): [number | null, number | null] => (values === null ? [null, null] : [six(values[0]), six(values[1])]);

// Of a part of the whole the digits of the page's own sentences: these are written from all of them.
export const interval = (value: number | null, low: number | null, high: number | null): string =>
  number(value) + (low === null || high === null ? "" : ` [${number(low)}, ${number(high)}]`);

export const mean = (sums: Sums | undefined): number => (sums ? sums.kl / sums.positions : NaN);

const sums = (score: ScoreRecord): Sums | undefined => score.metrics?.all;

export const whole = (file: ScoresFile, format: string): Sums | undefined => file.baselines.find((b) => b.name === `all:${format}`)?.metrics?.all;

// What an op's error is set against, and which part of that it is.
function shareOf(file: ScoresFile, score: ScoreRecord, summed: number): number {
  const kl = sums(score)?.kl ?? NaN;
  if (score.mode === "isolated") return kl / summed;
  const all = whole(file, score.format)?.kl ?? NaN;
  return (score.mode === "leave-one-out" ? all - kl : kl) / all;
}

function localOf(score: ScoreRecord): Pick<Expected, "relative" | "sqnr" | "outliers" | "range"> {
  const l = score.local;
  if (!l) return { relative: null, sqnr: null, outliers: null, range: null };
  const range = Math.max(Math.abs(l.input_min), Math.abs(l.input_max));
  return {
    relative: six(Math.sqrt(l.error_sse / l.output_sse)),
    sqnr: six(10 * Math.log10(l.output_sse / l.error_sse)),
    outliers: six(range / Math.sqrt(l.input_sum_squares / l.input_elements)),
    range: six(range),
  };
}

// The ops of a format in the order of the file.
export function expected(file: ScoresFile, format: string): Expected[] {
  const scores = file.scores.filter((s) => s.format === format);
  const summed = scores.reduce((sum, s) => sum + (s.rank === null ? 0 : (sums(s)?.kl ?? 0)), 0);
  return scores.map((s) => {
    assert.equal(s.ranked_by, "kl:all", "the only metric that is worked out here");
    const all = sums(s);
    const known = s.rank !== null && all !== undefined;
    const [low, high] = sixOf(all?.ci95.kl ?? null);
    return {
      op: s.op,
      tower: s.tower,
      block: s.block,
      role: s.role,
      status: s.status,
      method: s.method,
      rank: s.rank,
      value: known ? six(mean(all)) : null,
      low,
      high,
      share: known ? six(shareOf(file, s, summed)) : null,
      flips: all ? six(all.top1_flips / all.positions) : null,
      bits: six(s.effective_bits) as number,
      ...localOf(s),
    };
  });
}

export const byRank = (all: Expected[]): Expected[] => all.filter((e) => e.rank !== null).sort((a, b) => (a.rank as number) - (b.rank as number));

export const formatsOf = (file: ScoresFile): string[] => [...new Set(file.scores.map((s) => s.format))];

// What the errors of the format's ops are parts of, in words.
export function shareName(file: ScoresFile, format: string): string {
  const mode = file.scores.find((s) => s.format === format)?.mode;
  if (mode === "isolated") return "share of the summed error";
  return mode === "leave-one-out" ? `taken off the error of all:${format}` : `of the error of all:${format}`;
}

// What is said of an op that is pointed at.
export function tipOf(e: Expected, file: ScoresFile, format: string): string[] {
  if (e.rank === null) return [e.op, `no score: ${e.status}`];
  const n = file.scores.filter((s) => s.format === format && s.rank !== null).length;
  const tip = [e.op, `rank ${e.rank} of ${n} in ${format}`, `kl:all per position, nats: ${interval(e.value, e.low, e.high)}`, `${shareName(file, format)}: ${percent(e.share)}`];
  return e.sqnr === null ? tip : tip.concat(`local SQNR: ${number(e.sqnr)} dB`);
}

export function median(values: number[]): number {
  const sorted = values.slice().sort((a, b) => a - b);
  const n = sorted.length;
  return n % 2 === 1 ? (sorted[(n - 1) / 2] as number) : ((sorted[n / 2 - 1] as number) + (sorted[n / 2] as number)) / 2;
}

// The numbers of a sentence, in their order, each with its percent sign; those in names of formats and ops are in code.
export const numbersIn = (text: string): string[] => text.match(/(?<![\w.:])-?(?:\d+(?:\.\d+)?(?:e-?\d+)?|∞)(?: %)?/g) ?? [];
