// The reports that the tests of the page look at, and a browser to open them in.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type Locator, type Page, chromium } from "playwright-core";
import { type ScoresFile, hostileNames, large, renamed } from "./runs.ts";

const env = (name: string, otherwise = ""): string => process.env[name] ?? otherwise;
const program = env("QSWEEP_PROGRAM");
const testdata = env("QSWEEP_TESTDATA");
const shots = env("QSWEEP_SHOTS", join(tmpdir(), "qsweep-shots"));
const folder = mkdtempSync(join(tmpdir(), "qsweep-page-"));
const axe = readFileSync(createRequire(join(process.cwd(), "x.js")).resolve("axe-core/axe.min.js"), "utf8");

const SOON_MS = 20000;

export const at = (...names: string[]): string => join(folder, ...names);

// Runs that lack something; what the verdict says of them.
export const partial: [string, string[], RegExp][] = [
  ["leave-one-out", ["--mode", "leave-one-out", "--ops", "model.layers.1.*"], /how much of the error one takes off/],
  ["one-sample", ["--samples", "1", "--ops", "model.layers.1.*"], /Not known, for 1 sample/],
  ["one-op", ["--ops", "lm_head"], /The only op with a score is lm_head/],
  ["text-only", ["--ops", "*", "--data", join(testdata, "data/captions.txt")], /unexercised/],
];

export let demo: ScoresFile;
export const opened: { page: Page; errors: string[] }[] = [];
let browser: Browser | undefined;

const qsweep = (...args: string[]): string => execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
export const read = (...names: string[]): unknown => JSON.parse(readFileSync(at(...names), "utf8"));
export const scoresOf = (name: string): ScoresFile => read(name, "scores.json") as ScoresFile;

function report(name: string, scores: ScoresFile): void {
  mkdirSync(at(name));
  writeFileSync(at(name, "scores.json"), JSON.stringify(scores));
  qsweep("report", at(name));
}

// The models' scores by ModelOpt and Neural Compressor, as testdata/peers has them.
function compareWithTools(): void {
  const model = join(testdata, "peers/tiny-vl");
  qsweep("score", model, "--data", join(model, "text.jsonl"), "--format", "w8a8", "--quiet", "--out", at("peer"));
  qsweep("compare", at("peer"), join(testdata, "peers/modelopt/tiny_vl_text_kl_div_int8.json"), "--out", at("against-modelopt"));
  const inc = JSON.parse(readFileSync(join(testdata, "peers/inc.json"), "utf8")) as { text: unknown };
  writeFileSync(at("inc.json"), JSON.stringify(inc.text));
  qsweep("compare", at("peer"), at("inc.json"), "--out", at("against-inc"));
}

export async function prepare(): Promise<void> {
  mkdirSync(shots, { recursive: true });
  const data = ["--data", join(testdata, "data/eval.jsonl"), "--calib", join(testdata, "data/calib.jsonl"), "--samples", "2", "--quiet"];
  const model = join(testdata, "tiny-qwen2.5-vl");
  qsweep("score", model, ...data, "--format", "w8a8", "--format", "nvfp4", "--sketch", "4", "--out", at("demo"));
  qsweep("recipe", at("demo"), "--bits", "8", "--bits", "12", "--out", at("recipes"), "--quiet");
  qsweep("eval", model, ...data, "--scores", at("demo"), "--recipe", at("recipes/recipe_bits_8.json"), "--recipe", at("recipes/recipe_bits_12.json"), "--out", at("measured"));
  qsweep("score", model, ...data, "--format", "nvfp4", "--method", "adjoint", "--out", at("other"));
  qsweep("compare", at("demo"), at("other"), "--out", at("compared"));
  qsweep("compare", at("recipes/recipe_bits_8.json"), at("recipes/recipe_bits_12.json"), "--run", at("demo"), "--out", at("difference"));
  qsweep("report", at("demo"), ...["recipes", "measured", "compared", "difference"].flatMap((name) => ["--with", at(name)]), "--svg");
  demo = scoresOf("demo");
  for (const [name, flags] of partial) {
    const given = flags.includes("--data") ? [] : ["--data", join(testdata, "data/eval.jsonl")];
    const samples = flags.includes("--samples") ? [] : ["--samples", "2"];
    qsweep("score", model, ...given, ...samples, "--quiet", "--format", "w8a16", ...flags, "--out", at(name));
  }
  qsweep("score", model, ...data, "--format", "w8a16", "--groups", "fused", "--ops", "model.layers.1.*", "--out", at("together"));
  compareWithTools();
  report("large", large(demo, false));
  report("experts", large(demo, true));
  report("hostile", renamed(demo, hostileNames));
  browser = await chromium.launch({ executablePath: env("QSWEEP_CHROMIUM", "/usr/bin/chromium"), args: ["--no-sandbox"] });
}

export async function close(): Promise<void> {
  await browser?.close();
  rmSync(folder, { recursive: true });
}

// A page without anything yet, whose errors are kept.
export async function blank(options: { width?: number; dark?: boolean } = {}): Promise<Page> {
  if (!browser) throw new Error("no browser");
  const page = await browser.newPage({ viewport: { width: options.width ?? 1280, height: 900 }, colorScheme: options.dark ? "dark" : "light" });
  page.setDefaultTimeout(60000);
  const errors: string[] = [];
  page.on("console", (message) => (message.type() === "error" || message.type() === "warning" ? errors.push(message.text()) : 0));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("dialog", (dialog) => {
    errors.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => (/^https?:/.test(request.url()) ? errors.push(`request: ${request.url()}`) : 0));
  opened.push({ page, errors });
  return page;
}

export const visit = (page: Page, name: string, hash = ""): Promise<unknown> => page.goto(`file://${at(name, "report.html")}${hash}`);

export async function open(name: string, hash = "", options: { width?: number; dark?: boolean } = {}): Promise<Page> {
  const page = await blank(options);
  await visit(page, name, hash);
  return page;
}

export const closePages = async (): Promise<void> => void (await Promise.all(opened.map(({ page }) => page.close())));

// Every chart comes near once, so that it is drawn.
export async function drawAll(page: Page): Promise<void> {
  for (const chart of await page.locator("figure").all()) await drawn(chart);
}

export async function drawn(chart: Locator): Promise<void> {
  await chart.scrollIntoViewIfNeeded();
  await chart.locator("svg").waitFor();
}

// A busy browser may do what it was told after the click or key is over: tries again until it holds, or not for long.
export async function soon(check: () => Promise<void>): Promise<void> {
  for (const end = Date.now() + SOON_MS; ; await new Promise((done) => setTimeout(done, 20)))
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
}

export const shows = (locator: Locator, text: string): Promise<void> => soon(async () => assert.equal(await locator.innerText(), text));

export const showAll = (locator: Locator, texts: string[]): Promise<void> => soon(async () => assert.deepEqual(await locator.allInnerTexts(), texts));

export const addressed = (page: Page, pattern: RegExp): Promise<void> => soon(() => Promise.resolve(assert.match(page.url(), pattern)));

export async function press(locator: Locator, ...keys: string[]): Promise<void> {
  await locator.focus();
  for (const key of keys) await locator.page().keyboard.press(key);
}

export const shot = async (page: Page, name: string): Promise<void> => void (await page.screenshot({ path: join(shots, `${name}.png`) }));

export const cells = (row: { locator: Page["locator"] }): Promise<string[]> => row.locator("th, td").allInnerTexts();

// The cells of all rows that are there.
export const rowsOf = (rows: Locator): Promise<string[][]> =>
  rows.evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent ?? "")));

export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const found = await (window as unknown as { axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }).axe.run();
    return found.violations.map((v) => `${v.id}: ${v.nodes.length} times, such as ${v.nodes[0]?.html.slice(0, 200)}`);
  });
}
