// Files of SVG, drawn without a browser: src/report/pictures.cc calls `pictures` in an engine of ECMAScript 5.
import { echarts } from "./charts.ts";
import { type View, groupLabel, scoresOf } from "./data.ts";
import { type Figure, ranking } from "./figures.ts";
import { heatMap } from "./maps.ts";
import { spectrum } from "./spectrum.ts";
import { light } from "./theme.ts";

const WIDTH = 960;
const MOST = 20;

const xml = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

function svg(figure: Figure): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: figure.height });
  chart.setOption(figure.option);
  const drawn = chart.renderToSVGString();
  chart.dispose();
  return drawn.replace(/^<svg /, `<svg role="img" aria-label="${xml(figure.words)}" `);
}

const safe = (name: string): string => name.replace(/[^A-Za-z0-9_.-]+/g, "_").slice(0, 80);

export function pictures(json: string): string {
  const view = JSON.parse(json) as View;
  const files: Record<string, string> = {};
  const { run, recipes } = view;
  if (run)
    for (const group of run.groups) {
      const scores = scoresOf(run, group);
      const label = safe(groupLabel(group, run.groups));
      files[`heat_map_${label}.svg`] = svg(heatMap(run, group, scores, light, WIDTH));
      if (group.ranked > 0) files[`ranking_${label}.svg`] = svg(ranking(run, group, scores, light, MOST, WIDTH));
    }
  if (recipes && recipes.points.length > 0) files["spectrum.svg"] = svg(spectrum(run, recipes, light, WIDTH));
  return JSON.stringify(files);
}

(globalThis as unknown as { pictures: typeof pictures }).pictures = pictures;
