// Building elements. Text is always text: nothing on this page is made of strings of HTML.
import { pieces, visible } from "./text.ts";
import { WORDS } from "./words.ts";

type Child = Node | string | null;
type Attributes = Record<string, string | number | boolean | ((event: Event) => void)>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null));
  return element;
}

export function get(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element ${id}`);
  return element;
}

// A name from a file; its direction stays inside.
export const named = (name: string): HTMLElement => h("bdi", { class: "name" }, visible(name));

// A sentence of ours with its inline code.
export const sentence = (text: string): Node[] =>
  pieces(text).map((piece) => (piece.code ? h("code", {}, named(piece.text)) : document.createTextNode(piece.text)));

// A word that explains itself when it is pointed at or focused.
export function term(key: string | undefined, title?: string): Node {
  const word = key === undefined ? undefined : WORDS[key];
  if (!word) return document.createTextNode(title ?? "");
  return h("span", { class: "term", tabindex: 0, "data-tip": word.text, role: "note", "aria-label": `${title ?? word.title}: ${word.text}` }, title ?? word.title);
}

export const button = (text: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement =>
  h("button", { type: "button", click: act, ...attributes }, text);

export function say(text: string): void {
  get("status").textContent = text;
}

export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages from files may not use the clipboard's interface.
    const area = h("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const taken = document.execCommand("copy");
    area.remove();
    if (!taken) return say(`${what} not copied: the browser does not let this page write to the clipboard`);
  }
  say(`${what} copied as CSV`);
}

export function saveFile(name: string, type: string, content: string): void {
  const link = h("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  URL.revokeObjectURL(link.href);
  say(`${name} saved`);
}
