// A figure on the page: drawn when it comes near, anew when its width or theme changes, walked by the keyboard, saved as
// a file, told in words.
import { echarts } from "./charts.ts";
import { button, h, saveFile } from "./dom.ts";
import type { Figure, Mark } from "./figures.ts";
import type { Theme } from "./theme.ts";

interface Place extends Mark {
  series: number;
  index: number;
}

const MARGIN = "300px";

const isMark = (data: unknown): data is Mark => typeof data === "object" && data !== null && Array.isArray((data as Mark).tip);

function placesOf(figure: Figure): Place[] {
  const series = (figure.option.series ?? []) as { data: unknown[] }[];
  return series.flatMap((s, i) => s.data.map((d, j) => ({ d, i, j })))
    .filter((x) => isMark(x.d))
    .map((x) => ({ ...(x.d as Mark), series: x.i, index: x.j }));
}

function tipElement(tip: string[]): HTMLElement {
  return h("div", { class: "tip" }, ...tip.map((line, i) => h(i === 0 ? "strong" : "div", {}, h("bdi", {}, line))));
}

// The place that a key leads to: along rows and columns where they are whole numbers, else in order.
export function step(places: { value: (number | string)[]; series: number }[], current: number, key: string): number {
  const last = places.length - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  const forward = key === "ArrowRight" || key === "ArrowDown";
  const here = places[current];
  if (!here) return forward ? 0 : last;
  const along = key === "ArrowLeft" || key === "ArrowRight" ? 0 : 1;
  const across = 1 - along;
  if (here.value.length < 3) return Math.min(last, Math.max(0, current + (forward ? 1 : -1)));
  let best = -1;
  places.forEach((p, i) => {
    if (p.series !== here.series || p.value[across] !== here.value[across]) return;
    const ahead = (Number(p.value[along]) - Number(here.value[along])) * (forward ? 1 : -1);
    if (ahead <= 0) return;
    const nearest = places[best];
    if (!nearest || Math.abs(Number(p.value[along]) - Number(here.value[along])) < Math.abs(Number(nearest.value[along]) - Number(here.value[along]))) best = i;
  });
  if (best >= 0) return best;
  // Over the edge into the next panel.
  if (along === 0) return current;
  const next = places.findIndex((p) => p.series === here.series + (forward ? 1 : -1));
  return next < 0 ? current : next;
}

export class Chart {
  readonly element: HTMLElement;
  private readonly canvas: HTMLElement;
  private readonly focus: HTMLElement;
  private readonly told: HTMLElement;
  private chart: echarts.ECharts | null = null;
  private places: Place[] = [];
  private current = -1;
  private near = false;
  private width = 0;

  constructor(
    private readonly name: string,
    private readonly draw: (theme: Theme, width: number) => Figure,
    private readonly theme: () => Theme,
    private readonly choose: (mark: Mark) => void,
    ...tools: HTMLElement[]
  ) {
    this.canvas = h("div", { class: "canvas", "aria-hidden": "true" });
    this.told = h("p", { class: "unseen", "aria-live": "polite" });
    this.focus = h(
      "div",
      { class: "chart", tabindex: 0, role: "application", "aria-roledescription": "chart", keydown: (e) => this.key(e as KeyboardEvent) },
      this.canvas,
    );
    this.element = h(
      "figure",
      {},
      this.focus,
      this.told,
      h("div", { class: "tools" }, ...tools, button("Save picture", () => this.save(), { "aria-label": `Save picture: ${name}` })),
    );
    new IntersectionObserver((entries) => {
      if (!this.near && entries.some((e) => e.isIntersecting)) this.drawNow();
    }, { rootMargin: MARGIN }).observe(this.element);
    new ResizeObserver(() => {
      if (this.near && Math.abs(this.canvas.clientWidth - this.width) > 1) this.refresh();
    }).observe(this.canvas);
    window.addEventListener("beforeprint", () => this.drawNow());
  }

  private drawNow(): void {
    this.near = true;
    this.refresh();
  }

  // After a change of what it shows.
  refresh(): void {
    if (!this.near) return;
    this.width = this.canvas.clientWidth;
    if (this.width === 0) return;
    const figure = this.draw(this.theme(), this.width);
    this.canvas.style.height = `${figure.height}px`;
    this.focus.setAttribute("aria-label", `${figure.words} Arrow keys walk the marks, Enter chooses one.`);
    this.chart ??= this.made();
    this.leave();
    this.chart.resize({ width: this.width, height: figure.height });
    this.chart.setOption({ ...figure.option, tooltip: this.tooltip() }, { notMerge: true });
    this.places = placesOf(figure);
  }

  // No mark is the current one: what is drawn anew would keep the look of one.
  private leave(): void {
    const place = this.places[this.current];
    if (place) this.chart?.dispatchAction({ type: "downplay", seriesIndex: place.series, dataIndex: place.index });
    this.current = -1;
  }

  private made(): echarts.ECharts {
    const chart = echarts.init(this.canvas, null, { renderer: "svg", width: this.width });
    chart.on("click", (event) => {
      if (isMark(event.data)) this.choose(event.data);
    });
    return chart;
  }

  private tooltip(): unknown {
    const theme = this.theme();
    return {
      trigger: "item",
      confine: true,
      backgroundColor: theme.background,
      borderColor: theme.muted,
      textStyle: { color: theme.text, fontSize: 13 },
      formatter: (p: { data: unknown }) => (isMark(p.data) ? tipElement(p.data.tip) : ""),
    };
  }

  private key(event: KeyboardEvent): void {
    const current = this.current;
    const place = this.places[current];
    if (event.key === "Enter" && place) return this.choose(place);
    if (event.key === "Escape") return void this.chart?.dispatchAction({ type: "hideTip" });
    if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key) || this.places.length === 0) return;
    event.preventDefault();
    this.leave();
    this.current = step(this.places, current, event.key);
    const next = this.places[this.current];
    if (!next) return;
    const at = { seriesIndex: next.series, dataIndex: next.index };
    this.chart?.dispatchAction({ type: "highlight", ...at });
    this.chart?.dispatchAction({ type: "showTip", ...at });
    this.told.textContent = next.tip.join("; ");
  }

  private save(): void {
    this.drawNow();
    const drawn = this.chart?.renderToSVGString();
    if (drawn) saveFile(`${this.name.replace(/[^\w.-]+/g, "_")}.svg`, "image/svg+xml", drawn);
  }
}
