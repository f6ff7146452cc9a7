// Heat maps of layers by roles: of the error, and of the formats that a recipe chooses.
import type { Group, Run, Score } from "./data.ts";
import { type Figure, type Mark, FONT, axis, base, scoreTip } from "./figures.ts";
import { type Panel, NO_BLOCK, panels } from "./layout.ts";
import { counted, percent, shortened, visible } from "./text.ts";
import { BOUNDS, type Theme, bitsClass, classLabel, classOf } from "./theme.ts";

const CELL = 22;
const WIDEST_CELL = 44;
const WORDS_CELL = 40; // room for words over it that leave their neighbours' numbers theirs
const TITLE = 26;
const AXIS = 26;
const LEGEND_ROW = 22;
const RANKS_IN_CELLS = 9;

interface Cell extends Mark {
  panel: number;
  label: string;
  fill: string;
  ink: string;
}

interface LegendEntry {
  text: string;
  fill: string;
  ink: string;
  sign: string;
}

const left = (width: number): number => (width < 640 ? 108 : 176);

// Swatches with words, in as many rows as the width takes; returns the elements and their height.
function legend(entries: LegendEntry[], title: string, width: number, top: number, theme: Theme): { elements: unknown[]; height: number } {
  const font = `${FONT}px system-ui, sans-serif`;
  const lines = Math.ceil((title.length * 7) / (width - 16));
  const elements: unknown[] = [
    { type: "text", silent: true, style: { x: 8, y: top + 6, text: title, width: width - 16, overflow: "break", lineHeight: 16, fill: theme.text, font: `600 ${font}` } },
  ];
  let x = 8;
  let y = top + 12 + 16 * lines;
  for (const entry of entries) {
    const room = 34 + entry.text.length * 6.8;
    if (x + room > width && x > 8) {
      x = 8;
      y += LEGEND_ROW;
    }
    elements.push({
      type: "rect",
      silent: true,
      shape: { x, y, width: 18, height: 14 },
      style: { fill: entry.fill, stroke: theme.muted, lineWidth: 1 },
    });
    if (entry.sign)
      elements.push({
        type: "text",
        silent: true,
        style: { text: entry.sign, x: x + 9, y: y + 7, align: "center", verticalAlign: "middle", fill: entry.ink, font },
      });
    elements.push({
      type: "text",
      silent: true,
      style: { text: entry.text, x: x + 24, y: y + 7, verticalAlign: "middle", fill: theme.text, font },
    });
    x += room;
  }
  return { elements, height: y + LEGEND_ROW - top };
}

// Panels below each other, a series of cells each.
function grid(all: Panel[], cells: Cell[], entries: LegendEntry[], title: string, theme: Theme, width: number): Omit<Figure, "words"> {
  const first = left(width);
  const room = Math.max(width - first - 16, 60);
  const names = width < 640 ? 15 : 26;
  const key = legend(entries, title, width, 0, theme);
  const elements = key.elements.slice();
  let top = key.height + 4;
  const grids: unknown[] = [];
  const xAxes: unknown[] = [];
  const yAxes: unknown[] = [];
  const series: unknown[] = [];
  all.forEach((panel, i) => {
    const wide = Math.min(room, panel.columns.length * WIDEST_CELL);
    const cell = wide / panel.columns.length;
    elements.push({
      type: "text",
      silent: true,
      left: 8,
      top: top + 6,
      style: { text: shortened(panel.tower, 60), fill: theme.text, font: `600 13px system-ui, sans-serif` },
    });
    grids.push({ outerBoundsMode: "none", left: first, top: top + TITLE, width: wide, height: panel.rows.length * CELL });
    const plain = { gridIndex: i, splitLine: { show: false }, axisTick: { show: false }, axisLine: { show: false } };
    xAxes.push(
      axis(theme, "", {
        ...plain,
        type: "category",
        data: panel.columns.map((c) => (c === NO_BLOCK && cell >= WORDS_CELL ? "no layer" : c)),
        axisLabel: { color: theme.muted, fontSize: FONT, hideOverlap: true, interval: cell > 24 ? 0 : "auto" },
      }),
    );
    yAxes.push(
      axis(theme, "", {
        ...plain,
        type: "category",
        inverse: true,
        data: panel.rows.map((r) => shortened(r, names)),
        axisLabel: { color: theme.text, fontSize: FONT, interval: 0 },
      }),
    );
    const own = cells.filter((c) => c.panel === i);
    series.push({
      type: "heatmap",
      xAxisIndex: i,
      yAxisIndex: i,
      data: own.map((c) => ({
        value: c.value,
        op: c.op,
        tip: c.tip,
        itemStyle: { color: c.fill, borderColor: theme.background, borderWidth: 1 },
        label: { show: c.label !== "" && cell >= 11, formatter: c.label, color: c.ink, fontSize: FONT, fontWeight: 600 },
      })),
      emphasis: { itemStyle: { borderColor: theme.text, borderWidth: 2 } },
    });
    top += TITLE + panel.rows.length * CELL + AXIS;
  });
  const option = {
    ...base(theme),
    graphic: elements,
    grid: grids,
    xAxis: xAxes,
    yAxis: yAxes,
    visualMap: { show: false, type: "continuous", dimension: 2, min: 0, max: 1, seriesIndex: -1 },
    series,
  };
  return { option, height: top + 4 };
}

interface Summed {
  share: number | null;
  best: Score | null; // the one with the first rank
  missing: number;
}

function summed(scores: Score[]): Summed {
  let share: number | null = null;
  let best: Score | null = null;
  let missing = 0;
  for (const s of scores) {
    if (s.rank === null) ++missing;
    else if (best === null || s.rank < (best.rank as number)) best = s;
    if (s.share !== null) share = (share ?? 0) + s.share;
  }
  return { share, best, missing };
}

function cellTip(scores: Score[], sum: Summed, group: Group): string[] {
  const only = scores[0] as Score;
  if (scores.length === 1) return scoreTip(only, group);
  const tip = [`${counted(scores.length, "op")}, such as ${visible((sum.best ?? only).name)}`];
  if (sum.share !== null) tip.push(`together, ${group.share_name}: ${percent(sum.share)}`);
  if (sum.best) tip.push(`the most sensitive has rank ${sum.best.rank} of ${group.ranked}`);
  if (sum.missing > 0) tip.push(`${sum.missing} without a score`);
  return tip;
}

// Shares of the error by layer and role. Digits are the first ranks, a cross is a place without a score.
export function heatMap(run: Run, group: Group, scores: Score[], theme: Theme, width: number): Figure {
  const byOp: Record<number, Score> = {};
  for (const s of scores) byOp[s.op] = s;
  const all = panels(run.ops);
  const cells: Cell[] = [];
  let worst: Cell | null = null;
  let missing = 0;
  all.forEach((panel, i) =>
    panel.places.forEach((place) => {
      const here = place.ops.map((op) => byOp[op]).filter((s): s is Score => s !== undefined);
      const sum = summed(here);
      const known = sum.best !== null;
      const k = classOf(sum.share ?? 0);
      const rank = sum.best?.rank ?? 0;
      if (!known) ++missing;
      const cell: Cell = {
        panel: i,
        value: [place.column, place.row, sum.share ?? 0],
        op: (sum.best?.op ?? place.ops[0]) as number,
        tip: here.length > 0 ? cellTip(here, sum, group) : [visible(run.ops.name[place.ops[0] as number] ?? ""), "not scored"],
        label: known ? (rank <= RANKS_IN_CELLS ? String(rank) : "") : "×",
        fill: known ? (theme.classes[k] as string) : theme.none,
        ink: known ? (theme.onClass[k] as string) : theme.muted,
      };
      if (rank === 1) worst = cell;
      cells.push(cell);
    }),
  );
  const entries: LegendEntry[] = theme.classes.map((fill, k) => ({
    text: classLabel(k),
    fill,
    ink: theme.onClass[k] as string,
    sign: k === BOUNDS.length ? "1" : "",
  }));
  entries.push({ text: "no score", fill: theme.none, ink: theme.muted, sign: "×" });
  const title = `${group.share_name}, ${group.format}; digits are the first ranks`;
  const first = worst as Cell | null;
  const words =
    `Heat map of ${group.share_name} in ${group.format}, layers by roles for ${all.map((p) => visible(p.tower)).join(", ")}, ` +
    `${counted(cells.length, "cell")}` +
    (missing > 0 ? `, ${missing} without a score` : "") +
    (first ? `. The darkest: ${first.tip.join("; ")}.` : ".");
  return { ...grid(all, cells, entries, title, theme, width), words };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdeghijklmnopqrstuvwxyz"; // "f" is float

// Which format a recipe gives every op; a letter per format, the darker the fewer bits.
export function choiceMap(run: Run, choice: number[], names: string[], theme: Theme, width: number): Figure {
  const all = panels(run.ops);
  const bits = bitsOfFormats(run);
  const order = names
    .map((_, i) => i)
    .filter((i) => choice.indexOf(i) >= 0)
    .sort((a, b) => (bits[`_${names[b]}`] ?? 0) - (bits[`_${names[a]}`] ?? 0));
  const classes = [-1].concat(order); // float first
  const look = (format: number): { fill: string; ink: string; letter: string; name: string } => {
    const k = classes.indexOf(format);
    const c = bitsClass(k, classes.length, theme.bits.length);
    return {
      fill: theme.bits[c] as string,
      ink: theme.onBits[c] as string,
      letter: format < 0 ? "f" : (LETTERS[k - 1] ?? "?"),
      name: format < 0 ? "float" : (names[format] as string),
    };
  };
  const cells: Cell[] = [];
  all.forEach((panel, i) =>
    panel.places.forEach((place) => {
      const here = place.ops.map((op) => choice[op] ?? -1);
      const same = here.every((f) => f === here[0]);
      const shown = look(here[0] as number);
      const op = place.ops[0] as number;
      cells.push({
        panel: i,
        value: [place.column, place.row, 0],
        op,
        tip: [
          place.ops.length === 1 ? visible(run.ops.name[op] ?? "") : `${place.ops.length} ops`,
          same ? shown.name : "several formats",
        ],
        label: same ? shown.letter : "*",
        fill: shown.fill,
        ink: shown.ink,
      });
    }),
  );
  const entries = classes.map((format) => {
    const shown = look(format);
    const ops = run.ops.name.filter((_, op) => (choice[op] ?? -1) === format).length;
    return { text: `${shown.name}: ${counted(ops, "op")}`, fill: shown.fill, ink: shown.ink, sign: shown.letter };
  });
  const words = `The format of every op, layers by roles: ${entries.map((e) => e.text).join(", ")}.`;
  return { ...grid(all, cells, entries, "format of every op; the darker, the fewer bits", theme, width), words };
}

// Mean bits per weight by format name.
export function bitsOfFormats(run: Run): Record<string, number> {
  const bits: Record<string, number> = {};
  for (const group of run.groups) {
    let sum = 0;
    let weights = 0;
    group.scores.op.forEach((op, i) => {
      const n = run.ops.parameters[op] ?? 0;
      const b = group.scores.bits[i];
      if (b === null || b === undefined) return;
      sum += b * n;
      weights += n;
    });
    if (weights > 0) bits[`_${group.format}`] = sum / weights;
  }
  return bits;
}
