// The sections about recipes, another ranking, time, and how to repeat it all; and the words.
import type { App } from "./app.ts";
import { Chart } from "./chart.ts";
import type { Comparison, Recipes, Run } from "./data.ts";
import { button, copyText, h, named, sentence, term } from "./dom.ts";
import { type Figure, comparison } from "./figures.ts";
import { choiceMap } from "./maps.ts";
import { section } from "./overview.ts";
import { spectrum } from "./spectrum.ts";
import { counted, csv, number, percent, seconds, visible, withInterval } from "./text.ts";
import { WORDS } from "./words.ts";

function recipeTable(app: App, recipes: Recipes): HTMLElement {
  const formats = [...new Set(recipes.points.flatMap((p) => Object.keys(p.counts)))];
  const rows = recipes.points.map((p) => {
    const name = app.view.run && p.choice ? button(visible(p.name), () => app.set({ recipe: p.name }), { class: "link" }) : named(p.name);
    return h(
      "tr",
      { "data-recipe": p.name },
      h("th", { scope: "row" }, name),
      h("td", { class: "n" }, number(p.bits)),
      h("td", { class: "n" }, number(p.predicted)),
      h("td", { class: "n" }, withInterval(p.measured, p.interval?.[0] ?? null, p.interval?.[1] ?? null)),
      h("td", { class: "n" }, percent(p.flips)),
      ...formats.map((f) => h("td", { class: "n" }, String(p.counts[f] ?? 0))),
    );
  });
  app.on(["recipe"], () => {
    for (const row of rows) row.setAttribute("aria-current", String(row.dataset.recipe === app.state.recipe));
  });
  const head = [
    h("th", { scope: "col" }, term("recipe")),
    h("th", { scope: "col", class: "n" }, term("bits")),
    h("th", { scope: "col", class: "n" }, term("predicted", `${recipes.metric} predicted`)),
    h("th", { scope: "col", class: "n" }, term("kl", "measured [95 %]")),
    h("th", { scope: "col", class: "n" }, term("flips")),
    ...formats.map((f) => h("th", { scope: "col", class: "n" }, named(f), " ops")),
  ];
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Recipes side by side" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

const recipesCsv = (recipes: Recipes): string =>
  csv([
    ["recipe", "bits", "predicted", "measured", "ci95_low", "ci95_high"],
    ...recipes.points.map((p) => [p.name, p.bits, p.predicted, p.measured, p.interval?.[0] ?? null, p.interval?.[1] ?? null]),
  ]);

// The formats of the chosen recipe; the first where none is.
function choiceChart(app: App, run: Run, recipes: Recipes): HTMLElement {
  const chosen = (): number => Math.max(0, recipes.points.findIndex((p) => p.name === app.state.recipe));
  const title = h("h3", {});
  const chart = new Chart(
    "Recipe",
    (theme, width): Figure => choiceMap(run, recipes.points[chosen()]?.choice ?? [], recipes.formats, theme, width),
    app.theme,
    app.open,
  );
  app.on(["recipe", "theme"], () => {
    title.replaceChildren("The choice of ", named(recipes.points[chosen()]?.name ?? ""));
    chart.refresh();
  });
  return h("div", { id: "choice" }, title, chart.element);
}

export function recipesSection(app: App): HTMLElement | null {
  const { recipes, run } = app.view;
  if (!recipes || recipes.points.length === 0) return null;
  const copy = button("Copy as CSV", () => void copyText(recipesCsv(recipes), "Recipes"), { "aria-label": "Copy as CSV: recipes" });
  const chart = new Chart(
    "Spectrum",
    (theme, width) => spectrum(run, recipes, theme, width),
    app.theme,
    (mark) => {
      const name = mark.recipe === undefined ? undefined : recipes.points[mark.recipe]?.name;
      if (name !== undefined) app.set({ recipe: name });
    },
    copy,
  );
  app.on(["theme"], () => chart.refresh());
  const over = recipes.samples === null ? "None of them was measured yet: what is predicted is a forecast." : `Measured over ${counted(recipes.samples, "sample")}.`;
  return section(
    "spectrum",
    "Spectrum: bits against error",
    h("p", { class: "hint" }, `${over} Choose a recipe to see its formats.`),
    chart.element,
    recipeTable(app, recipes),
    run ? choiceChart(app, run, recipes) : null,
  );
}

function oneComparison(app: App, c: Comparison): HTMLElement {
  const chart = new Chart("Comparison", (theme, width) => comparison(c, app.opIndex, theme, width), app.theme, app.open);
  app.on(["theme"], () => chart.refresh());
  return h(
    "div",
    {},
    h("h3", {}, named(c.run.what), " against ", named(c.other.what)),
    h("p", {}, "RUN is ", named(c.run.source), ", OTHER ", named(c.other.source), `: ${c.matched} ops on both sides, `, term("spearman"), ` ${number(c.spearman)}, Kendall ${number(c.kendall)}.`),
    c.warnings.length > 0 ? h("ul", { class: "warnings" }, ...c.warnings.map((w) => h("li", {}, ...sentence(w)))) : null,
    chart.element,
  );
}

export function comparisonSection(app: App): HTMLElement | null {
  const all = app.view.comparisons;
  return all.length === 0 ? null : section("comparison", "Against another ranking", ...all.map((c) => oneComparison(app, c)));
}

export function timeSection(app: App): HTMLElement | null {
  const { time } = app.view;
  if (!time || time.phases.length === 0) return null;
  const wall = time.wall_s ?? time.phases.reduce((sum, [, s]) => sum + (s ?? 0), 0);
  const bar = (s: number | null): HTMLElement => {
    const element = h("span", { class: "amount", "aria-hidden": "true" });
    element.style.width = `${wall > 0 ? (100 * (s ?? 0)) / wall : 0}%`;
    return element;
  };
  const row = (name: string, s: number | null, sub: boolean): HTMLElement =>
    h("tr", { class: sub ? "sub" : "" }, h("th", { scope: "row" }, visible(name)), h("td", { class: "n" }, seconds(s)), h("td", { class: "n" }, percent(wall > 0 && s !== null ? s / wall : null)), h("td", { class: "bars" }, bar(s)));
  const rows = time.phases.flatMap(([phase, s, kinds]) => [
    row(phase, s, false),
    ...kinds
      .filter(([, k]) => (k ?? 0) >= 0.01 * wall)
      .sort((a, b) => (b[1] ?? 0) - (a[1] ?? 0))
      .map(([kind, k]) => row(kind, k, true)),
  ]);
  const head = h("tr", {}, h("th", { scope: "col" }, "Phase, and its work"), h("th", { scope: "col", class: "n" }, "Time"), h("th", { scope: "col", class: "n" }, "Of the run"), h("td", {}));
  return section("time", "Where the time went", h("p", {}, time.line), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Where the time went" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))));
}

export function repeatSection(app: App): HTMLElement | null {
  if (app.view.commands.length === 0) return null;
  return section(
    "repeat",
    "To repeat it",
    ...app.view.commands.map((c) =>
      h(
        "div",
        {},
        h("pre", { tabindex: 0, "aria-label": "Command" }, h("code", {}, h("bdi", {}, visible(c.command)))),
        h(
          "details",
          {},
          h("summary", {}, `All settings${c.version ? `, qsweep ${visible(c.version)}` : ""}`),
          h("dl", {}, ...c.settings.flatMap(([flag, value]) => [h("dt", {}, visible(flag)), h("dd", {}, named(value))])),
        ),
      ),
    ),
  );
}

export function wordsSection(): HTMLElement {
  return section("words", "Words", h("dl", {}, ...Object.values(WORDS).flatMap((w) => [h("dt", {}, w.title), h("dd", {}, ...sentence(w.text))])));
}
