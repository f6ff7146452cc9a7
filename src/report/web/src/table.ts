// Rows of the table of scores: filtered, sorted, and as CSV. No document here.
import type { Score } from "./data.ts";
import { csv, number, percent } from "./text.ts";

export interface Column {
  key: string;
  title: string;
  term?: string; // in words.ts
  numeric: boolean;
  value: (s: Score) => number | string | null;
  text?: (s: Score) => string;
}

export function columns(valueName: string, shareName: string): Column[] {
  return [
    { key: "rank", title: "Rank", term: "rank", numeric: true, value: (s) => s.rank },
    { key: "op", title: "Op", term: "op", numeric: false, value: (s) => s.name },
    { key: "tower", title: "Tower", term: "tower", numeric: false, value: (s) => s.tower },
    { key: "layer", title: "Layer", numeric: true, value: (s) => s.block },
    { key: "role", title: "Role", term: "role", numeric: false, value: (s) => s.role },
    { key: "value", title: valueName, term: "kl", numeric: true, value: (s) => s.value, text: (s) => number(s.value) },
    { key: "low", title: "95 % from", term: "interval", numeric: true, value: (s) => s.low, text: (s) => number(s.low) },
    { key: "high", title: "to", term: "interval", numeric: true, value: (s) => s.high, text: (s) => number(s.high) },
    { key: "share", title: shareName, term: "share", numeric: true, value: (s) => s.share, text: (s) => percent(s.share) },
    { key: "sqnr", title: "Local SQNR, dB", term: "sqnr", numeric: true, value: (s) => s.sqnr, text: (s) => number(s.sqnr) },
    { key: "outliers", title: "Outlier ratio", term: "outliers", numeric: true, value: (s) => s.outlierRatio, text: (s) => number(s.outlierRatio) },
    { key: "range", title: "Largest input", term: "range", numeric: true, value: (s) => s.inputAbsmax, text: (s) => number(s.inputAbsmax) },
    { key: "bits", title: "Bits per weight", term: "bits", numeric: true, value: (s) => s.bits, text: (s) => number(s.bits) },
    { key: "status", title: "Status", term: "status", numeric: false, value: (s) => s.status },
    { key: "method", title: "Method", term: "method", numeric: false, value: (s) => s.method },
  ];
}

export const cellText = (column: Column, score: Score): string => {
  if (column.text) return column.text(score);
  const value = column.value(score);
  return value === null ? "–" : String(value);
};

// All words of the filter, anywhere in name, status, method or flags.
export function filtered(scores: Score[], filter: string, tower: string): Score[] {
  const words = filter.toLowerCase().split(/\s+/).filter((w) => w !== "");
  return scores.filter((s) => {
    if (tower !== "" && s.tower !== tower) return false;
    const text = `${s.name} ${s.status} ${s.method} ${s.flags}`.toLowerCase();
    return words.every((w) => text.includes(w));
  });
}

// What is unknown comes last either way.
export function sorted(scores: Score[], all: Column[], sort: string): Score[] {
  const descending = sort.startsWith("-");
  const key = descending ? sort.slice(1) : sort;
  const column = all.find((c) => c.key === key) ?? all[0];
  if (!column) return scores;
  const sign = descending ? -1 : 1;
  return scores.slice().sort((a, b) => {
    const x = column.value(a);
    const y = column.value(b);
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * String(x).localeCompare(String(y), "en", { numeric: true });
  });
}

export const tableCsv = (scores: Score[], all: Column[]): string =>
  csv([all.map((c) => c.title), ...scores.map((s) => all.map((c) => c.value(s)))]);
