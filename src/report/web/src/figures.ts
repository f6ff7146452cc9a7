// What every chart is: its options for ECharts, its height, what it says in words, and what a point says of itself.
// Pure functions of the data, used by the page and, without a browser, by the files of SVG; so they are kept to what an
// engine of ECMAScript 5 has.
import type { EChartsCoreOption } from "echarts/core";
import { type Comparison, type Group, type Run, type Score, distinct, median, ranked } from "./data.ts";
import { counted, number, percent, shortened, visible, withInterval } from "./text.ts";
import type { Theme } from "./theme.ts";

// What a mark of a chart carries beside its coordinates; those without a tip say nothing.
export interface Mark {
  value: (number | string)[];
  op?: number;
  recipe?: number;
  tip: string[];
}

export interface Figure {
  option: EChartsCoreOption;
  height: number;
  words: string; // for those who do not see it
}

export const FONT = 12;
const NAME_LENGTH = 46;
const SYMBOLS = ["circle", "rect", "triangle", "diamond", "pin"];

type Axis = Record<string, unknown>;

export function base(theme: Theme): Record<string, unknown> {
  return {
    animation: false,
    backgroundColor: theme.background,
    textStyle: { fontFamily: "system-ui, sans-serif", fontSize: FONT, color: theme.text },
  };
}

export function axis(theme: Theme, name: string, more: Axis): Axis {
  return {
    name,
    nameLocation: "middle",
    nameTextStyle: { color: theme.text, fontSize: FONT },
    axisLabel: { color: theme.muted, fontSize: FONT, hideOverlap: true },
    axisLine: { show: true, lineStyle: { color: theme.muted } },
    axisTick: { lineStyle: { color: theme.muted } },
    splitLine: { lineStyle: { color: theme.line } },
    ...more,
  };
}

// Whole powers of ten around the values, or none.
export function decades(values: (number | null)[]): { min: number; max: number } | null {
  const positive = values.filter((v): v is number => v !== null && v > 0 && isFinite(v));
  if (positive.length === 0) return null;
  const log = (v: number): number => Math.log(v) / Math.LN10;
  const low = Math.floor(log(positive.reduce((a, b) => Math.min(a, b))) + 1e-9);
  const high = Math.ceil(log(positive.reduce((a, b) => Math.max(a, b))) - 1e-9);
  return { min: Math.pow(10, low), max: Math.pow(10, Math.max(high, low + 1)) };
}

const power = (value: number): string => {
  const exponent = Math.round(Math.log(value) / Math.LN10);
  return exponent >= -3 && exponent <= 3 ? String(Math.pow(10, exponent)).slice(0, 6) : `1e${exponent}`;
};

export function logAxis(theme: Theme, name: string, values: (number | null)[], more: Axis = {}): Axis {
  const range = decades(values) ?? { min: 0.1, max: 1 };
  return axis(theme, name, {
    type: "log",
    min: range.min,
    max: range.max,
    ...more,
    axisLabel: { color: theme.muted, fontSize: FONT, hideOverlap: true, formatter: power },
  });
}

export function scoreTip(score: Score, group: Group): string[] {
  const tip = [visible(score.name)];
  if (score.rank === null) return tip.concat(`no score: ${score.status}`);
  tip.push(`rank ${score.rank} of ${group.ranked} in ${group.format}`);
  tip.push(`${group.value_name}: ${withInterval(score.value, score.low, score.high)}`);
  if (score.share !== null) tip.push(`${group.share_name}: ${percent(score.share)}`);
  if (score.sqnr !== null) tip.push(`local SQNR: ${number(score.sqnr)} dB`);
  if (score.spreadFrom) tip.push(`copied from ${visible(score.spreadFrom)}`);
  return tip;
}

// The first ops with their intervals. Values of 0 have no place on a logarithmic axis.
export function ranking(run: Run, group: Group, scores: Score[], theme: Theme, most: number, width: number): Figure {
  const all = ranked(scores);
  const shown = all.slice(0, most).filter((s) => s.value !== null && s.value > 0);
  const ends = shown.reduce<(number | null)[]>((list, s) => list.concat([s.value, s.low, s.high]), []);
  const range = decades(ends) ?? { min: 0.1, max: 1 };
  const names = width < 640 ? 22 : NAME_LENGTH;
  const marks: Mark[] = shown.map((s, i) => ({ value: [s.value as number, i], op: s.op, tip: scoreTip(s, group) }));
  const interval = shown.map((s, i) => [
    Math.max(s.low ?? (s.value as number), range.min),
    Math.min(s.high ?? (s.value as number), range.max),
    i,
  ]);
  const left = roomOf(names);
  const option = {
    ...base(theme),
    grid: { left, right: 24, top: 8, bottom: 48 },
    xAxis: logAxis(theme, group.value_name, ends, { nameGap: 28 }),
    yAxis: axis(theme, "", {
      type: "category",
      inverse: true,
      data: shown.map((s) => `${s.rank}. ${shortened(s.name, names)}`),
      axisLabel: { color: theme.text, fontSize: FONT, interval: 0 },
      axisTick: { show: false },
      splitLine: { show: false },
    }),
    series: [
      {
        type: "custom",
        silent: true,
        data: interval,
        encode: { x: [0, 1], y: 2 },
        renderItem: (_: unknown, api: RenderApi) => intervalMark(api, theme),
      },
      {
        type: "scatter",
        symbolSize: 9,
        itemStyle: { color: theme.marks[0] },
        emphasis: { itemStyle: { borderColor: theme.text, borderWidth: 2 } },
        data: marks,
      },
    ],
  };
  const first = shown[0];
  const words = first
    ? `The ${shown.length} most sensitive of ${counted(group.ranked, "op")} in ${group.format}, by ${group.value_name}, ` +
      `over ${counted(run.samples, "sample")}. First: ${visible(first.name)}, ` +
      `${withInterval(first.value, first.low, first.high)}.`
    : `No op has a score above 0 in ${group.format}.`;
  return { option, height: 64 + 22 * Math.max(shown.length, 1), words };
}

const roomOf = (characters: number): number => 46 + characters * 6.4;

interface RenderApi {
  value(dimension: number): number;
  coord(point: number[]): [number, number];
}

// A line with caps from one end of an interval to the other.
function intervalMark(api: RenderApi, theme: Theme): unknown {
  const row = api.value(2);
  const [x1, y] = api.coord([api.value(0), row]);
  const [x2] = api.coord([api.value(1), row]);
  const line = (a: number, b: number, c: number, d: number): unknown => ({
    type: "line",
    shape: { x1: a, y1: b, x2: c, y2: d },
    style: { stroke: theme.muted, lineWidth: 1.5 },
  });
  const cap = 4;
  return { type: "group", children: [line(x1, y, x2, y), line(x1, y - cap, x1, y + cap), line(x2, y - cap, x2, y + cap)] };
}

interface ScatterPoint {
  x: number | null;
  y: number | null;
  tower: string;
  mark: Omit<Mark, "value">;
  label?: string;
}

interface ScatterParts {
  x: Axis;
  y: Axis;
  points: ScatterPoint[];
  lines?: unknown[]; // of markLine
  areas?: string[]; // words in the corners: top left, bottom right
  words: string;
  width: number;
  along: (x: number) => number; // 0 to 1: where on its axis an x is
}

// A name stands where there is room for it.
export const side = (along: number): string => (along > 0.65 ? "left" : "right");

export function alongLog(range: { min: number; max: number } | null): (x: number) => number {
  return (x) => (range === null ? 0 : Math.log(x / range.min) / Math.log(range.max / range.min));
}

// Points by tower, told apart by shape and colour, some with their names.
function scatter(parts: ScatterParts, theme: Theme): Figure {
  const drawn = parts.points.filter((p) => p.x !== null && p.y !== null);
  const towers = distinct(drawn.map((p) => p.tower));
  const series = towers.map((tower, i) => ({
    name: shortened(tower, 30),
    type: "scatter",
    symbol: SYMBOLS[i % SYMBOLS.length],
    symbolSize: 9,
    itemStyle: { color: theme.marks[i % theme.marks.length], opacity: 0.85 },
    emphasis: { itemStyle: { borderColor: theme.text, borderWidth: 2, opacity: 1 } },
    labelLayout: { hideOverlap: true },
    data: drawn
      .filter((p) => p.tower === tower)
      .map((p) => {
        const mark: Mark = { value: [p.x as number, p.y as number], ...p.mark };
        if (!p.label) return mark;
        return {
          ...mark,
          label: {
            show: true,
            formatter: shortened(p.label, parts.width < 640 ? 18 : 30),
            position: side(parts.along(p.x as number)),
            color: theme.text,
            fontSize: FONT,
          },
        };
      }),
    markLine:
      i > 0 || !parts.lines
        ? undefined
        : {
            silent: true,
            symbol: "none",
            precision: 12,
            lineStyle: { color: theme.muted, type: "dashed" },
            label: { show: false },
            data: parts.lines,
          },
  }));
  const corner = (text: string | undefined, place: Axis): Axis[] =>
    text ? [{ type: "text", silent: true, style: { text, fill: theme.muted, font: `italic ${FONT}px system-ui, sans-serif` }, ...place }] : [];
  const option = {
    ...base(theme),
    legend: { top: 0, left: "center", itemWidth: 12, itemHeight: 12, textStyle: { color: theme.text, fontSize: FONT }, inactiveColor: theme.muted },
    grid: { left: 68, right: 28, top: 36, bottom: 56 },
    xAxis: { ...parts.x, nameGap: 30 },
    yAxis: { ...parts.y, nameGap: 48 },
    graphic: corner(parts.areas?.[0], { left: 80, top: 42 }).concat(corner(parts.areas?.[1], { right: 36, bottom: 62 })),
    series,
  };
  return { option, height: parts.width < 640 ? 380 : 460, words: parts.words };
}

// Local error against the error at the output. Up and left is a sensitive place, down and right a format that fits badly
// where it does not matter.
export function why(group: Group, scores: Score[], theme: Theme, width: number): Figure {
  const usable = scores.filter((s) => s.rank !== null && (s.relativeError ?? 0) > 0 && (s.value ?? 0) > 0);
  const xs = usable.map((s) => s.relativeError as number);
  const ys = usable.map((s) => s.value as number);
  const x = median(xs);
  const y = median(ys);
  return scatter(
    {
      x: logAxis(theme, "relative error at the op itself", xs),
      y: logAxis(theme, group.value_name, ys),
      points: usable.map((s) => ({
        x: s.relativeError,
        y: s.value,
        tower: s.tower,
        mark: { op: s.op, tip: scoreTip(s, group).concat(`relative error at the op: ${percent(s.relativeError)}`) },
        ...((s.rank as number) <= 9 ? { label: String(s.rank) } : {}),
      })),
      lines: x !== null && y !== null ? [{ xAxis: x }, { yAxis: y }] : [],
      areas: ["sensitive place", "fits badly, matters little"],
      words:
        usable.length > 0
          ? `Error at the op against ${group.value_name} for ${counted(usable.length, "op")}; medians ${percent(x)} and ${number(y)}.`
          : "No op has both a score and statistics at the op.",
      width,
      along: alongLog(decades(xs)),
    },
    theme,
  );
}

// One format against another, op by op.
export function formats(a: Group, b: Group, first: Score[], second: Score[], theme: Theme, width: number): Figure {
  const other: Record<number, Score> = {};
  for (const s of second) other[s.op] = s;
  const pairs = first
    .map((s) => ({ s, t: other[s.op] }))
    .filter((p) => (p.s.value ?? 0) > 0 && p.s.rank !== null && (p.t?.value ?? 0) > 0) as { s: Score; t: Score }[];
  // Those where the choice between the two matters most.
  const apart = (p: { s: Score; t: Score }): number => Math.abs((p.s.value as number) - (p.t.value as number));
  const named = pairs.slice().sort((p, q) => apart(q) - apart(p)).slice(0, width < 640 ? 2 : 5);
  const values = pairs.map((p) => p.s.value).concat(pairs.map((p) => p.t.value));
  const range = decades(values);
  return scatter(
    {
      x: logAxis(theme, `${a.format}: ${a.value_name}`, values),
      y: logAxis(theme, `${b.format}: ${b.value_name}`, values),
      points: pairs.map((p) => ({
        x: p.s.value,
        y: p.t.value,
        tower: p.s.tower,
        mark: {
          op: p.s.op,
          tip: [
            visible(p.s.name),
            `${a.format}: ${number(p.s.value)}, rank ${p.s.rank}`,
            `${b.format}: ${number(p.t.value)}, rank ${p.t.rank}`,
          ],
        },
        ...(named.indexOf(p) >= 0 ? { label: p.s.name } : {}),
      })),
      lines: range ? [[{ coord: [range.min, range.min] }, { coord: [range.max, range.max] }]] : [],
      areas: [`${a.format} is better`, `${b.format} is better`],
      words:
        `${a.format} against ${b.format} for ${counted(pairs.length, "op")}: ` +
        `${a.format} has the smaller error at ${pairs.filter((p) => (p.s.value as number) < (p.t.value as number)).length}.`,
      width,
      along: alongLog(range),
    },
    theme,
  );
}

// Ranks on both sides; points off the diagonal are ops that they see differently.
export function comparison(c: Comparison, ops: Record<string, number>, theme: Theme, width: number): Figure {
  const most = c.units.length;
  const named = c.outliers.slice(0, width < 640 ? 2 : 10);
  const rankAxis = (name: string): Axis =>
    axis(theme, name, { type: "value", min: 0, max: Math.max(most, 1), minInterval: 1 });
  return scatter(
    {
      x: rankAxis("rank in RUN (1 is the most sensitive)"),
      y: rankAxis("rank in OTHER"),
      points: c.units.map((u) => {
        const op = ops[`_${u.name}`];
        return {
          x: u.run_rank,
          y: u.other_rank,
          tower: u.tower,
          mark: {
            ...(op === undefined ? {} : { op }),
            tip: [
              visible(u.name),
              `RUN: rank ${u.run_rank}, score ${number(u.run_score)}`,
              `OTHER: rank ${u.other_rank}, score ${number(u.other_score)}`,
            ],
          },
          ...(named.indexOf(u.name) >= 0 ? { label: u.name } : {}),
        };
      }),
      lines: [[{ coord: [0, 0] }, { coord: [most, most] }]],
      areas: ["more sensitive in RUN", "more sensitive in OTHER"],
      words: `Ranks of ${counted(most, "op")} on both sides; Spearman ${number(c.spearman)}.`,
      width,
      along: (x) => x / Math.max(most, 1),
    },
    theme,
  );
}
