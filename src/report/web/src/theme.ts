// Colours. Text and marks have a contrast of 4.5 to the background, marks alone 3; the classes of the heat map go from
// the background to its opposite, so that they can be told apart without their hue.

export interface Theme {
  text: string;
  muted: string;
  line: string;
  background: string;
  none: string; // a place without a score
  marks: string[];
  classes: string[]; // of shares, the least first
  onClass: string[]; // text on these
  bits: string[]; // of formats, the most bits first
  onBits: string[];
}

export const light: Theme = {
  text: "#1c1f23",
  muted: "#565c64",
  line: "#d5d9de",
  background: "#ffffff",
  none: "#eceef0",
  marks: ["#1a5fb4", "#b3400f", "#2b7a3d", "#7d3fa8", "#8a6100"],
  classes: ["#f7f4ee", "#fde3c0", "#fbc187", "#f2914c", "#d95f1e", "#a8350c", "#5f1505"],
  onClass: ["#1c1f23", "#1c1f23", "#1c1f23", "#1c1f23", "#000000", "#ffffff", "#ffffff"],
  bits: ["#f2f5f9", "#d3e0f0", "#aac6e6", "#7ba8d8", "#4f86c6", "#2f65a7", "#1c4780", "#0d2b57"],
  onBits: ["#1c1f23", "#1c1f23", "#1c1f23", "#1c1f23", "#000000", "#ffffff", "#ffffff", "#ffffff"],
};

export const dark: Theme = {
  text: "#e8eaed",
  muted: "#a9b0b8",
  line: "#3c424a",
  background: "#16191d",
  none: "#262b31",
  marks: ["#7fb2f5", "#f2955f", "#74c98a", "#c99af0", "#d9b14a"],
  classes: ["#22262b", "#44301f", "#6f4220", "#a65a1f", "#dd7e2a", "#f7b05a", "#ffe3ad"],
  onClass: ["#e8eaed", "#e8eaed", "#ffffff", "#ffffff", "#000000", "#000000", "#000000"],
  bits: ["#20262d", "#22344a", "#26486d", "#2f6094", "#4a80ba", "#74a3d8", "#a5c7ee", "#d9e9fb"],
  onBits: ["#e8eaed", "#e8eaed", "#ffffff", "#ffffff", "#000000", "#000000", "#000000", "#000000"],
};

// Bounds of the classes of shares.
export const BOUNDS = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1];

export const classOf = (share: number): number => BOUNDS.filter((bound) => share >= bound).length;

export function classLabel(index: number): string {
  const bound = (i: number): string => String(Math.round((BOUNDS[i] as number) * 1e4) / 100);
  if (index === 0) return `below ${bound(0)} %`;
  return index === BOUNDS.length ? `${bound(index - 1)} % and more` : `${bound(index - 1)} to ${bound(index)} %`;
}

// The colour of the k-th of n formats, the one of the most bits first.
export const bitsClass = (k: number, n: number, classes: number): number =>
  n <= 1 ? 0 : Math.round((k * (classes - 1)) / (n - 1));
