import assert from "node:assert/strict";
import { test } from "node:test";
import { step } from "../src/chart.ts";
import { type Score, type Unit, groupLabel, median, ranked, scoresOf } from "../src/data.ts";
import { type Change, byWeight } from "../src/difference.ts";
import { type Mark, comparison, decades, formats, ranking, why } from "../src/figures.ts";
import { panels } from "../src/layout.ts";
import { bitsOfFormats, choiceMap, heatMap } from "../src/maps.ts";
import { spectrum } from "../src/spectrum.ts";
import { fromHash, initial, toHash } from "../src/state.ts";
import { cellText, columns, filtered, sorted, tableCsv } from "../src/table.ts";
import { bytes, csv, number, percent, pieces, seconds, shortened, signed, visible } from "../src/text.ts";
import { type Theme, classLabel, classOf, dark, light } from "../src/theme.ts";
import { NAMES, group, run } from "./sample.ts";

const WIDE = 1000;
const sample = run();
const first = sample.groups[0] ?? group("w8a8");
const all = scoresOf(sample, first);
interface Series {
  data: (Mark & { label?: { formatter: string }; itemStyle?: { color: string } })[];
}
const seriesOf = (figure: { option: Record<string, unknown> }): Series[] => figure.option.series as Series[];
const drawn = (figure: { option: Record<string, unknown> }): Series["data"] => seriesOf(figure).flatMap((s) => s.data).filter((d) => d.tip);

// The same as tests/report/report_test.cc.
test("numbers have three significant digits, as in report.md", () => {
  assert.equal(number(0), "0");
  assert.equal(number(0.0123456), "0.0123");
  assert.equal(number(9.996), "10.0");
  assert.equal(number(1234.5), "1230");
  assert.equal(number(-2.5), "-2.50");
  assert.equal(number(1.5e-7), "1.50e-7");
  assert.equal(number(2.5e6), "2.50e6");
  assert.equal(number(null), "–");
  assert.equal(percent(0.5), "50.0 %");
  assert.equal(seconds(600), "10.0 min");
  assert.equal(bytes(3 * 2 ** 20), "3.00 MiB");
  assert.equal(bytes(2 ** 30), "1.00 GiB");
  assert.equal(bytes(512), "0.500 KiB");
  assert.deepEqual([signed(0.25), signed(-0.25), signed(0), signed(null)], ["+0.250", "-0.250", "0", "–"]);
});

test("names cannot hide or turn the direction of text", () => {
  assert.equal(visible("a\u202egnp\u0000"), "a\ufffdgnp\ufffd");
  assert.equal(visible("שלום"), "שלום");
  assert.equal(shortened("model.layers.0.self_attn.q_proj", 11), "model…_proj");
  for (const name of ["__proto__", "constructor", "toString"]) assert.equal(shortened(name, 20), `${name}\u00a0`);
});

test("inline code of sentences is told from the rest", () => {
  assert.deepEqual(pieces("In `a\\|b`, **no**."), [
    { text: "In ", code: false },
    { text: "a|b", code: true },
    { text: ", no.", code: false },
  ]);
});

test("CSV quotes what it must, and formulas are text", () => {
  assert.equal(csv([["a,b", 1, null], ['"', "=1+1", "x"]]), '"a,b",1,\n"""",\'=1+1,x\n');
});

test("the state stands in the address and comes back from it", () => {
  const state = { ...initial(), op: "a&b=#<c>", format: "w8a8, isolated" };
  assert.deepEqual(fromHash(toHash(state)), state);
  assert.equal(toHash(initial()), "");
  assert.equal(fromHash("#op=lm_head").op, "lm_head");
});

test("ops stand by layer and role, experts of a role together", () => {
  const [vision, language] = panels(sample.ops);
  assert.deepEqual(vision?.columns, ["–"]);
  assert.deepEqual(language?.columns, ["–", "0", "1"]);
  assert.deepEqual(language?.rows, ["q_proj", "down_proj", "lm_head"]);
  const experts = run().ops;
  const n = 60;
  experts.name = Array.from({ length: n }, (_, i) => `e${i}`);
  experts.tower = experts.name.map(() => "language");
  experts.block = experts.name.map(() => 0);
  experts.role = experts.name.map((_, i) => `experts.${i}.up_proj`);
  assert.deepEqual(panels(experts)[0]?.rows, ["experts.*.up_proj"]);
  assert.equal(panels(experts)[0]?.places[0]?.ops.length, n);
});

test("the heat map shows every share, the first ranks, and no number where there is none", () => {
  const cells = drawn(heatMap(sample, first, all, light, WIDE));
  assert.equal(cells.length, NAMES.length);
  const of = (op: number): (typeof cells)[number] | undefined => cells.find((c) => c.op === op);
  assert.equal(of(1)?.value[2], 0.5);
  assert.equal(of(1)?.label?.formatter, "1");
  assert.equal(of(1)?.itemStyle?.color, light.classes[6]);
  assert.equal(of(0)?.label?.formatter, "×");
  assert.equal(of(0)?.itemStyle?.color, light.none);
  assert.deepEqual(of(0)?.tip, [NAMES[0], "no score: unexercised"]);
  assert.match(heatMap(sample, first, all, light, WIDE).words, /1 without a score.*model\.layers\.0\.q_proj/);
});

test("in the heat map experts of a role have their shares together", () => {
  const numbers = Array.from({ length: 60 }, (_, i) => i);
  const like = <T>(column: T[]): T[] => numbers.map((i) => column[Math.min(i, 4)] as T);
  const scored = group("w8a8");
  scored.scores = Object.fromEntries(Object.entries(scored.scores).map(([key, column]) => [key, like(column as unknown[])])) as unknown as typeof scored.scores;
  scored.scores.op = numbers;
  const experts = run();
  experts.ops = { ...experts.ops, name: numbers.map((i) => `e${i}`), tower: numbers.map(() => "language"), block: numbers.map(() => 0), role: numbers.map((i) => `experts.${i}.up_proj`) };
  const [cell, ...others] = drawn(heatMap(experts, scored, scoresOf(experts, scored), light, WIDE));
  assert.equal(others.length, 0);
  assert.ok(cell && Math.abs((cell.value[2] as number) - 1) < 1e-12, "0.5, 0.3, 0.2 and zeros");
  assert.deepEqual(cell.tip, ["60 ops, such as e1", "together, share of the summed error: 100 %", "the most sensitive has rank 1 of 4", "1 without a score"]);
});

test("classes of shares are bounded as their labels say", () => {
  assert.equal(classOf(0), 0);
  assert.equal(classOf(0.0003), 1);
  assert.equal(classOf(0.0999), 5);
  assert.equal(classOf(1), 6);
  assert.equal(classLabel(1), "0.03 to 0.1 %");
  assert.equal(classLabel(6), "10 % and more");
});

test("the ranking has the first ops in order; an error of 0 has no place on its axis", () => {
  const figure = ranking(sample, first, all, light, 20, WIDE);
  const dots = drawn(figure);
  assert.deepEqual(dots.map((d) => d.value[0]), [0.5, 0.3, 0.2]);
  assert.match(figure.words, /First: model\.layers\.0\.q_proj, 0\.500 \[0\.250, 1\.00\]/);
  assert.deepEqual(ranked(all).map((s) => s.rank), [1, 2, 3, 4]);
});

test("a run without a score draws nothing and says so", () => {
  const none = group("w8a8");
  none.ranked = 0;
  none.scores.rank = none.scores.rank.map(() => null);
  none.scores.value = none.scores.value.map(() => null);
  const scores = scoresOf(sample, none);
  assert.equal(drawn(ranking(sample, none, scores, light, 20, WIDE)).length, 0);
  assert.match(ranking(sample, none, scores, light, 20, WIDE).words, /No op has a score/);
  assert.equal(drawn(why(none, scores, light, WIDE)).length, 0);
});

test("errors at the op and at the output are set against each other", () => {
  const marks = drawn(why(first, all, light, WIDE));
  assert.deepEqual(marks.map((m) => m.value), [[0.01, 0.5], [0.1, 0.3], [0.02, 0.2]]);
});

test("formats are compared op by op", () => {
  const b = group("nvfp4", 10);
  const figure = formats(first, b, all, scoresOf(sample, b), light, WIDE);
  assert.deepEqual(drawn(figure).map((m) => m.value), [[0.5, 5], [0.3, 3], [0.2, 2]]);
  assert.match(figure.words, /w8a8 has the smaller error at 3/);
});

test("another ranking stands beside ours, the outliers by their names", () => {
  const unit = (name: string, ours: number, theirs: number): Unit => ({ name, tower: "language", run_rank: ours, other_rank: theirs, run_score: 10 - ours, other_score: 20 - theirs });
  const c = {
    run: { source: "a", what: "w8a8" },
    other: { source: "b", what: "ModelOpt" },
    matched: 3,
    spearman: 0.5,
    kendall: 0.3,
    warnings: [],
    outliers: ["q"],
    units: [unit("q", 1, 3), unit("k", 2, 2), unit("v", 3, 1.5)],
  };
  const figure = comparison(c, {}, light, WIDE);
  const marks = drawn(figure);
  assert.deepEqual(marks.map((m) => m.value), [[1, 3], [2, 2], [3, 1.5]]);
  assert.deepEqual(marks.map((m) => m.label?.formatter ?? ""), ["q", "", ""]);
  assert.deepEqual(marks[2]?.tip, ["v", "RUN: rank 3, score 7.00", "OTHER: rank 1.5, score 18.5"]);
  assert.match(figure.words, /Ranks of 3 ops on both sides; Spearman 0\.500/);
});

test("of two recipes the largest change of the error comes first, then of the bits", () => {
  const change = (name: string, predicted: number | null, bits: number): Change => ({ name, ops: [name], a: "w8a8", b: "float", bits, predicted });
  const order = byWeight([change("a", null, 1), change("b", 0.1, 1), change("c", -0.2, 1), change("d", null, -2)]);
  assert.deepEqual(order.map((c) => c.name), ["c", "b", "d", "a"]);
});

test("logarithmic axes end at powers of ten", () => {
  const range = decades([0.02, 3, null, 0]);
  assert.ok(range && Math.abs(range.min - 0.01) < 1e-12 && Math.abs(range.max - 10) < 1e-9);
  assert.equal(decades([0, null]), null);
});

test("recipes are drawn where they are, and their choice as letters", () => {
  const recipes = {
    metric: "kl:all",
    samples: 3,
    formats: ["w8a8"],
    points: [{ name: "small", bits: 8.5, predicted: 0.1, measured: 0.2, interval: [0.1, 0.3] as [number, number], flips: 0, positions: 100, counts: { w8a8: 4 }, choice: [-1, 0, 0, 0, 0] }],
  };
  const marks = drawn(spectrum(sample, recipes, light, WIDE));
  assert.deepEqual(marks.map((m) => m.value), [[8.5, 0.1], [8.5, 0.2], [8, 1.5]]);
  const cells = drawn(choiceMap(sample, recipes.points[0]?.choice ?? [], recipes.formats, light, WIDE));
  assert.deepEqual(cells.map((c) => c.label?.formatter), ["f", "A", "A", "A", "A"]);
  assert.equal(bitsOfFormats(sample)._w8a8, 8);
});

test("the table has every number with its unit", () => {
  const cols = columns("kl:all per position, nats", "share");
  const row = ["1", NAMES[1], "language", "0", "q_proj", "0.500", "0.250", "1.00", "50.0 %", "40.0", "5.00", "1.00", "8.00", "ok", "exact"];
  assert.deepEqual(cols.map((c) => cellText(c, all[1] as Score)), row);
  assert.deepEqual(cols.filter((c) => c.numeric && cellText(c, all[0] as Score) === "–").map((c) => c.key), ["rank", "layer", "value", "low", "high", "share", "sqnr", "outliers", "range"]);
  assert.equal(cols.find((c) => c.key === "value")?.title, "kl:all per position, nats");
});

test("the table is filtered by words and sorted with unknown values last", () => {
  const cols = columns("kl", "share");
  assert.deepEqual(filtered(all, "LAYERS q_proj", "").map((s) => s.op), [1, 3]);
  assert.deepEqual(filtered(all, "", "vision").map((s) => s.op), [0]);
  assert.deepEqual(sorted(all, cols, "-value").map((s) => s.op), [1, 2, 3, 4, 0]);
  assert.deepEqual(sorted(all, cols, "value").map((s) => s.op), [4, 3, 2, 1, 0]);
  assert.equal(tableCsv(all, cols).split("\n")[2]?.split(",")[5], "0.5");
});

test("keys walk along rows and columns of a map, and marks in order", () => {
  const cells = [[0, 0, 0], [1, 0, 0], [0, 1, 0]].map((value) => ({ value, series: 0 })).concat({ value: [0, 0, 0], series: 1 });
  assert.equal(step(cells, -1, "ArrowRight"), 0);
  assert.equal(step(cells, 0, "ArrowRight"), 1);
  assert.equal(step(cells, 1, "ArrowRight"), 1);
  assert.equal(step(cells, 0, "ArrowDown"), 2);
  assert.equal(step(cells, 2, "ArrowDown"), 3);
  assert.equal(step(cells, 0, "End"), 3);
  const marks = [{ value: [1, 1], series: 0 }, { value: [2, 2], series: 0 }];
  assert.equal(step(marks, 0, "ArrowDown"), 1);
  assert.equal(step(marks, 1, "ArrowDown"), 1);
});

test("groups of one format are told apart by mode and method", () => {
  const other = { ...group("w8a8"), method: "adjoint" };
  assert.equal(groupLabel(first, [first, other]), "w8a8, isolated, exact");
  assert.equal(groupLabel(first, [first]), "w8a8");
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([]), null);
});

// WCAG's contrast of two colours "#rrggbb".
function contrast(a: string, b: string): number {
  const luminance = (colour: string): number => {
    const [r, g, b] = [1, 3, 5].map((i) => {
      const c = parseInt(colour.slice(i, i + 2), 16) / 255;
      return c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4);
    });
    return 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return ((high ?? 0) + 0.05) / ((low ?? 0) + 0.05);
}

for (const [name, theme] of [["light", light], ["dark", dark]] as [string, Theme][])
  test(`the ${name} colours have contrast enough`, () => {
    for (const text of [theme.text, theme.muted]) assert.ok(contrast(text, theme.background) >= 4.5, text);
    for (const mark of theme.marks) assert.ok(contrast(mark, theme.background) >= 3, mark);
    theme.classes.forEach((fill, i) => assert.ok(contrast(fill, theme.onClass[i] ?? "") >= 4.5, fill));
    theme.bits.forEach((fill, i) => assert.ok(contrast(fill, theme.onBits[i] ?? "") >= 4.5, fill));
    assert.ok(contrast(theme.muted, theme.none) >= 4.5);
  });
