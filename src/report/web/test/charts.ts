// What the charts hold, mark by mark: where it stands, its colour, and what is said of it, against the files.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { number, percent } from "../src/text.ts";
import { type Drawing, type Label, type Shape, along, axes, drawing, near, pointedAt, walked } from "./drawn.ts";
import { type Expected, byRank, expected, formatsOf, interval, mean, median, shareName, six, tipOf, whole } from "./expected.ts";
import { checkTable, choose } from "./numbers.ts";
import type { ScoresFile } from "./runs.ts";
import { demo, open, read, scoresOf } from "./stage.ts";

interface Cell extends Shape {
  tip: string[];
  sign: string; // what is written in it
  row: string;
  column: string;
}

// The words that a legend has for a colour.
function wordsOf(drawn: Drawing, fill: string): string {
  const swatch = drawn.shapes.find((s) => s.kind === "box" && s.fill === fill && near(s.width, 18) && near(s.height, 14));
  const label = drawn.labels.find((l) => swatch && l.anchor === "start" && near(l.y, swatch.y) && near(l.x, swatch.x + 15));
  return label?.text ?? `no words for ${fill}`;
}

async function cellsOf(page: Page, section: string): Promise<{ cells: Cell[]; drawn: Drawing; words: string }> {
  const figure = page.locator(`${section} figure`);
  const drawn = await drawing(figure);
  const boxes = drawn.shapes.filter((s) => s.kind === "box" && s.height > 20 && s.height < 24);
  const tips = await pointedAt(figure, boxes);
  const inside = (l: Label, b: Shape): boolean => near(l.x, b.x) && near(l.y, b.y);
  const beside = drawn.labels.filter((l) => !boxes.some((b) => inside(l, b)));
  const cells = boxes.map((box, i) => ({
    ...box,
    tip: tips[i] ?? [],
    sign: drawn.labels.find((l) => inside(l, box))?.text ?? "",
    row: beside.find((l) => l.anchor === "end" && near(l.y, box.y))?.text ?? "",
    column: beside.filter((l) => l.anchor === "middle" && near(l.x, box.x) && l.y > box.y).sort((a, b) => a.y - b.y)[0]?.text ?? "",
  }));
  return { cells, drawn, words: (await figure.locator(".chart").getAttribute("aria-label")) ?? "" };
}

// The words for a share, by the bounds in them.
function fits(words: string, share: number | null): boolean {
  if (share === null) return words === "no score";
  const [a = NaN, b = NaN] = (words.match(/[\d.]+/g) ?? []).map((n) => Number(n) / 100);
  if (words.startsWith("below")) return share < a;
  return words.endsWith("more") ? share >= a : share >= a && share < b;
}

// Ops that share a cell: of experts of a layer and role, which differ in numbers only.
interface Together {
  row: string;
  column: string;
  ops: Expected[];
}

function placesOf(all: Expected[]): Together[] {
  const many = new Set(all.map((e) => e.role)).size > 40;
  const places = new Map<string, Together>();
  for (const e of all) {
    const row = many ? e.role.replace(/\d+/g, "*") : e.role;
    const column = e.block === null ? "no layer" : String(e.block);
    const key = `${e.tower}, ${row}, ${column}`;
    const place = places.get(key) ?? { row, column, ops: [] };
    place.ops.push(e);
    places.set(key, place);
  }
  return [...places.values()];
}

function tipOfAll(ops: Expected[], file: ScoresFile, format: string): string[] {
  const first = byRank(ops)[0];
  if (ops.length === 1 || !first) return tipOf(ops[0] as Expected, file, format);
  const n = file.scores.filter((s) => s.format === format && s.rank !== null).length;
  return [`${ops.length} ops, such as ${first.op}`, `together, ${shareName(file, format)}: ${percent(shareOfAll(ops))}`, `the most sensitive has rank ${first.rank} of ${n}`];
}

const shareOfAll = (ops: Expected[]): number => ops.reduce((sum, e) => sum + (e.share ?? 0), 0);

async function checkHeatMap(page: Page, file: ScoresFile, format: string): Promise<void> {
  const { cells, drawn, words } = await cellsOf(page, "#heat");
  assert.deepEqual(drawn.labels[0]?.text, `${shareName(file, format)}, ${format}; digits are the first ranks`);
  const all = expected(file, format);
  const places = placesOf(all);
  assert.equal(cells.length, places.length);
  for (const { ops, row, column } of places) {
    const tip = tipOfAll(ops, file, format);
    const cell = cells.find((c) => c.tip.join() === tip.join());
    assert.ok(cell, tip.join());
    const first = byRank(ops)[0];
    assert.ok(first);
    assert.ok(fits(wordsOf(drawn, cell.fill), shareOfAll(ops)), `${tip[0]}: ${shareOfAll(ops)} is "${wordsOf(drawn, cell.fill)}"`);
    assert.equal(cell.sign, (first.rank as number) <= 9 ? String(first.rank) : "", first.op);
    assert.deepEqual([cell.row, cell.column === "–" ? "no layer" : cell.column], [row, column], first.op);
  }
  const worst = places.find((p) => p.ops.some((e) => e.rank === 1));
  assert.ok(worst && words.includes(`${places.length} cells. The darkest: ${tipOfAll(worst.ops, file, format).join("; ")}.`), words);
}

test("the heat map holds every score of scores.json, in the colour of its share", async () => {
  const page = await open("demo");
  for (const format of formatsOf(demo)) {
    await choose(page, format);
    await checkHeatMap(page, demo, format);
  }
});

test("416 ops in 14 formats: every number of the table in some of them, and the heat map", async () => {
  const page = await open("large");
  const file = scoresOf("large");
  const formats = formatsOf(file);
  assert.deepEqual([file.ops.length, formats.length], [416, 14]);
  for (const format of [formats[0], formats[6], formats[13]] as string[]) {
    await choose(page, format);
    await checkTable(page, file, format);
  }
  await checkHeatMap(page, file, formats[13] as string);
});

test("3,000 ops of experts: every number of the table, the heat map and the ranking", async () => {
  const page = await open("experts");
  const file = scoresOf("experts");
  assert.ok(file.ops.length > 2900);
  const format = formatsOf(file)[1] as string;
  await choose(page, format);
  await checkTable(page, file, format);
  await checkHeatMap(page, file, format);
  await checkRanking(page, file, format);
});

test("the heat map has a cross and no share where there is no score", async () => {
  const page = await open("text-only");
  const file = scoresOf("text-only");
  const { cells, drawn } = await cellsOf(page, "#heat");
  const without = expected(file, "w8a16").filter((e) => e.rank === null);
  assert.ok(without.length > 0);
  for (const e of without) {
    const cell = cells.find((c) => c.tip[0] === e.op);
    assert.ok(cell, e.op);
    assert.deepEqual([cell.tip, cell.sign, wordsOf(drawn, cell.fill)], [[e.op, `no score: ${e.status}`], "×", "no score"]);
  }
});

async function checkRanking(page: Page, file: ScoresFile, format: string): Promise<void> {
  const first = byRank(expected(file, format)).slice(0, 20);
  const figure = page.locator("#ranking figure");
  const drawn = await drawing(figure);
  const rows = drawn.labels.filter((l) => l.anchor === "end").map((l) => l.text);
  assert.deepEqual(rows, first.map((e) => `${e.rank}. ${e.op}`));
  const x = along(drawn, true);
  const dots = drawn.shapes.filter((s) => s.kind === "symbol").sort((a, b) => a.y - b.y);
  const lines = drawn.shapes.filter((s) => s.kind === "line" && s.height === 0 && dots.some((d) => near(d.y, s.y)));
  assert.equal(dots.length, first.length);
  first.forEach((e, i) => {
    const dot = dots[i];
    const line = lines.find((l) => dot && near(l.y, dot.y));
    assert.ok(dot && line && e.low !== null && e.high !== null);
    assert.ok(near(dot.x, x(e.value as number)), `${e.op}: ${dot.x}, not ${x(e.value as number)}`);
    assert.ok(near(line.x - line.width / 2, x(e.low)), `${e.op} from ${e.low}`);
    assert.ok(near(line.x + line.width / 2, x(e.high)), `${e.op} to ${e.high}`);
  });
  assert.deepEqual(await walked(figure), first.map((e) => tipOf(e, file, format).join("; ")));
  const label = await figure.locator(".chart").getAttribute("aria-label");
  const top = first[0] as Expected;
  assert.ok(label?.includes(`The 20 most sensitive of ${file.ops.length} ops in ${format}`) && label.includes(`First: ${top.op}, ${interval(top.value, top.low, top.high)}.`), label ?? "");
}

test("the ranking has its dots and intervals where scores.json has them", async () => {
  const page = await open("demo");
  for (const format of formatsOf(demo)) {
    await choose(page, format);
    await checkRanking(page, demo, format);
  }
});

interface Point {
  x: number;
  y: number;
  tower: string;
  tip: string;
}

// Every point in its place, in the colour of its tower, and what is said of it, tower by tower.
export async function checkPoints(page: Page, section: string, points: Point[], log: boolean): Promise<{ drawn: Drawing; scale: ReturnType<typeof axes>; words: string }> {
  const figure = page.locator(`${section} figure`);
  const drawn = await drawing(figure);
  const scale = axes(drawn, { x: log, y: log });
  const symbols = drawn.shapes.filter((s) => s.kind === "symbol");
  const towers = [...new Set(points.map((p) => p.tower))];
  const icon = (tower: string): Shape | undefined => {
    const label = drawn.labels.find((l) => l.text === tower);
    return drawn.shapes.find((s) => s.kind === "legend" && label && near(s.x + 17, label.x) && near(s.y + 0, label.y) && s.fill.startsWith("#"));
  };
  assert.equal(symbols.length, points.length);
  for (const p of points) {
    const there = symbols.filter((s) => near(s.x, scale.x(p.x)) && near(s.y, scale.y(p.y)));
    assert.ok(there.some((s) => s.fill === icon(p.tower)?.fill), `${p.tip} at ${scale.x(p.x)}, ${scale.y(p.y)}`);
  }
  assert.deepEqual(await walked(figure), towers.flatMap((tower) => points.filter((p) => p.tower === tower).map((p) => p.tip)));
  return { drawn, scale, words: (await figure.locator(".chart").getAttribute("aria-label")) ?? "" };
}

test("why: every op stands at its errors, and the lines at the medians", async () => {
  const page = await open("demo");
  for (const format of formatsOf(demo)) {
    await choose(page, format);
    const all = expected(demo, format).filter((e) => (e.value ?? 0) > 0 && (e.relative ?? 0) > 0);
    const points = all.map((e) => ({
      x: e.relative as number,
      y: e.value as number,
      tower: e.tower,
      tip: tipOf(e, demo, format).concat(`relative error at the op: ${percent(e.relative)}`).join("; "),
    }));
    const { drawn, scale, words } = await checkPoints(page, "#why", points, true);
    const middle = { x: median(points.map((p) => p.x)), y: median(points.map((p) => p.y)) };
    const lines = drawn.shapes.filter((s) => s.kind === "line");
    assert.ok(lines.some((l) => l.width === 0 && Math.abs(l.x - scale.x(middle.x)) < 1), "the median of the errors at the ops");
    assert.ok(lines.some((l) => l.height === 0 && Math.abs(l.y - scale.y(middle.y)) < 1), "the median of the errors at the output");
    assert.ok(words.includes(`for ${points.length} ops; medians ${percent(middle.x)} and ${number(middle.y)}.`), words);
    const first = byRank(all)[0] as Expected;
    assert.ok(drawn.labels.some((l) => l.text === "1" && near(l.y, scale.y(first.value as number)) && Math.abs(l.x - scale.x(first.relative as number)) < 12), "the first rank's digit");
  }
});

test("formats against each other: every op stands at its errors in both", async () => {
  const page = await open("demo");
  const [a = "", b = ""] = formatsOf(demo);
  const second = expected(demo, b);
  const pairs = expected(demo, a).map((e) => ({ e, f: second.find((s) => s.op === e.op) as Expected })).filter((p) => (p.e.value ?? 0) > 0 && (p.f.value ?? 0) > 0);
  const { drawn, words } = await checkPoints(page, "#versus", pairs.map(({ e, f }) => ({
    x: e.value as number,
    y: f.value as number,
    tower: e.tower,
    tip: `${e.op}; ${a}: ${number(e.value)}, rank ${e.rank}; ${b}: ${number(f.value)}, rank ${f.rank}`,
  })), true);
  for (const name of [`${a}: kl:all per position, nats`, `${b}: kl:all per position, nats`, `${a} is better`, `${b} is better`]) assert.ok(drawn.labels.some((l) => l.text === name), name);
  const smaller = pairs.filter(({ e, f }) => (e.value as number) < (f.value as number)).length;
  assert.ok(words.startsWith(`${a} against ${b} for ${pairs.length} ops: ${a} has the smaller error at ${smaller}.`), words);
});

interface EvalFile {
  recipes: {
    name: string;
    effective_bits: number;
    ops: Record<string, string>;
    metrics: { all: { kl: number; positions: number; ci95: { kl: [number, number] } } };
    predicted: { metric: string; corrected: number; with_pairs: number | null; positions: number }[];
  }[];
}

interface Spot {
  name: string;
  bits: number;
  predicted: number;
  measured: number;
  low: number;
  high: number;
}

const spots = (file: EvalFile): Spot[] =>
  file.recipes.map((r) => {
    const sums = r.metrics.all;
    const predicted = r.predicted.find((p) => p.metric === "kl:all");
    return {
      name: r.name,
      bits: r.effective_bits,
      predicted: predicted ? (predicted.with_pairs ?? predicted.corrected) / predicted.positions : NaN,
      measured: sums.kl / sums.positions,
      low: sums.ci95.kl[0],
      high: sums.ci95.kl[1],
    };
  }).sort((a, b) => a.bits - b.bits);

// Bits of the whole model in a format: those of its ops by their weights.
function meanBits(file: ScoresFile, format: string): number {
  const weights = (op: string): number => file.ops.find((o) => o.name === op)?.parameters ?? 0;
  const all = expected(file, format);
  return all.reduce((sum, e) => sum + e.bits * weights(e.op), 0) / all.reduce((sum, e) => sum + weights(e.op), 0);
}

test("the spectrum has recipes and whole formats where the files have them", async () => {
  const page = await open("demo");
  const figure = page.locator("#spectrum figure").first();
  const drawn = await drawing(figure);
  const scale = axes(drawn, { x: false, y: true });
  const recipes = spots(read("measured", "eval.json") as EvalFile);
  const formats = formatsOf(demo).map((format) => ({ name: `all:${format}`, bits: meanBits(demo, format), value: mean(whole(demo, format)) }));
  const symbols = drawn.shapes.filter((s) => s.kind === "symbol");
  const at = (x: number, y: number, what: string): void => assert.ok(symbols.some((s) => near(s.x, scale.x(x)) && near(s.y, scale.y(y))), what);
  for (const r of recipes) {
    at(r.bits, r.predicted, `${r.name} predicted`);
    at(r.bits, r.measured, `${r.name} measured`);
    const bar = drawn.shapes.find((s) => s.kind === "line" && Math.abs(s.width) < 0.1 && near(s.x, scale.x(r.bits)) && near(s.y + s.height / 2, scale.y(r.high)));
    assert.ok(bar && near(bar.y - bar.height / 2, scale.y(r.low)), `${r.name} from ${r.low} to ${r.high}`);
  }
  for (const f of formats) at(f.bits, f.value, f.name);
  const tip = (r: Spot): string => [r.name, `${number(six(r.bits))} bits per weight`, `measured kl:all per position: ${interval(six(r.measured), six(r.low), six(r.high))}`, `predicted: ${number(six(r.predicted))}`].join("; ");
  const tips = recipes.map(tip);
  assert.deepEqual(await walked(figure), [...tips, ...tips, ...formats.map((f) => `${f.name}; ${number(f.bits)} bits per weight; kl:all per position: ${number(six(f.value))}`)]);
});

test("a recipe's map has the format of every op", async () => {
  const page = await open("demo");
  const { recipes } = read("measured", "eval.json") as EvalFile;
  for (const recipe of recipes) {
    await page.locator(`#spectrum tr[data-recipe="${recipe.name}"] button`).click();
    await page.locator("#choice h3", { hasText: recipe.name }).waitFor();
    const { cells, drawn, words } = await cellsOf(page, "#choice");
    assert.deepEqual(cells.map((c) => c.tip).sort(), demo.ops.map((op) => [op.name, recipe.ops[op.name] ?? "float"]).sort());
    for (const format of ["float", ...formatsOf(demo)]) {
      const own = cells.filter((c) => c.tip[1] === format);
      assert.ok(own.every((c) => wordsOf(drawn, c.fill) === `${format}: ${own.length} op${own.length === 1 ? "" : "s"}`), format);
      assert.equal(new Set(own.map((c) => c.sign)).size, 1, format);
      assert.ok(words.includes(`${format}: ${own.length} op`), words);
    }
  }
});
