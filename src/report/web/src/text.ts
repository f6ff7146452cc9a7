// Numbers and names as the page shows them; numbers as in report.md (report/text.cc).

export const MISSING = "–";

// Three significant digits.
export function number(value: number | null): string {
  if (value === null || isNaN(value)) return MISSING;
  if (!isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (value === 0) return "0";
  const scientific = value.toExponential(2);
  const e = scientific.indexOf("e");
  const exponent = parseInt(scientific.slice(e + 1), 10);
  if (exponent < -3 || exponent > 5) return `${scientific.slice(0, e)}e${exponent}`;
  return parseFloat(scientific).toFixed(Math.max(0, 2 - exponent));
}

export const percent = (fraction: number | null): string =>
  fraction === null || isNaN(fraction) ? MISSING : `${number(100 * fraction)} %`;

export function seconds(value: number | null): string {
  if (value === null || value < 120) return value === null ? MISSING : `${number(value)} s`;
  return value < 7200 ? `${number(value / 60)} min` : `${number(value / 3600)} h`;
}

export function bytes(value: number | null): string {
  if (value === null) return MISSING;
  const unit = value < 2 ** 20 ? 1 : value < 2 ** 30 ? 2 : 3;
  return `${number(value / 2 ** (10 * unit))} ${["KiB", "MiB", "GiB"][unit - 1]}`;
}

// Of a change: "+0.250".
export const signed = (value: number | null): string => `${value !== null && value > 0 ? "+" : ""}${number(value)}`;

export function withInterval(value: number | null, low: number | null, high: number | null): string {
  return low === null || high === null ? number(value) : `${number(value)} [${number(low)}, ${number(high)}]`;
}

export const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

// Names come from files. What would turn the direction of text or hide in it is shown as a replacement character.
export const visible = (name: string): string =>
  name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "\ufffd");

// ECharts keeps what it draws by its text, in objects whose prototype has names as well: "__proto__" would change that of
// all objects.
const drawable = (text: string): string => (text in {} ? `${text}\u00a0` : text);

// For a chart: at most so many characters, the middle left out, for the ends tell ops apart.
export function shortened(name: string, length: number): string {
  const text = visible(name);
  if (text.length <= length) return drawable(text);
  const tail = Math.ceil((length - 1) / 2);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(text.length - tail)}`;
}

export interface Piece {
  text: string;
  code: boolean;
}

// The inline code of our own sentences (report/text.cc: code, plain).
export function pieces(sentence: string): Piece[] {
  return sentence
    .split("`")
    .map((text, i) => ({ text: text.replace(/\\\|/g, "|").replace(/\*\*/g, ""), code: i % 2 === 1 }))
    .filter((piece) => piece.text !== "");
}

// One field of RFC 4180. What a spreadsheet would take for a formula is quoted as text.
export function csvField(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export const csv = (rows: (string | number | null)[][]): string =>
  rows.map((row) => `${row.map(csvField).join(",")}\n`).join("");
