// What stands in a chart as it is drawn: marks, texts and axes of its SVG, and what is said of a mark.
import assert from "node:assert/strict";
import type { Locator } from "playwright-core";

export interface Shape {
  x: number; // of the middle, in pixels
  y: number;
  width: number; // 0 of symbols and lines
  height: number;
  fill: string;
  kind: "symbol" | "legend" | "box" | "line";
}

export interface Label {
  text: string;
  x: number;
  y: number;
  anchor: string;
}

export interface Drawing {
  shapes: Shape[];
  labels: Label[];
}

export async function drawing(figure: Locator): Promise<Drawing> {
  await figure.scrollIntoViewIfNeeded();
  await figure.locator("svg").waitFor();
  // What a chart was told stands in its SVG after the next frame.
  await figure.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return figure.locator("svg").evaluate((svg) => {
    const numbers = (text: string | null): number[] => (text?.match(/-?\d+(\.\d+)?(e-?\d+)?/g) ?? []).map(Number);
    const shapes: Shape[] = [];
    for (const path of svg.querySelectorAll("path")) {
      const d = path.getAttribute("d") ?? "";
      const move = numbers(path.getAttribute("transform"));
      const [x = 0, y = 0, a = 0, b = 0, , e = 0] = numbers(d);
      const fill = path.getAttribute("fill") ?? "";
      const box = /^M[-\d. ]+l[-\d.e]+ 0l0 [-\d.e]+l[-\d.e]+ 0Z$/.test(d);
      // matrix(sx,0,0,sy,x,y) of a symbol, translate(x y) of a legend, else a box from its corner, a line from its ends.
      if (move.length === 6) shapes.push({ x: move[4] as number, y: move[5] as number, width: 0, height: 0, fill, kind: "symbol" });
      else if (move.length === 2) shapes.push({ x: move[0] as number, y: move[1] as number, width: 0, height: 0, fill, kind: "legend" });
      else if (box) shapes.push({ x: x + a / 2, y: y + e / 2, width: a, height: e, fill, kind: "box" });
      else if (/^M[-\d. ]+L[-\d. ]+$/.test(d)) shapes.push({ x: (x + a) / 2, y: (y + b) / 2, width: a - x, height: b - y, fill: path.getAttribute("stroke") ?? "", kind: "line" });
      else if (!d.startsWith("M")) throw new Error(d);
    }
    const labels = [...svg.querySelectorAll("text")].map((text) => {
      const [dx = 0, dy = 0] = numbers(text.getAttribute("transform"));
      return { text: text.textContent ?? "", x: Number(text.getAttribute("x") ?? 0) + dx, y: (text.hasAttribute("transform") ? 0 : Number(text.getAttribute("y"))) + dy, anchor: text.getAttribute("text-anchor") ?? "" };
    });
    return { shapes, labels };
  });
}

export const near = (a: number, b: number): boolean => Math.abs(a - b) < 0.6;

type Scale = (value: number) => number;

function scaleOf(ticks: { value: number; at: number }[], log: boolean): Scale {
  const of = (value: number): number => (log ? Math.log10(value) : value);
  const [first] = ticks;
  const last = ticks[ticks.length - 1];
  assert.ok(first && last && first !== last, "an axis has two labels");
  return (value) => first.at + ((of(value) - of(first.value)) * (last.at - first.at)) / (of(last.value) - of(first.value));
}

const ticksOf = (drawn: Drawing, anchor: string): Label[] => drawn.labels.filter((l) => l.anchor === anchor && /^[-\d.e]+$/.test(l.text));

// From values to pixels, by what is written along the lower edge.
export function along(drawn: Drawing, log: boolean): Scale {
  const ticks = ticksOf(drawn, "middle");
  const bottom = Math.max(...ticks.map((l) => l.y));
  return scaleOf(ticks.filter((l) => near(l.y, bottom)).map((l) => ({ value: Number(l.text), at: l.x })), log);
}

// And up the left one.
function up(drawn: Drawing, log: boolean): Scale {
  const ticks = ticksOf(drawn, "end");
  const left = Math.min(...ticks.map((l) => l.x));
  return scaleOf(ticks.filter((l) => near(l.x, left)).map((l) => ({ value: Number(l.text), at: l.y })), log);
}

export const axes = (drawn: Drawing, log: { x: boolean; y: boolean }): { x: Scale; y: Scale } => ({ x: along(drawn, log.x), y: up(drawn, log.y) });

// What is said of every mark, one after the other by the arrow to the right, until it goes no further.
export const walked = (figure: Locator): Promise<string[]> =>
  figure.evaluate((element) => {
    const chart = element.querySelector(".chart");
    const press = (key: string): string => {
      chart?.dispatchEvent(new KeyboardEvent("keydown", { key }));
      return element.querySelector("[aria-live]")?.textContent ?? "";
    };
    const last = press("End");
    const all = [press("Home")];
    while (all[all.length - 1] !== last && all.length < 10000) all.push(press("ArrowRight"));
    return all;
  });

// The lines of what appears at each of these points, as they are pointed at.
export const pointedAt = (figure: Locator, points: { x: number; y: number }[]): Promise<string[][]> =>
  figure.evaluate((element, places) => {
    const canvas = element.querySelector(".canvas > div");
    const svg = element.querySelector("svg");
    return places.map(({ x, y }) => {
      const box = (svg as Element).getBoundingClientRect();
      canvas?.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
      return [...element.querySelectorAll(".tip bdi")].map((line) => line.textContent ?? "");
    });
  }, points);
