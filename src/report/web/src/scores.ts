// The sections about single scores: heat map, one op, ranking, table, why, formats against each other.
import type { App } from "./app.ts";
import { Chart } from "./chart.ts";
import { type Group, type Score, ranked } from "./data.ts";
import { button, copyText, h, named, sentence, term } from "./dom.ts";
import { type Figure, formats, ranking, why } from "./figures.ts";
import { heatMap } from "./maps.ts";
import { formatSelect, section } from "./overview.ts";
import { cellText, columns, filtered, sorted, tableCsv } from "./table.ts";
import { counted, csv, number, percent, shortened, visible, withInterval } from "./text.ts";
import type { Theme } from "./theme.ts";

const FIRST_RANKS = 20;
const ROWS = 100;

// What is drawn of the chosen group; the sections of scores exist only where there is one.
type Draw = (group: Group, scores: Score[], theme: Theme, width: number) => Figure;

function groupChart(app: App, name: string, draw: Draw, ...tools: HTMLElement[]): Chart {
  const drawn = (theme: Theme, width: number): Figure => {
    const group = app.group();
    if (!group) throw new Error("no group");
    return draw(group, app.scores(group), theme, width);
  };
  const chart = new Chart(name, drawn, app.theme, app.open, ...tools);
  app.on(["format", "versus", "theme"], () => chart.refresh());
  return chart;
}

export function heat(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run) return null;
  const chart = groupChart(app, "Heat map", (group, scores, theme, width) => heatMap(run, group, scores, theme, width));
  return section("heat", "Where: layers by roles", h("p", { class: "hint" }, "Choose a cell to see its op."), chart.element);
}

function rowsOfOp(app: App, op: number): { group: Group; score: Score }[] {
  return app.groups.flatMap((group) => app.scores(group).filter((s) => s.op === op).map((score) => ({ group, score })));
}

function opTable(app: App, rows: { group: Group; score: Score }[]): HTMLElement {
  const body = rows.map(({ group, score }) =>
    h(
      "tr",
      { "aria-current": String(group === app.group()) },
      h("th", { scope: "row" }, named(app.label(group))),
      h("td", { class: "n" }, score.rank === null ? score.status : `${score.rank} of ${group.ranked}`),
      h("td", { class: "n" }, withInterval(score.value, score.low, score.high)),
      h("td", { class: "n" }, percent(score.share)),
      h("td", { class: "n" }, percent(score.flips)),
      h("td", { class: "n" }, number(score.sqnr)),
      h("td", { class: "n" }, percent(score.relativeError)),
      h("td", { class: "n" }, number(score.bits)),
      h("td", {}, score.method + (score.spreadFrom ? ", copied from " : ""), score.spreadFrom ? named(score.spreadFrom) : null),
    ),
  );
  const heads: [string | undefined, string][] = [
    [undefined, "Format"],
    ["rank", "Rank"],
    ["kl", `${rows[0]?.group.value_name ?? "value"} [95 %]`],
    ["share", "Share"],
    ["flips", "Flips"],
    ["sqnr", "Local SQNR, dB"],
    ["relative", "Relative error"],
    ["bits", "Bits per weight"],
    ["method", "Method"],
  ];
  const head = heads.map(([key, title], i) => h("th", { scope: "col", class: i > 0 && i < 8 ? "n" : "" }, term(key, title)));
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "This op in every format" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body)));
}

export function oneOp(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run) return null;
  const input = h("input", { "aria-label": "Op", list: "op-names", type: "search", spellcheck: "false", autocomplete: "off", change: () => app.set({ op: input.value }) });
  const names = h("datalist", { id: "op-names" }, ...run.ops.name.map((name) => h("option", { value: name })));
  const step = (by: number): void => {
    const order = ranked(app.scores(app.group() as Group));
    const at = order.findIndex((s) => s.name === app.state.op);
    const next = order[at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by))];
    if (next) app.set({ op: next.name });
  };
  const body = h("div", { "aria-live": "polite" });
  app.on(["op", "format"], () => {
    input.value = app.state.op;
    body.replaceChildren();
    const op = app.opIndex[`_${app.state.op}`];
    if (op === undefined)
      return body.append(h("p", { class: "hint" }, app.state.op ? "No op has this name." : "None is chosen: take one here, or in any chart or table."));
    const group = app.group();
    const score = group && app.scores(group).find((s) => s.op === op);
    const why = group?.explanations[String(op)];
    const { ops } = run;
    const facts = [`${ops.tower[op]}`, ops.block[op] === null ? "no layer" : `layer ${ops.block[op]}`, `${ops.role[op]}`];
    body.append(
      h("h3", {}, named(ops.name[op] as string)),
      h("p", {}, `${facts.map(visible).join(", ")}; ${ops.in[op]} to ${ops.out[op]} features, ${(ops.parameters[op] as number).toLocaleString("en")} parameters`,
        ops.group[op] ? h("span", {}, "; stored together as ", named(ops.group[op])) : null, "."),
    );
    if (why) body.append(h("p", {}, ...sentence(why)));
    else if (score && score.sqnr !== null)
      body.append(h("p", {}, `Its own output is off by ${percent(score.relativeError)}; the largest input is ${number(score.outlierRatio)} times the typical one.`));
    body.append(opTable(app, rowsOfOp(app, op)));
  });
  return section(
    "op",
    "One op",
    h("div", { class: "controls" }, h("label", {}, "Op ", input), names, button("More sensitive", () => step(-1)), button("Less sensitive", () => step(1))),
    body,
  );
}

const rankingCsv = (scores: Score[]): string =>
  csv([["rank", "op", "value", "ci95_low", "ci95_high"], ...ranked(scores).map((s) => [s.rank, s.name, s.value, s.low, s.high])]);

export function rankingSection(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run) return null;
  let most = FIRST_RANKS;
  const more = button("Show more", () => {
    most = most > FIRST_RANKS ? FIRST_RANKS : 4 * FIRST_RANKS;
    more.textContent = most > FIRST_RANKS ? "Show fewer" : "Show more";
    chart.refresh();
  });
  const copy = button("Copy as CSV", () => void copyText(rankingCsv(app.scores(app.group() as Group)), "Ranking"), { "aria-label": "Copy as CSV: ranking" });
  const chart = groupChart(app, "Ranking", (group, scores, theme, width) => ranking(run, group, scores, theme, most, width), more, copy);
  const meaning = h("p", { class: "hint" });
  app.on(["format"], () => meaning.replaceChildren(...sentence(app.group()?.meaning ?? "")));
  return section("ranking", "Ranking", meaning, h("p", { class: "hint" }, `Dots are means, lines `, term("interval", "95 % intervals"), ` over ${counted(run.samples, "sample")}; the axis is logarithmic.`), chart.element);
}

export function scoreTable(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run) return null;
  let all = false;
  const filter = h("input", { "aria-label": "Filter", type: "search", spellcheck: "false", autocomplete: "off", input: () => app.set({ filter: filter.value }) });
  const towers = [...new Set(run.ops.tower)];
  const tower = h("select", { "aria-label": "Tower", change: () => app.set({ tower: tower.value }) }, h("option", { value: "" }, "all"), ...towers.map((t) => h("option", { value: t }, visible(t))));
  const host = h("div", { class: "scroll tall", tabindex: 0, role: "group", "aria-label": "All scores" });
  const count = h("span", { role: "status" });
  const more = button("Show all", () => {
    all = true;
    draw();
  });
  const current = (): { rows: Score[]; cols: ReturnType<typeof columns> } => {
    const group = app.group() as Group;
    const cols = columns(group.value_name, group.share_name);
    const rows = sorted(filtered(app.scores(group), app.state.filter, app.state.tower), cols, app.state.sort || "rank");
    return { rows, cols };
  };
  const draw = (): void => {
    const { rows, cols } = current();
    const shown = all ? rows : rows.slice(0, ROWS);
    const [key, descending] = app.state.sort.startsWith("-") ? [app.state.sort.slice(1), true] : [app.state.sort || "rank", false];
    const heads = cols.map((c) => {
      const on = c.key === key;
      const next = on && !descending ? `-${c.key}` : c.key;
      const sort = button(`${c.title}${on ? (descending ? " ▼" : " ▲") : ""}`, () => app.set({ sort: next }));
      return h("th", { scope: "col", class: c.numeric ? "n" : "", "aria-sort": on ? (descending ? "descending" : "ascending") : "none" }, sort);
    });
    const body = shown.map((s) =>
      h("tr", { "aria-current": String(s.name === app.state.op) }, ...cols.map((c) =>
        c.key === "op"
          ? h("th", { scope: "row" }, button(visible(s.name), () => app.openOp(s.name), { class: "link" }))
          : h("td", { class: c.numeric ? "n" : "" }, c.numeric ? cellText(c, s) : shortened(cellText(c, s), 32)))),
    );
    host.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...body)));
    count.textContent = `${rows.length} of ${run.ops.name.length} ops${shown.length < rows.length ? `, the first ${shown.length} shown` : ""}`;
    more.hidden = shown.length === rows.length;
  };
  app.on(["format", "filter", "tower", "sort", "op"], () => {
    if (filter.value !== app.state.filter) filter.value = app.state.filter;
    tower.value = app.state.tower;
    draw();
  });
  const copy = button("Copy as CSV", () => {
    const { rows, cols } = current();
    void copyText(tableCsv(rows, cols), "Table");
  }, { "aria-label": "Copy as CSV: all scores" });
  return section(
    "scores",
    "All scores",
    h("div", { class: "controls" }, h("label", {}, "Filter ", filter), h("label", {}, "Tower ", tower), count, more, copy),
    host,
  );
}

// Ops that were measured together, in the chosen format.
export function togetherSection(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run || run.together.length === 0) return null;
  const body = h("tbody", {});
  app.on(["format"], () => {
    const groups = run.together.filter((g) => g.format === app.group()?.format);
    body.replaceChildren(
      ...groups.map((g) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, named(g.name)),
          h("td", { class: "n" }, String(g.ops.length)),
          h("td", { class: "n" }, withInterval(g.value, g.interval?.[0] ?? null, g.interval?.[1] ?? null)),
          h("td", { class: "n" }, number(g.sum)),
          h("td", { class: "n" }, number(g.ratio)),
        ),
      ),
    );
  });
  const heads: [string | undefined, string][] = [[undefined, "Group"], ["op", "Ops"], ["kl", `${run.metric} per position [95 %]`], ["share", "Sum of its ops"], ["together", "Ratio"]];
  const head = heads.map(([key, title], i) => h("th", { scope: "col", class: i > 0 ? "n" : "" }, term(key, title)));
  return section(
    "together",
    "Groups that were measured together",
    h("p", { class: "hint" }, `All ops of a group quantized at once, everything else float, over ${counted(run.samples, "sample")}.`),
    h("div", { class: "scroll tall", tabindex: 0, role: "group", "aria-label": "Groups that were measured together" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), body)),
  );
}

export function whySection(app: App): HTMLElement | null {
  if (!app.view.run) return null;
  const chart = groupChart(app, "Why", why);
  return section(
    "why",
    "Why: a bad fit or a sensitive place",
    h("p", { class: "hint" }, "To the right the format fits the op badly; high up an error of that size does much at the output. Dashed lines are the medians, digits the first ranks. An op high up on the left is a sensitive place: another format of as many bits will not help much there."),
    chart.element,
  );
}

export function versusSection(app: App): HTMLElement | null {
  if (app.groups.length < 2) return null;
  const other = (): Group => {
    const chosen = app.groups.find((g) => app.label(g) === app.state.versus);
    return chosen ?? (app.groups.find((g) => g !== app.group()) as Group);
  };
  const chart = groupChart(app, "Formats against each other", (group, scores, theme, width) => formats(group, other(), scores, app.scores(other()), theme, width));
  const select = formatSelect(app, "Against", () => app.label(other()), (versus) => app.set({ versus }));
  return section("versus", "Formats against each other", h("div", { class: "controls" }, select), h("p", { class: "hint" }, "Below the dashed line the format of the lower axis has the larger error."), chart.element);
}
