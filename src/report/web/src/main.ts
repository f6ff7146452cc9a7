// The page: data in, sections out. `performance` has the marks "qsweep:begin" and "qsweep:ready".
import { App } from "./app.ts";
import type { View } from "./data.ts";
import { get, h } from "./dom.ts";
import { formatTable, header, verdict } from "./overview.ts";
import { differenceSection } from "./difference.ts";
import { comparisonSection, recipesSection, repeatSection, timeSection, wordsSection } from "./rest.ts";
import { heat, oneOp, rankingSection, scoreTable, togetherSection, versusSection, whySection } from "./scores.ts";
import { explainTerms } from "./terms.ts";

performance.mark("qsweep:begin");
const app = new App(JSON.parse(get("data").textContent ?? "") as View);
const hasScores = app.groups.length > 0;
header(app, get("header"));
const sections = [
  verdict(app),
  formatTable(app),
  ...(hasScores ? [heat, oneOp, rankingSection, scoreTable, togetherSection, whySection, versusSection].map((make) => make(app)) : []),
  recipesSection(app),
  differenceSection(app),
  comparisonSection(app),
  timeSection(app),
  repeatSection(app),
  wordsSection(),
].filter((s): s is HTMLElement => s !== null);
const contents = h(
  "nav",
  { "aria-label": "Sections" },
  ...sections.map((s) => {
    const to = h("button", { type: "button", class: "link", click: () => {
      s.scrollIntoView();
      s.querySelector<HTMLElement>("h2")?.focus({ preventScroll: true });
    } }, s.querySelector("h2")?.textContent ?? "");
    return to;
  }),
);
get("main").replaceChildren(contents, ...sections);
explainTerms();
performance.mark("qsweep:ready");
performance.measure("qsweep", "qsweep:begin", "qsweep:ready");
