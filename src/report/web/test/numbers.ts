// The numbers of the page's words and tables, all of them, against the files.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { number, percent, seconds } from "../src/text.ts";
import { type Expected, byRank, expected, formatsOf, interval, mean, median, numbersIn, shareName, six, whole } from "./expected.ts";
import type { ScoresFile } from "./runs.ts";
import { demo, open, partial, read, rowsOf, scoresOf, shows } from "./stage.ts";

// By its place: looking for words in a page of many rows takes long.
export const choose = async (page: Page, format: string): Promise<unknown> => page.locator(".bar select").selectOption(format);

const text = (value: number | string | null): string => (value === null ? "–" : String(value));

const rowOf = (e: Expected): string[] => [
  text(e.rank), e.op, e.tower, text(e.block), e.role, number(e.value), number(e.low), number(e.high), percent(e.share),
  number(e.sqnr), number(e.outliers), number(e.range), number(e.bits), e.status, e.method,
];

// The table as it is first: by rank, what has none last, in the order of the file.
export async function checkTable(page: Page, file: ScoresFile, format: string): Promise<void> {
  const all = expected(file, format);
  const more = page.locator("#scores .controls button", { hasText: "Show all" });
  if (await more.isVisible()) {
    await more.click();
    await more.waitFor({ state: "hidden" });
  }
  const heads = (await page.locator("#scores thead th").allTextContents()).map((t) => t.replace(/ [▲▼]$/, ""));
  assert.deepEqual(heads, [
    "Rank", "Op", "Tower", "Layer", "Role", "kl:all per position, nats", "95 % from", "to", shareName(file, format),
    "Local SQNR, dB", "Outlier ratio", "Largest input", "Bits per weight", "Status", "Method",
  ]);
  const shown = await rowsOf(page.locator("#scores tbody tr"));
  assert.deepEqual(shown, byRank(all).concat(all.filter((e) => e.rank === null)).map(rowOf), format);
}

test("the table has every number of scores.json, in every format", async () => {
  const page = await open("demo");
  for (const format of formatsOf(demo)) {
    await choose(page, format);
    await checkTable(page, demo, format);
  }
});

for (const [name] of [...partial, ["together"]] as [string][])
  test(`the table has every number of scores.json where something is missing: ${name}`, async () => {
    const page = await open(name);
    const file = scoresOf(name);
    for (const format of formatsOf(file)) await checkTable(page, file, format);
  });

// The text of an element without what stands in code: numbers of names are none.
const proseOf = (page: Page, selector: string): Promise<string[]> =>
  page.locator(selector).evaluateAll((all) =>
    all.map((element) => {
      const copy = element.cloneNode(true) as HTMLElement;
      copy.querySelectorAll("code").forEach((code) => code.remove());
      return copy.textContent ?? "";
    }));

interface Typical {
  relative: number;
  outliers: number;
  cost: number;
}

interface Exact {
  relative: number;
  outliers: number;
  value: number;
  low: number;
  high: number;
}

// With all digits: sentences are written before the page's data is rounded.
function exact(file: ScoresFile, format: string, op: string): Exact {
  const score = file.scores.find((s) => s.format === format && s.op === op);
  const l = score?.local;
  if (!score || !l) throw new Error(op);
  const [low, high] = score.metrics?.all.ci95.kl ?? [NaN, NaN];
  return {
    relative: Math.sqrt(l.error_sse / l.output_sse),
    outliers: Math.max(Math.abs(l.input_min), Math.abs(l.input_max)) / Math.sqrt(l.input_sum_squares / l.input_elements),
    value: mean(score.metrics?.all),
    low,
    high,
  };
}

function typicalOf(file: ScoresFile, format: string): Typical {
  const all = file.scores.filter((s) => s.format === format && s.local && s.metrics).map((s) => exact(file, format, s.op));
  const of = (value: (e: Exact) => number): number => median(all.map(value).filter((v) => isFinite(v)));
  return { relative: of((e) => e.relative), outliers: of((e) => e.outliers), cost: of((e) => e.value / e.relative ** 2) };
}

// What is worth saying of an op: by how much it is off, a range of outliers, a costly place, a wide interval.
function reasons(file: ScoresFile, format: string, op: string, typical: Typical): string[] {
  const e = exact(file, format, op);
  const cost = e.value / e.relative ** 2;
  const said = [percent(e.relative), percent(typical.relative)];
  if (format !== "w8a16" && e.outliers >= 8 && e.outliers >= 2 * typical.outliers) said.push(number(e.outliers), number(typical.outliers));
  if (cost >= 2 * typical.cost) said.push(number(cost / typical.cost));
  if (e.high > 4 * e.low) said.push(number(e.high / e.low));
  return said;
}

// The fewest ops of most of the error, and what the verdict says of them.
function damage(file: ScoresFile, format: string): { where: string[]; named: string[] } {
  const kl = (op: string): number => file.scores.find((s) => s.format === format && s.op === op)?.metrics?.all.kl ?? 0;
  const weights = (op: string): number => file.ops.find((o) => o.name === op)?.parameters ?? 0;
  const order = byRank(expected(file, format)).map((e) => e.op);
  const summed = order.reduce((sum, op) => sum + kl(op), 0);
  let n = 0;
  for (let sum = 0; sum < 0.8 * summed; ++n) sum += kl(order[n] ?? "");
  const most = order.slice(0, n);
  const all = file.ops.reduce((sum, op) => sum + op.parameters, 0);
  const part = (value: (op: string) => number): number => most.reduce((sum, op) => sum + value(op), 0);
  const few = n <= Math.max(1, 0.15 * order.length);
  const named = order.slice(0, few ? Math.min(n, 5) : 5).map((op) => percent(kl(op) / summed));
  return { where: [String(n), String(order.length), percent(part(kl) / summed), percent(part(weights) / all)], named: few && n > 5 ? [...named, String(n - 5)] : named };
}

test("the verdict's numbers are those of scores.json", async () => {
  const page = await open("demo");
  const values = (format: string): string[] => {
    const all = whole(demo, format);
    return numbersIn(interval(mean(all), all?.ci95.kl?.[0] ?? null, all?.ci95.kl?.[1] ?? null));
  };
  const formats = formatsOf(demo).sort((a, b) => mean(whole(demo, a)) - mean(whole(demo, b)));
  assert.deepEqual(numbersIn((await proseOf(page, "#verdict .headline"))[0] ?? ""), [
    String(formats.length), ...values(formats[0] ?? ""), ...values(formats[formats.length - 1] ?? ""),
  ]);
  for (const format of formats) {
    await choose(page, format);
    const parts = Object.fromEntries(await page.locator("#verdict dt").allTextContents().then(async (topics) => {
      const told = await proseOf(page, "#verdict dd");
      return topics.map((topic, i) => [topic, numbersIn(told[i] ?? "")] as const);
    }));
    const all = whole(demo, format);
    assert.ok(all);
    assert.deepEqual(parts["How much"], [percent(all.top1_flips / all.positions), String(all.positions), ...values(format)]);
    const { where, named } = damage(demo, format);
    assert.deepEqual([...(parts.Where ?? []), ...(parts["What to do"] ?? [])], [...where, ...named], format);
    const first = byRank(expected(demo, format))[0]?.op ?? "";
    assert.deepEqual(parts.Why, reasons(demo, format, first, typicalOf(demo, format)));
    assert.equal(await page.locator("#verdict dd code").last().textContent(), first, "whose reasons they are");
    const reliability = demo.reliability.find((r) => r.format === format)?.spearman ?? NaN;
    assert.deepEqual(parts["How sure"], [String(demo.data.samples), number(reliability), "1"]);
  }
});

test("the overview's numbers are those of scores.json", async () => {
  const page = await open("demo");
  const { samples, tokens, answer_tokens, image_tokens } = demo.data;
  const part = (n: number): string[] => [String(n), percent(n / tokens)];
  const positions = whole(demo, "w8a8")?.positions;
  assert.deepEqual(numbersIn((await proseOf(page, "#header p"))[0] ?? ""), [
    String(demo.ops.length), String(samples), String(tokens), ...part(answer_tokens), ...part(image_tokens), ...part(tokens - answer_tokens - image_tokens), String(positions),
  ]);
  const order = formatsOf(demo).sort((a, b) => mean(whole(demo, a)) - mean(whole(demo, b)));
  const rows = await rowsOf(page.locator("#formats tbody tr"));
  assert.equal(rows.length, order.length);
  order.forEach((format, i) => {
    const all = whole(demo, format);
    assert.ok(all);
    const [low, high] = all.ci95.kl ?? [NaN, NaN];
    const [label, , ...rest] = rows[i] ?? [];
    assert.equal(label, format);
    assert.deepEqual(rest, [
      interval(six(mean(all)), six(low), six(high)),
      percent(six(all.top1_flips / all.positions)),
      number(six(Math.exp(all.nll_delta / all.targets))),
      number(six(demo.reliability.find((r) => r.format === format)?.spearman ?? NaN)),
      byRank(expected(demo, format))[0]?.op,
    ]);
  });
});

interface Panel {
  name: string;
  facts: string;
  reasons: string;
  rows: string[][];
}

// What the page tells of ops, one after the other.
const panelsOf = (page: Page, ops: string[]): Promise<Panel[]> =>
  page.evaluate((names) => {
    const input = document.querySelector<HTMLInputElement>("#op input");
    const words = (selector: string): string => document.querySelector(`#op ${selector}`)?.textContent ?? "";
    return names.map((name) => {
      if (input) input.value = name;
      input?.dispatchEvent(new Event("change"));
      const rows = [...document.querySelectorAll("#op tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent ?? ""));
      return { name: words("h3"), facts: words("h3 + p"), reasons: words("h3 + p + p"), rows };
    });
  }, ops);

test("an op's numbers in every format are those of scores.json", async () => {
  const page = await open("demo");
  const formats = formatsOf(demo);
  const known = formats.map((format) => expected(demo, format));
  for (const format of formats) {
    await choose(page, format);
    const typical = typicalOf(demo, format);
    const panels = await panelsOf(page, demo.ops.map((op) => op.name));
    demo.ops.forEach((op, i) => {
      const panel = panels[i];
      assert.equal(panel?.name, op.name);
      const place = op.block === null ? "no layer" : `layer ${op.block}`;
      assert.ok(panel.facts.startsWith(`${op.tower}, ${place}, ${op.role}; ${op.in_features} to ${op.out_features} features, ${op.parameters.toLocaleString("en")} parameters`), panel.facts);
      const here = known.map((all) => all.find((e) => e.op === op.name));
      assert.deepEqual(panel.rows, here.map((e, k) => {
        assert.ok(e);
        return [
          formats[k], `${e.rank} of ${known[k]?.length}`, interval(e.value, e.low, e.high), percent(e.share), percent(e.flips),
          number(e.sqnr), percent(e.relative), number(e.bits), e.method,
        ];
      }));
      const e = here[formats.indexOf(format)];
      assert.ok(e?.rank);
      const said = e.rank <= 20 ? reasons(demo, format, op.name, typical) : [percent(e.relative), number(e.outliers)];
      assert.deepEqual(numbersIn(panel.reasons), said, `${op.name} in ${format}`);
    });
  }
});

interface Recipe {
  name: string;
  effective_bits: number;
  formats: Record<string, number>;
  ops: Record<string, string>;
  metrics: { all: { kl: number; top1_flips: number; positions: number; ci95: { kl: [number, number] } } };
  predicted: { metric: string; corrected: number; with_pairs: number | null; positions: number }[];
}

test("recipes stand with the numbers of eval.json", async () => {
  const page = await open("demo");
  const { recipes } = read("measured", "eval.json") as { recipes: Recipe[] };
  const heads = await page.locator("#spectrum thead th").allTextContents();
  const formats = heads.slice(5).map((head) => head.replace(/ ops$/, ""));
  assert.deepEqual(formats.slice().sort(), formatsOf(demo).sort());
  const rows = await rowsOf(page.locator("#spectrum tbody tr"));
  assert.deepEqual(rows, recipes.map((r) => {
    const { kl, positions, top1_flips, ci95 } = r.metrics.all;
    const predicted = r.predicted.find((p) => p.metric === "kl:all");
    assert.ok(predicted);
    return [
      r.name, number(six(r.effective_bits)), number(six((predicted.with_pairs ?? predicted.corrected) / predicted.positions)),
      interval(six(kl / positions), six(ci95.kl[0]), six(ci95.kl[1])), percent(six(top1_flips / positions)),
      ...formats.map((f) => String(Object.values(r.ops).filter((given) => given === f).length)),
    ];
  }));
});

interface Side {
  name: string;
  rules_file: string;
  effective_bits: number;
  checkpoint_bytes: number;
  predicted: number;
  plain_sum: number;
}

interface DifferenceFile {
  positions: number;
  same_ops: number;
  a: Side;
  b: Side;
  change: { effective_bits: number; predicted: number };
  differing: { name: string; ops: string[]; a: string; b: string; effective_bits: number; predicted: number }[];
}

test("two recipes stand with the numbers of compare_recipes.json", async () => {
  const page = await open("demo");
  const file = read("difference", "compare_recipes.json") as DifferenceFile;
  const plus = (value: number): string => (value > 0 ? "+" : "") + number(six(value));
  const side = (which: string, s: Side): string[] => [
    which, s.name, s.rules_file, number(six(s.effective_bits)), `${number(s.checkpoint_bytes / 1024 ** 2)} MiB`, number(six(s.predicted)), number(six(s.plain_sum)),
  ];
  const { a, b, change, differing } = file;
  const tables = page.locator("#difference table");
  assert.deepEqual(await rowsOf(tables.nth(0).locator("tbody tr")), [side("A", a), side("B", b), ["B less A", "", "", plus(change.effective_bits), "", plus(change.predicted), ""]]);
  const order = differing.slice().sort((x, y) => Math.abs(y.predicted) - Math.abs(x.predicted));
  const label = (c: DifferenceFile["differing"][0]): string => c.name + (c.ops.length > 1 ? ` (${c.ops.length} ops)` : "");
  assert.deepEqual(await rowsOf(tables.nth(1).locator("tbody tr")), order.map((c) => [label(c), c.a, c.b, plus(c.effective_bits), plus(c.predicted)]));
  const ops = differing.reduce((n, c) => n + c.ops.length, 0);
  assert.equal(ops + file.same_ops, demo.ops.length);
  const line = (await page.locator("#difference p").first().textContent()) ?? "";
  assert.deepEqual(numbersIn(line), [ops, demo.ops.length, file.positions, demo.data.samples].map(String));
  const single = differing.find((c) => c.ops.length === 1);
  assert.ok(single);
  await tables.nth(1).getByRole("button", { name: single.name, exact: true }).click();
  await shows(page.locator("#op h3"), single.name);
});

test("the times are those of scores.json", async () => {
  const page = await open("demo");
  const { wall_s, phases_s, work, gemm } = demo.provenance;
  const rows = await page.locator("#time tbody tr").evaluateAll((all) =>
    all.map((row) => ({ sub: row.className === "sub", cells: [...row.children].map((c) => c.textContent ?? ""), bar: row.querySelector<HTMLElement>(".amount")?.style.width ?? "" })));
  const row = (s: number): string[] => [seconds(six(s)), percent((six(s) as number) / (six(wall_s) as number))];
  const wanted = Object.entries(phases_s).flatMap(([phase, s]) => [
    { sub: false, cells: row(s) },
    ...Object.values(work[phase] ?? {}).map((kind) => kind.seconds).filter((k) => k >= 0.01 * wall_s).sort((a, b) => b - a).map((k) => ({ sub: true, cells: row(k) })),
  ]);
  assert.deepEqual(rows.map((r) => ({ sub: r.sub, cells: r.cells.slice(1, 3) })), wanted);
  assert.deepEqual(rows.filter((r) => !r.sub).map((r) => r.cells[0]), Object.keys(phases_s));
  rows.forEach((r) => assert.ok(Math.abs(parseFloat(r.bar) - parseFloat(r.cells[2] ?? "")) < 0.1, `${r.bar} of ${r.cells.join(", ")}`));
  const [longest, took] = Object.entries(phases_s).sort((a, b) => b[1] - a[1])[0] ?? ["", NaN];
  const kinds = Object.values(work[longest] ?? {}).map((kind) => kind.seconds).sort((a, b) => b - a).slice(0, 4);
  const line = (await page.locator("#time p").first().textContent()) ?? "";
  const unit = (s: number): string => numbersIn(seconds(s))[0] ?? "";
  assert.deepEqual(numbersIn(line), [unit(took), unit(wall_s), ...kinds.map((k) => percent(k / took)), number(gemm.gflops_per_s), percent(gemm.share)]);
});

test("the settings are those of scores.json", async () => {
  const page = await open("demo");
  const first = page.locator("#repeat > div").first();
  const names = await first.locator("dt").allTextContents();
  const values = await first.locator("dd").allTextContents();
  const wanted = Object.entries(demo.settings).map(([flag, value]) => [flag, typeof value === "string" ? value : JSON.stringify(value)]);
  assert.deepEqual(names.map((name, i) => [name, values[i]]).sort(), wanted.sort());
});
