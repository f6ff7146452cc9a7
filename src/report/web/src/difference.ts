// Where two recipes differ, and what that costs.
import type { App } from "./app.ts";
import type { Difference, RecipeSide } from "./data.ts";
import { button, copyText, h, named, term } from "./dom.ts";
import { section } from "./overview.ts";
import { bytes, counted, csv, number, signed, visible } from "./text.ts";

export type Change = Difference["changes"][0];

// The largest change of the error first; where that is not known, of the bits.
export const byWeight = (changes: Change[]): Change[] =>
  changes.slice().sort((x, y) => Math.abs(y.predicted ?? 0) - Math.abs(x.predicted ?? 0) || Math.abs(y.bits ?? 0) - Math.abs(x.bits ?? 0));

const cell = (text: string): HTMLElement => h("td", { class: "n" }, text);

function totals(d: Difference): HTMLElement {
  const row = (which: string, side: RecipeSide): HTMLElement =>
    h("tr", {}, h("th", { scope: "row" }, which), h("td", {}, named(side.name)), h("td", {}, named(side.file)), cell(number(side.bits)), cell(bytes(side.bytes)), cell(number(side.predicted)), cell(number(side.plain_sum)));
  const less = h("tr", {}, h("th", { scope: "row" }, "B less A"), h("td", {}), h("td", {}), cell(signed(d.bits)), cell(""), cell(signed(d.predicted)), cell(""));
  const head = [
    h("td", {}),
    h("th", { scope: "col" }, term("recipe")),
    h("th", { scope: "col" }, "File"),
    h("th", { scope: "col", class: "n" }, term("bits")),
    h("th", { scope: "col", class: "n" }, "Checkpoint"),
    h("th", { scope: "col", class: "n" }, term("predicted", `${d.metric} predicted`)),
    h("th", { scope: "col", class: "n" }, "Plain sum"),
  ];
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Both recipes" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, row("A", d.a), row("B", d.b), less)));
}

// To the op itself where the run has it, several of a fused one by its name.
function nameOf(app: App, change: Change): Node {
  const [only] = change.ops;
  if (change.ops.length === 1 && only !== undefined && app.opIndex[`_${only}`] !== undefined)
    return button(visible(change.name), () => app.openOp(only), { class: "link" });
  return h("span", {}, named(change.name), change.ops.length === 1 ? "" : ` (${change.ops.length} ops)`);
}

function changesTable(app: App, d: Difference, changes: Change[]): HTMLElement {
  const rows = changes.map((change) =>
    h("tr", {}, h("th", { scope: "row" }, nameOf(app, change)), h("td", {}, named(change.a)), h("td", {}, named(change.b)), cell(signed(change.bits)), cell(signed(change.predicted))));
  const head = [
    h("th", { scope: "col" }, term("op")),
    h("th", { scope: "col" }, "In A"),
    h("th", { scope: "col" }, "In B"),
    h("th", { scope: "col", class: "n" }, term("bits")),
    h("th", { scope: "col", class: "n" }, term("predicted", `${d.metric} predicted`)),
  ];
  return h("div", { class: "scroll tall", tabindex: 0, role: "group", "aria-label": "Where they differ" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

const differenceCsv = (changes: Change[]): string =>
  csv([["name", "ops", "a", "b", "bits", "predicted"], ...changes.map((c) => [c.name, c.ops.join(" "), c.a, c.b, c.bits, c.predicted])]);

function unscored(which: string, side: RecipeSide): HTMLElement | null {
  if (side.unscored.length === 0) return null;
  return h("p", { class: "hint" }, `Without a score in ${which}, and left out of its predicted error: ${counted(side.unscored.length, "op")}, such as `, named(side.unscored[0] as string), ".");
}

export function differenceSection(app: App): HTMLElement | null {
  const d = app.view.difference;
  if (!d) return null;
  const changes = byWeight(d.changes);
  const differing = d.changes.reduce((n, change) => n + change.ops.length, 0);
  const copy = button("Copy as CSV", () => void copyText(differenceCsv(changes), "Differences"), { "aria-label": "Copy as CSV: differences" });
  return section(
    "difference",
    "Two recipes: where they differ",
    h("p", {}, `${differing} of ${counted(differing + d.same, "op")} differ. Errors are means over ${d.positions} positions of ${counted(d.samples, "sample")}; changes are what B has more than A.`),
    totals(d),
    unscored("A", d.a),
    unscored("B", d.b),
    h("h3", {}, "Where they differ"),
    h("p", { class: "hint" }, "The largest change of the predicted error first. What an op's change costs depends on what else changes: a row has the mean of its cost as the first change and as the last, so the rows add up to the whole."),
    h("div", { class: "controls" }, copy),
    changesTable(app, d, changes),
  );
}
