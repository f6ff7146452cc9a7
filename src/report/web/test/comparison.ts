// Another tool's ranking, and another run's, beside ours: the numbers of compare.json, and these by themselves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { number, shortened } from "../src/text.ts";
import { checkPoints } from "./charts.ts";
import { near } from "./drawn.ts";
import { numbersIn, six } from "./expected.ts";
import { open, read } from "./stage.ts";

interface Unit {
  name: string;
  members: string[];
  tower: string;
  run_score: number;
  other_score: number;
  run_rank: number;
  other_rank: number;
}

interface Side {
  source: string;
  what: string;
  most_sensitive: string;
}

interface ComparisonFile {
  run: Side;
  other: Side;
  all: { matched: number; spearman: number; kendall: number };
  warnings: string[];
  outliers: string[];
  ops: Unit[];
}

// Ranks from 1, the mean of them where scores are equal.
function ranksOf(scores: number[], side: Side): number[] {
  const before = (a: number, b: number): boolean => (side.most_sensitive === "largest" ? a > b : a < b);
  return scores.map((score) => {
    const ahead = scores.filter((other) => before(other, score)).length;
    const equal = scores.filter((other) => other === score).length;
    return ahead + (equal + 1) / 2;
  });
}

// Over all pairs, by what they are alike in: signs for Kendall's tau-b; Pearson's of ranks for Spearman.
function kendall(x: number[], y: number[]): number {
  let [same, ofX, ofY] = [0, 0, 0];
  x.forEach((a, i) => x.forEach((b, j) => {
    const [dx, dy] = [Math.sign(a - b), Math.sign((y[i] as number) - (y[j] as number))];
    same += dx * dy;
    ofX += dx * dx;
    ofY += dy * dy;
  }));
  return same / Math.sqrt(ofX * ofY);
}

function pearson(x: number[], y: number[]): number {
  const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const sum = (f: (a: number, b: number) => number): number => x.reduce((all, a, i) => all + f(a - mx, (y[i] as number) - my), 0);
  return sum((a, b) => a * b) / Math.sqrt(sum((a) => a * a) * sum((_, b) => b * b));
}

for (const [report, folder, tool] of [
  ["against-modelopt", "against-modelopt", /^ModelOpt kl_div, INT8/],
  ["against-inc", "against-inc", /^Neural Compressor mse_v2, fallback$/],
  ["demo", "compared", /^nvfp4, isolated, adjoint/],
] as [string, string, RegExp][])
  test(`another ranking stands beside ours with the numbers of compare.json: ${folder}`, async () => {
    const page = await open(report);
    const file = read(folder, "compare.json") as ComparisonFile;
    assert.match(file.other.what, tool);
    const [ours, theirs] = [file.ops.map((u) => u.run_rank), file.ops.map((u) => u.other_rank)];
    assert.deepEqual(ours, ranksOf(file.ops.map((u) => u.run_score), file.run));
    assert.deepEqual(theirs, ranksOf(file.ops.map((u) => u.other_score), file.other));
    const [rho, tau] = [six(pearson(ours, theirs)), six(kendall(ours, theirs))];
    assert.deepEqual([six(file.all.spearman), six(file.all.kendall)], [rho, tau]);

    assert.equal(await page.locator("#comparison h3").textContent(), `${file.run.what} against ${file.other.what}`);
    const line = (await page.locator("#comparison p").first().textContent()) ?? "";
    assert.ok(line.startsWith(`RUN is ${file.run.source}, OTHER ${file.other.source}: `), line);
    assert.deepEqual(numbersIn(line.slice(line.lastIndexOf(": "))), [String(file.all.matched), number(rho), number(tau)]);
    assert.deepEqual(await page.locator("#comparison .warnings li").allTextContents(), file.warnings);

    const score = (value: number): string => number(six(value));
    const { drawn, scale, words } = await checkPoints(page, "#comparison", file.ops.map((u) => ({
      x: u.run_rank,
      y: u.other_rank,
      tower: u.tower,
      tip: `${u.name}; RUN: rank ${u.run_rank}, score ${score(u.run_score)}; OTHER: rank ${u.other_rank}, score ${score(u.other_score)}`,
    })), false);
    assert.ok(words.startsWith(`Ranks of ${file.ops.length} ops on both sides; Spearman ${number(rho)}.`), words);
    // Those that the two see most differently bear their names, and no others do.
    const shown = file.ops.filter((u) => drawn.labels.some((l) => l.text === shortened(u.name, 30) && near(l.y, scale.y(u.other_rank)) && Math.abs(l.x - scale.x(u.run_rank)) < 12));
    assert.ok(shown.some((u) => u.name === file.outliers[0]), "the first outlier");
    for (const u of shown) assert.ok(file.outliers.includes(u.name), u.name);
    const apart = (u: Unit): number => Math.abs(u.run_rank - u.other_rank);
    const most = file.ops.slice().sort((a, b) => apart(b) - apart(a));
    assert.equal(apart(file.ops.find((u) => u.name === file.outliers[0]) as Unit), apart(most[0] as Unit));
  });
