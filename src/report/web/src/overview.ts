// The top of the page: title, format switch, verdict, and every format as a whole.
import type { App } from "./app.ts";
import type { Group } from "./data.ts";
import { button, h, named, sentence, term } from "./dom.ts";
import { number, percent, visible, withInterval } from "./text.ts";

const SIGNS: Record<string, string> = { little: "✓", some: "~", much: "!", breaks: "✗" };

export const levelBadge = (group: Group): HTMLElement =>
  h("span", { class: `level ${group.level}` }, `${SIGNS[group.level] ?? "?"} ${group.level_text}`);

export function section(id: string, title: string, ...children: (Node | null)[]): HTMLElement {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title`, tabindex: -1 }, title), ...children);
}

// A choice of formats; tells `choose` the label.
export function formatSelect(app: App, text: string, chosen: () => string, choose: (label: string) => void): HTMLElement {
  const select = h(
    "select",
    { "aria-label": text, change: () => choose(select.value) },
    ...app.groups.map((g) => h("option", { value: app.label(g) }, app.label(g))),
  );
  app.on(["format", "versus"], () => (select.value = chosen()));
  return h("label", {}, `${text} `, select);
}

function themeButton(app: App): HTMLElement {
  const toggle = button("", () => app.set({ theme: app.isDark() ? "light" : "dark" }));
  app.on(["theme"], () => (toggle.textContent = app.isDark() ? "Light colours" : "Dark colours"));
  return toggle;
}

export function header(app: App, element: HTMLElement): void {
  const { view } = app;
  document.title = `${visible(view.title)} – quantization sensitivity`;
  element.append(
    h("h1", {}, "Quantization sensitivity of ", named(view.title)),
    h("p", {}, ...(view.run ? sentence(view.run.summary) : [])),
  );
  const bar = h("div", { class: "bar", role: "region", "aria-label": "What is shown" });
  if (app.groups.length > 0)
    bar.append(
      formatSelect(app, "Format", () => {
        const group = app.group();
        return group ? app.label(group) : "";
      }, (format) => app.set({ format })),
    );
  bar.append(themeButton(app));
  element.after(bar);
}

export function verdict(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run) return null;
  const words = h("div", { class: "words" });
  app.on(["format"], () => {
    const group = app.group();
    words.replaceChildren();
    if (!group) return words.append(h("p", {}, "No format was scored."));
    words.append(
      h("h3", {}, "In ", named(app.label(group)), " ", levelBadge(group)),
      h("dl", {}, ...group.verdict.flatMap(([topic, text]) => [h("dt", {}, topic), h("dd", {}, ...sentence(text))])),
    );
  });
  const warnings =
    run.warnings.length > 0
      ? h("div", { class: "warnings" }, h("h3", {}, "Know before you act"), h("ul", {}, ...run.warnings.map((w) => h("li", {}, ...sentence(w)))))
      : null;
  return section("verdict", "Verdict", run.headline ? h("p", { class: "headline" }, ...sentence(run.headline)) : null, words, warnings);
}

// A row per format with every op in it.
export function formatTable(app: App): HTMLElement | null {
  const { run } = app.view;
  if (!run || app.groups.length === 0) return null;
  const order = app.groups.slice().sort((a, b) => (a.everything?.value ?? Infinity) - (b.everything?.value ?? Infinity));
  const rows = order.map((group) => {
    const all = group.everything;
    const worst = app.scores(group).find((s) => s.rank === 1);
    const label = app.label(group);
    return h(
      "tr",
      { "data-format": label },
      h("th", { scope: "row" }, button(label, () => app.set({ format: label }))),
      h("td", {}, levelBadge(group)),
      h("td", { class: "n" }, all ? withInterval(all.value, all.interval?.[0] ?? null, all.interval?.[1] ?? null) : "–"),
      h("td", { class: "n" }, percent(all?.flips ?? null)),
      h("td", { class: "n" }, number(all?.perplexity ?? null)),
      h("td", { class: "n" }, number(group.reliability)),
      h("td", {}, worst ? button(visible(worst.name), () => { app.set({ format: label }); app.openOp(worst.name); }, { class: "link" }) : "–"),
    );
  });
  app.on(["format"], () => {
    const group = app.group();
    for (const row of rows) row.setAttribute("aria-current", String(group !== undefined && row.dataset.format === app.label(group)));
  });
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "Format"),
    h("th", { scope: "col" }, term("everything")),
    h("th", { scope: "col", class: "n" }, term("kl", `${run.metric} per position [95 %]`)),
    h("th", { scope: "col", class: "n" }, term("flips")),
    h("th", { scope: "col", class: "n" }, term("perplexity")),
    h("th", { scope: "col", class: "n" }, term("reliability")),
    h("th", { scope: "col" }, "Most sensitive op"),
  );
  return section(
    "formats",
    "Every format as a whole",
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Every format as a whole" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))),
  );
}
