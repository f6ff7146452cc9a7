// Bits against error: the recipes, and every format alone for comparison.
import type { Recipes, Run } from "./data.ts";
import { type Figure, type Mark, FONT, axis, base, decades, logAxis, side } from "./figures.ts";
import { bitsOfFormats } from "./maps.ts";
import { counted, number, shortened, visible, withInterval } from "./text.ts";
import type { Theme } from "./theme.ts";

interface RenderApi {
  value(dimension: number): number;
  coord(point: number[]): [number, number];
}

const bar = (api: RenderApi, theme: Theme): unknown => {
  const [x, low] = api.coord([api.value(0), api.value(1)]);
  const [, high] = api.coord([api.value(0), api.value(2)]);
  return { type: "line", shape: { x1: x, y1: low, x2: x, y2: high }, style: { stroke: theme.muted, lineWidth: 1.5 } };
};

// The formats with every op in them, by the metric of the recipes.
function wholeFormats(run: Run | null, metric: string): Mark[] {
  if (run?.metric !== metric) return [];
  const bits = bitsOfFormats(run);
  const marks: Mark[] = [];
  for (const group of run.groups) {
    const all = group.everything;
    const x = bits[`_${group.format}`];
    if (!all || !(all.value !== null && all.value > 0) || x === undefined) continue;
    if (marks.some((m) => m.tip[0] === all.name)) continue;
    marks.push({
      value: [x, all.value],
      tip: [all.name, `${number(x)} bits per weight`, `${metric} per position: ${number(all.value)}`],
    });
  }
  return marks;
}

export function spectrum(run: Run | null, recipes: Recipes, theme: Theme, width: number): Figure {
  const tip = (i: number): string[] => {
    const p = recipes.points[i];
    if (!p) return [];
    const lines = [visible(p.name), `${number(p.bits)} bits per weight`];
    if (p.measured !== null)
      lines.push(`measured ${recipes.metric} per position: ${withInterval(p.measured, p.interval?.[0] ?? null, p.interval?.[1] ?? null)}`);
    if (p.predicted !== null) lines.push(`predicted: ${number(p.predicted)}`);
    return lines;
  };
  const at = (which: "predicted" | "measured"): Mark[] =>
    recipes.points
      .map((p, i) => ({ value: [p.bits ?? NaN, p[which] ?? NaN], recipe: i, tip: tip(i) }))
      .filter((m) => m.value.every((v) => isFinite(v)) && (m.value[1] as number) > 0)
      .sort((a, b) => (a.value[0] as number) - (b.value[0] as number));
  const predicted = at("predicted");
  const measured = at("measured");
  const whole = wholeFormats(run, recipes.metric);
  const errors = predicted.concat(measured, whole).map((m) => m.value[1] as number);
  const ends = recipes.points.reduce<(number | null)[]>((list, p) => list.concat(p.interval ?? []), []);
  const range = decades(errors.concat(ends.filter((e): e is number => e !== null && e > 0)));
  const intervals = recipes.points
    .filter((p) => p.bits !== null && p.interval !== null && range !== null)
    .map((p) => [p.bits as number, Math.max(p.interval?.[0] ?? 0, range?.min ?? 0), p.interval?.[1] ?? 0]);
  const bits = predicted.concat(measured, whole).map((m) => m.value[0] as number);
  const least = bits.reduce((a, b) => Math.min(a, b), 16);
  const most = bits.reduce((a, b) => Math.max(a, b), 0);
  const along = (x: number): number => (most > least ? (x - least) / (most - least) : 0);
  const named = (marks: Mark[]): unknown[] =>
    marks.map((m) => ({
      ...m,
      label: { show: true, formatter: shortened(m.tip[0] as string, 18), position: side(along(m.value[0] as number)), color: theme.text, fontSize: FONT },
    }));
  const measuredNames = measured.length > 0;
  const option = {
    ...base(theme),
    legend: { top: 0, left: "center", textStyle: { color: theme.text, fontSize: FONT } },
    grid: { left: 76, right: 40, top: 36, bottom: 56 },
    xAxis: axis(theme, "mean bits per weight, scales included; float is 16", { type: "value", scale: true, nameGap: 30 }),
    yAxis: {
      ...logAxis(theme, `${recipes.metric} per position`, range ? [range.min, range.max] : []),
      nameGap: 56,
    },
    series: [
      {
        type: "custom",
        silent: true,
        data: intervals,
        encode: { x: 0, y: [1, 2] },
        renderItem: (_: unknown, api: RenderApi) => bar(api, theme),
      },
      {
        name: "predicted",
        type: "line",
        symbol: "emptyDiamond",
        symbolSize: 11,
        lineStyle: { color: theme.marks[1], type: "dashed" },
        itemStyle: { color: theme.marks[1] },
        labelLayout: { hideOverlap: true },
        data: measuredNames ? predicted : named(predicted),
      },
      {
        name: "measured",
        type: "line",
        symbol: "circle",
        symbolSize: 10,
        lineStyle: { color: theme.marks[0] },
        itemStyle: { color: theme.marks[0] },
        labelLayout: { hideOverlap: true },
        data: named(measured),
      },
      {
        name: "every op in one format",
        type: "scatter",
        symbol: "triangle",
        symbolSize: 11,
        itemStyle: { color: theme.marks[2] },
        labelLayout: { hideOverlap: true },
        data: named(whole),
      },
    ].filter((s) => s.data.length > 0),
  };
  const words = `Bits per weight against ${recipes.metric} per position of ${counted(recipes.points.length, "recipe")}: ${recipes.points
    .map((_, i) => tip(i).join(", "))
    .join("; ")}.`;
  return { option, height: width < 640 ? 380 : 440, words };
}
